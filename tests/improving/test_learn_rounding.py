"""Learned rounding gains on top of rounding by second-order information, or keeps what that chose, and says so."""

import builtins
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest

import bitsmith as bs
from bitsmith.errors import LoadError
from bitsmith.graph import constant
from bitsmith.improving import learn_rounding as learning
from bitsmith.improving.draft import Draft
from bitsmith.improving.gather_moments import put_numbers
from bitsmith.improving.learn_rounding import learn_rounding
from bitsmith.improving.round_weights import round_weights
from bitsmith.planning.recipe import Recipe, Rule
from bitsmith.running.session import Session
from bitsmith.workflow import first_draft
from tests import networks

torch = pytest.importorskip("torch", reason="needs the extra torch")
torch.set_num_threads(1)      # small tensors
TWO = Recipe("two", (Rule(weights=2),), everything=True)


@pytest.fixture(autouse=True)
def few_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learning, "STEPS", 120)


def draft_of(model: onnx.ModelProto, samples: int = 128) -> Draft:
    """Calibrated with numbers that go together, as real ones do."""
    feeds = {name: a + 2 * a.mean(tuple(range(1, a.ndim)), keepdims=True) for name, a in networks.feeds(model, samples=samples).items()}
    return first_draft(bs.load(model), feeds, TWO, "onnx", lambda title: nullcontext())


def output_error(draft: Draft) -> float:
    simulated, exact = Session(draft.simulated()), Session(draft.original)
    return float(np.mean([np.square(a - b).mean() for batch in draft.samples("test")
                          for a, b in zip(simulated.run(batch).values(), exact.run(batch).values(), strict=True)]))


def content(model: ir.Model) -> bytes:
    return bytes(ir.to_proto(model).SerializeToString(deterministic=True))


def round_to_nearest(draft: Draft) -> Draft:
    network = draft.network.clone()
    for name in ("conv1.weight", "conv2.weight", "fc.weight"):
        array = constant(network.graph.initializers[name])
        assert array is not None
        put_numbers(network, name, draft.plan.encodings[name].simulate(array))
    return replace(draft, network=network)


def test_blocks_gain_on_what_they_begin_with_and_every_weight_stands_on_a_code(monkeypatch: pytest.MonkeyPatch) -> None:
    """Begun from the nearest codes, since the better ones leave little to learn in small networks."""
    monkeypatch.setattr(learning, "round_weights", round_to_nearest)
    draft = draft_of(networks.conv_bn_relu())
    before, seen = content(draft.network), list[tuple[int, int | None]]()
    learned = learn_rounding(draft, lambda done, total: seen.append((done, total)))
    assert output_error(learned) < 0.9 * output_error(draft)
    assert content(draft.network) == before
    assert seen == [(1, 3), (2, 3), (3, 3)]
    for name in ("conv1.weight", "conv2.weight", "fc.weight"):
        array = constant(learned.network.graph.initializers[name])
        assert array is not None
        np.testing.assert_array_equal(learned.plan.encodings[name].simulate(array), array)
        assert "learned" in learned.plan.reasons[name]
    assert any("learned with its block" in reason for reason in learned.plan.reasons.values())
    assert dict(learned.plan.encodings) == dict(draft.plan.encodings)


@pytest.mark.parametrize("enough", [128, 129])
def test_few_samples_are_told_aloud(monkeypatch: pytest.MonkeyPatch, enough: int) -> None:
    monkeypatch.setattr(learning, "ENOUGH", enough)
    monkeypatch.setattr(learning, "STEPS", 1)
    draft = draft_of(networks.mlp())
    reason = learn_rounding(draft).plan.reasons.get(draft.network.graph.name or "network", "")
    assert ("learned from 128 samples" in reason) == (enough > 128)


@pytest.mark.parametrize("samples", [1, 7])
def test_where_too_few_are_left_to_judge_all_learn_and_judge(samples: int) -> None:
    draft = draft_of(networks.conv_bn_relu(), samples)
    assert output_error(learn_rounding(draft)) <= output_error(round_weights(draft))


def test_the_same_inputs_give_the_same_bytes() -> None:
    first, second = (learn_rounding(draft_of(networks.mlp())) for _ in range(2))
    assert content(first.network) == content(second.network)
    assert first.plan.to_json() == second.plan.to_json()


def test_blocks_without_a_gain_keep_what_they_had(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learning, "STEPS", 0)
    draft = draft_of(networks.conv_bn_relu())
    learned, rounded = learn_rounding(draft), round_weights(draft)
    assert content(learned.network) == content(rounded.network)
    assert learned.plan.reasons["conv1.weight"].endswith("learned rounding gained nothing")


def test_blocks_with_unknown_operators_are_left_and_named() -> None:
    b = networks.Builder(21, 0)
    x = b.node("Celu", [b.linear("input", "fc1", 8, 8)], "bent")
    b.node("Identity", [b.linear(x, "fc2", 8, 4)], "output")
    learned = learn_rounding(draft_of(b.model({"input": ("batch", 8)}, {"output": ("batch", 4)})))
    assert "not learned: Celu has no differentiable meaning" in learned.plan.reasons["fc2.weight"]
    assert "not learned" not in learned.plan.reasons["fc1.weight"]


def test_without_torch_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    real: Callable[..., Any] = builtins.__import__

    def refuse(name: str, *rest: Any, **named: Any) -> Any:
        if name == "torch":
            raise ImportError(name)
        return real(name, *rest, **named)

    draft = draft_of(networks.mlp())
    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(LoadError, match=r"bitsmith\[torch\]"):
        learn_rounding(draft)
