"""Equalized networks compute the same in float, and lose less where channels had run apart."""

from collections.abc import Callable
from contextlib import nullcontext

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import bitsmith as bs
from bitsmith.analysis.fingerprint import fingerprint
from bitsmith.graph import constant
from bitsmith.improving.channel_moments import Moments
from bitsmith.improving.channels import find_spans
from bitsmith.improving.draft import Draft
from bitsmith.improving.equalize import equalize
from bitsmith.improving.noise import Layer
from bitsmith.numerics import Encoding, Integer
from bitsmith.numerics.formats import Array
from bitsmith.planning.plan import Plan
from bitsmith.planning.recipe import load_recipe
from bitsmith.rewrites.products import read_product
from bitsmith.running.session import Session
from bitsmith.workflow import first_draft
from tests import networks


def draft_of(model: onnx.ModelProto, recipe: str = "per_tensor_int8", samples: int = 16) -> Draft:
    asked = load_recipe(recipe).with_everything()
    return first_draft(bs.load(model), networks.feeds(model, samples), asked, "onnxruntime", lambda title: nullcontext())


def assert_same_function(first: Draft, second: Draft) -> None:
    batch = next(iter(first.samples("test").batches(1000)))
    wanted, found = (Session(d.network, optimise=False).run(batch) for d in (first, second))
    for name, values in wanted.items():
        np.testing.assert_allclose(found[name], values, rtol=1e-4, atol=1e-4 * max(1.0, float(np.abs(values).max())))


class Chain(networks.Builder):
    """Convolutions whose channels run apart by factors of up to 100, with something between them."""

    def uneven(self, x: str, name: str, shape: tuple[int, ...], attributes: dict[str, object] | None = None, kind: str = "Conv") -> str:
        spread = np.exp(self.random.uniform(-2.3, 2.3, shape[0])).reshape(-1, *[1] * (len(shape) - 1))
        weight = self.constant(f"{name}.weight", self.random.normal(0, 0.3, shape) * spread)
        channels = shape[0] if kind == "Conv" else shape[1]
        bias = self.vector(f"{name}.bias", channels)
        return self.node(kind, [x, weight, bias], f"{name}_out", {"kernel_shape": list(shape[2:]), **(attributes or {})})


def between(b: Chain, x: str, kind: str) -> str:
    if kind in ("Relu", "GlobalAveragePool"):
        return b.node(kind, [x], f"{x}_{kind}")
    if kind == "LeakyRelu":
        return b.node(kind, [x], f"{x}_{kind}", {"alpha": 0.2})
    if kind == "PRelu":
        return b.node(kind, [x, b.constant(f"{x}_slope", b.random.uniform(0, 0.5, (6, 1, 1)))], f"{x}_{kind}")
    if kind == "Clip":
        return b.clip(x, 0.0, 6.0)
    if kind == "MaxPool":
        return b.node(kind, [x], f"{x}_{kind}", {"kernel_shape": [2, 2]})
    if kind == "AveragePool":
        return b.node(kind, [x], f"{x}_{kind}", {"kernel_shape": [2, 2], "pads": [1, 1, 0, 0]})
    if kind == "Pad":
        return b.node(kind, [x, b.constant(f"{x}_pads", [0, 0, 1, 0, 0, 0, 0, 1], np.int64)], f"{x}_{kind}")
    if kind == "depthwise":
        return b.relu(b.uneven(x, f"{x}_dw", (6, 1, 3, 3), {"group": 6, "pads": [1, 1, 1, 1]}))
    if kind == "grouped":
        return b.relu(b.uneven(x, f"{x}_gr", (6, 3, 1, 1), {"group": 2}))
    if kind == "transposed":
        return b.relu(b.uneven(x, f"{x}_tr", (6, 6, 2, 2), {"strides": [2, 2]}, "ConvTranspose"))
    y = b.relu(b.uneven(x, f"{x}_res", (6, 6, 1, 1)))
    return b.node("Add", [x, b.uneven(y, f"{x}_res2", (6, 6, 1, 1))], f"{x}_sum")


KINDS = ["Relu", "LeakyRelu", "PRelu", "Clip", "MaxPool", "AveragePool", "Pad", "depthwise", "grouped", "transposed", "residual"]


