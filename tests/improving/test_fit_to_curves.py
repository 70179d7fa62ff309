"""Codes are spent where a curve is not flat; nothing else changes."""

from contextlib import nullcontext

import numpy as np
import onnx
import pytest

import bitsmith as bs
from bitsmith.improving.draft import Draft
from bitsmith.improving.fit_to_curves import find_curves, fit_to_curves
from bitsmith.planning.recipe import Recipe, Rule, load_recipe
from bitsmith.running.session import Session
from bitsmith.workflow import first_draft
from tests import networks


def curved(kind: str, *, read_twice: bool = False) -> onnx.ModelProto:
    """Conv, a curve, Conv; what the curve reads has a long negative tail."""
    b = networks.Builder(21, seed=6)
    b.constant("first.bias", np.linspace(-12, 2, 6))
    x = b.node("Conv", ["input", b.weight("first.weight", 6, 3, 1, 1), "first.bias"], "x")
    curves = {"silu": lambda: b.node("Mul", [x, b.node("Sigmoid", [x], "s")], "y"), "hard": lambda: b.node("HardSwish", [x], "y"),
              "relu": lambda: b.node("Relu", [x], "y"), "leaky": lambda: b.node("LeakyRelu", [x], "y", {"alpha": 0.9})}
    y = curves[kind]()
    made = b.conv(y, "second", (4, 6, 1, 1))
    b.node("Identity", [b.node("Add", [made, b.conv(x, "other", (4, 6, 1, 1))], "z") if read_twice else made], "output")
    return b.model({"input": ("batch", 3, 5, 5)}, {"output": ("batch", 4, 5, 5)})


def draft_of(model: onnx.ModelProto, *rules: Rule) -> Draft:
    rows = networks.feeds(model, 32)
    return first_draft(bs.load(model), rows, Recipe("some", rules).with_everything(), "onnxruntime", lambda title: nullcontext())


def error(draft: Draft, value: str) -> float:
    """Squared, behind the curve, were only what it reads rounded."""
    batch = next(iter(draft.samples("test").batches(100)))
    exact = Session(draft.original, ["x", "y"]).run(batch)
    coded = draft.plan.encodings["x"].simulate(exact["x"])
    curve = {"y": lambda x: x / (1 + np.exp(-x)), "h": lambda x: x * np.clip(x / 6 + 0.5, 0, 1)}[value]
    return float(((curve(coded.astype(np.float64)) - curve(exact["x"].astype(np.float64))) ** 2).mean())


@pytest.mark.parametrize(("kind", "value"), [("silu", "y"), ("hard", "h")])
@pytest.mark.parametrize("bits", [8, 4])
def test_a_tail_that_a_curve_flattens_gets_fewer_codes(kind: str, value: str, bits: int) -> None:
    draft = draft_of(curved(kind), Rule(activations=bits))
    better = fit_to_curves(draft)
    assert float(better.plan.encodings["x"].lowest) > float(draft.plan.encodings["x"].lowest) / 2
    assert error(better, value) < error(draft, value) * 0.75
    assert "less error behind 'y'" in better.plan.reasons["x"]
    same = {n: e for n, e in better.plan.encodings.items() if n != "x"}
    assert same == {n: e for n, e in draft.plan.encodings.items() if n != "x"}


def test_a_curve_that_is_nowhere_flat_keeps_its_range() -> None:
    draft = draft_of(curved("leaky"), Rule(estimator="min_max"))
    assert fit_to_curves(draft).plan.encodings == draft.plan.encodings


@pytest.mark.parametrize("model", [curved("relu"), curved("silu", read_twice=True), networks.conv_bn_relu()])
def test_what_others_read_and_what_only_clamps_read_is_left_alone(model: onnx.ModelProto) -> None:
    draft = draft_of(model)
    assert "x" not in {curve.source.name for curve in find_curves(draft.network.graph, draft.plan)}
    assert fit_to_curves(draft).plan.encodings == draft.plan.encodings


@pytest.mark.parametrize("rule", [Rule(symmetric_activations=True), Rule(power_of_two=True)])
def test_codes_whose_place_is_prescribed_are_left_alone(rule: Rule) -> None:
    draft = draft_of(curved("silu"), rule)
    assert fit_to_curves(draft).plan.encodings == draft.plan.encodings


def test_whole_networks_stay_exact() -> None:
    model = networks.swish()
    asked = load_recipe("int8").with_everything().with_refinements("fit_to_curves")
    result = bs.quantize(model, networks.feeds(model, 16), recipe=asked)
    assert any("less error behind" in reason for reason in result.plan.reasons.values())
    assert result.verify(networks.feeds(model, 8)).exact