def chain(kinds: list[str], seed: int) -> onnx.ModelProto:
    """(3, 8, 8) -> Conv, what is between, Conv, pooled, Flatten, Gemm -> (4,)."""
    b = Chain(21, seed)
    x = b.relu(b.uneven("input", "first", (6, 3, 3, 3), {"pads": [1, 1, 1, 1]}))
    for kind in kinds:
        x = between(b, x, kind)
    x = b.relu(b.uneven(x, "second", (5, 6, 1, 1)))
    x = b.flatten(b.node("GlobalAveragePool", [x], "pooled"))
    b.node("Identity", [b.linear(x, "fc", 5, 4)], "output")
    return b.model({"input": ("batch", 3, 8, 8)}, {"output": ("batch", 4)})


@settings(max_examples=25, deadline=None)
@given(st.lists(st.sampled_from(KINDS), min_size=1, max_size=3, unique=True), st.integers(0, 99))
def test_any_chain_computes_the_same(kinds: list[str], seed: int) -> None:
    draft = draft_of(chain(kinds, seed))
    better = equalize(draft, None)
    assert_same_function(draft, better)
    assert fingerprint(better.network) != fingerprint(draft.network)


@pytest.mark.parametrize("name", list(networks.NETWORKS))
def test_every_network_computes_the_same_under_its_own_names(name: str) -> None:
    model = networks.NETWORKS[name]()
    draft = draft_of(model, "int8")
    known = fingerprint(draft.original)
    better = equalize(draft, None)
    assert_same_function(draft, better)
    assert fingerprint(draft.original) == known
    assert [n.outputs[0].name for n in better.network.graph] == [n.outputs[0].name for n in draft.network.graph]


@pytest.mark.parametrize("kinds", [["Relu"], ["depthwise"], ["residual"], ["transposed", "Pad"]])
def test_channels_that_ran_apart_lose_less_with_one_scale(kinds: list[str]) -> None:
    model = chain(kinds, 7)
    feeds, recipe = networks.feeds(model, 32), load_recipe("per_tensor_int8").with_everything().with_refinements()
    plain = bs.quantize(model, feeds, test=feeds, recipe=recipe)
    better = bs.quantize(model, feeds, test=feeds, recipe=recipe.with_refinements("equalize"))
    assert better.evaluation.snr_db > plain.evaluation.snr_db + 1        # type: ignore[union-attr, operator]
    assert better.verify(networks.feeds(model, 8)).exact


def test_channels_that_reach_a_clip_stay_and_dead_ones_are_silenced() -> None:
    b = networks.Builder(21, seed=2)
    bias = b.constant("bias", [0.0, 0.0, 0.0, -100.0])
    weight = b.constant("weight", np.array([0.1, 0.5, 100.0, 1.0]).reshape(4, 1, 1, 1) * np.ones((4, 2, 1, 1)))
    x = b.clip(b.node("Conv", ["input", weight, bias], "x"), 0.0, 6.0)
    b.conv(x, "next", (3, 4, 1, 1))
    draft = draft_of(b.model({"input": ("batch", 2, 4, 4)}, {"next_out": ("batch", 3, 4, 4)}))
    better = equalize(draft, None)
    before, after = (constant(d.network.graph.initializers["weight"]) for d in (draft, better))
    readers = constant(better.network.graph.initializers["next.weight"])
    assert before is not None
    assert after is not None
    assert readers is not None
    np.testing.assert_array_equal(before[2], after[2])
    assert not readers[:, 3].any()
    assert readers[:, :3].all()
    assert "1 were 0 in every sample" in better.plan.reasons["x_clip"]
    assert_same_function(draft, better)


def test_spans_reach_from_products_to_products() -> None:
    spans = find_spans(bs.load(networks.conv_bn_relu()).graph)
    assert [(len(s.writers), len(s.readers)) for s in spans] == [(2, 2)]      # the residual ties both convolutions together
    spans = find_spans(bs.load(networks.attention()).graph)
    assert sorted(len(s.readers) for s in spans) == [1, 3]                    # norm1 -> q, k, v and norm2 -> up


def gated(kind: str = "Sigmoid") -> onnx.ModelProto:
    """(6, 8) -> up * kind(gate) -> down -> (6, 8); one channel of `up` is thirty times the others, and read by small weights."""
    b = networks.Builder(21, seed=5)
    up = b.random.normal(0, 0.4, (8, 16))
    down = b.random.normal(0, 0.3, (16, 8))
    up[:, 3], down[3] = up[:, 3] * 30, down[3] / 30
    x = b.node("MatMul", ["input", b.constant("up.weight", up)], "up")
    bent = b.project("input", "gate", 8, 16)
    gate = b.node("Mul", [bent, b.node("Sigmoid", [bent], "gate_s")], "silu") if kind == "SiLU" else b.node(kind, [bent], "gate_s")
    b.node("MatMul", [b.node("Mul", [x, gate], "gated"), b.constant("down.weight", down)], "output")
    return b.model({"input": ("batch", 6, 8)}, {"output": ("batch", 6, 8)})


def outliers() -> onnx.ModelProto:
    """Attention whose first normalization makes one channel thirty times the others, as large language models do."""
    model = networks.attention()
    for held in model.graph.initializer:
        array = onnx.numpy_helper.to_array(held).copy()
        if held.name in ("norm1.weight", "norm1.bias"):
            array[2] *= 30
        elif held.name in ("q.weight", "k.weight", "v.weight"):
            array[2] /= 30
        held.CopyFrom(onnx.numpy_helper.from_array(array, held.name))
    return model


@pytest.mark.parametrize(("build", "collapsed"), [
    (gated, 16), (lambda: gated("SiLU"), 19), (lambda: gated("HardSwish"), 19), (outliers, 26),
], ids=["sigmoid", "silu", "hard swish", "attention"])
def test_int8_that_outliers_of_activations_ruin_recovers(build: Callable[[], onnx.ModelProto], collapsed: float) -> None:
    """Usual int8 has so many decibels; with outliers moved into weights more than twelve above."""
    model = build()
    feeds, recipe = networks.feeds(model, 32), load_recipe("int8").with_everything()
    plain = bs.quantize(model, feeds, test=feeds, recipe=recipe)
    better = bs.quantize(model, feeds, test=feeds, recipe=recipe.with_refinements("equalize", *recipe.refine))
    assert plain.evaluation.snr_db < collapsed                           # type: ignore[union-attr, operator]
    assert better.evaluation.snr_db > collapsed + 12                     # type: ignore[union-attr, operator]
    assert_same_function(draft_of(model), equalize(draft_of(model), None))
    assert better.verify(networks.feeds(model, 8)).exact


def test_what_is_shared_or_bent_is_left_alone() -> None:
    b = networks.Builder(21, seed=0)
    weight = b.weight("w", 4, 4, 1, 1)
    x = b.node("Tanh", [b.node("Conv", ["input", weight], "a")], "t")
    b.node("Conv", [b.relu(b.node("Conv", [x, weight], "c")), weight], "output")
    assert find_spans(bs.load(b.model({"input": ("batch", 4, 4, 4)}, {"output": ("batch", 4, 4, 4)})).graph) == []


@pytest.mark.parametrize("whole", [True, False])
def test_expected_noise_is_what_rounding_makes(whole: bool) -> None:
    b = networks.Builder(21, seed=4)
    b.node("Gemm", ["input", b.weight("w", 30, 40), b.vector("b", 30)], "output", {"transB": 1})
    node = bs.load(b.model({"input": ("batch", 40)}, {"output": ("batch", 30)})).graph[0]
    product = read_product(node)
    assert product is not None
    rows: Array = b.random.normal(size=(4000, 40)).astype(np.float32)
    largest = np.abs(product.weight).max(None if whole else 1, keepdims=not whole)
    weight = Encoding(Integer(8), largest / 127.5, np.zeros(()), *([] if whole else [bs_channels()]))
    layer = Layer.of(product, Moments.of(rows, 1), Moments.of(rows @ product.weight.T, 1), Plan({"w": weight}, {}))
    lost = rows @ (weight.simulate(product.weight) - product.weight).T
    assert layer.of_weights(layer.into, layer.out) == pytest.approx(float((lost**2).mean(0).sum()), rel=0.15)
    assert layer.of_inputs(layer.into) == 0


def bs_channels() -> object:
    from bitsmith.numerics import Blocks

    return Blocks.channels(0)
