"""A network run part by part is the network run whole; what is kept between parts is codes, and bounded."""

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest

import bitsmith as bs
from bitsmith.improving import frontier
from bitsmith.improving.frontier import Frontier, in_order
from bitsmith.improving.gather_moments import put_numbers, simulate_activations
from bitsmith.planning.recipe import Recipe, Rule
from bitsmith.running.session import Session
from bitsmith.workflow import first_draft
from tests import networks

Array = np.ndarray[Any, Any]
BUILT = [networks.conv_bn_relu, networks.depthwise, networks.mlp, networks.attention, networks.swish, networks.two_in_two_out]
INT8 = Recipe("eight", (Rule(),), everything=True)


def simulated(model: onnx.ModelProto, recipe: Recipe = INT8) -> tuple[ir.Model, list[dict[str, Array]]]:
    """A network with quantized activations, and data for it in batches."""
    draft = first_draft(bs.load(model), networks.feeds(model, samples=40), recipe, "onnx", lambda title: nullcontext())
    return simulate_activations(draft), list(draft.samples("test").batches(16))


def reached(network: ir.Model) -> list[str]:
    """Values that layers read, in order."""
    layers = [node for node in network.graph if node.op_type in ("Conv", "MatMul", "Gemm")]
    return [layer.inputs[0].name or "" for layer in layers if layer.inputs[0] is not None]


def value(name: str) -> Callable[[int, dict[str, Array]], Array]:
    return lambda number, found: found[name]


@pytest.mark.parametrize("most", [frontier.MOST_KEPT, 0, 3000])
@pytest.mark.parametrize("build", BUILT)
def test_part_by_part_is_the_whole(build: Callable[[], onnx.ModelProto], most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frontier, "MOST_KEPT", most)
    network, batches = simulated(build())
    parts = Frontier(network, batches)
    for name in reached(network):
        whole = Session(network, [name])
        for found, batch in zip(parts.each([name], name, value(name)), batches, strict=True):
            np.testing.assert_allclose(found, whole.run(batch)[name], rtol=1e-5, atol=1e-5)


def test_what_is_kept_are_codes() -> None:
    network, batches = simulated(networks.conv_bn_relu())
    parts = Frontier(network, batches)
    last = reached(network)[-1]
    list(parts.each([last], last, value(last)))
    assert parts.known
    assert {array.dtype for array in parts.known.values()} == {np.dtype(np.uint8)}
    assert len(list(parts.batches)) == len(batches)


def test_what_does_not_fit_is_computed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frontier, "MOST_KEPT", 0)
    network, batches = simulated(networks.conv_bn_relu())
    parts = Frontier(network, batches)
    last = reached(network)[-1]
    list(parts.each([last], last, value(last)))
    assert parts.batches is batches
    assert not parts.passed


def test_numbers_behind_may_change_and_those_in_front_no_longer_matter() -> None:
    network, batches = simulated(networks.conv_bn_relu())
    parts, (first, *_, last) = Frontier(network, batches), reached(network)

    def look() -> list[Array]:
        return list(parts.each([last], first, value(last)))

    before = look()
    weight = next(node for node in network.graph if node.op_type == "Conv").inputs[1]
    assert weight is not None
    assert weight.const_value is not None
    put_numbers(network, weight.name or "", 2 * weight.const_value.numpy())
    after = look()
    whole = Session(network, [last])
    for old, new, batch in zip(before, after, batches, strict=True):
        assert not np.array_equal(old, new)
        np.testing.assert_allclose(new, whole.run(batch)[last], rtol=1e-5, atol=1e-5)
    list(parts.each([last], last, value(last)))
    put_numbers(network, weight.name or "", 0 * weight.const_value.numpy())
    assert all(np.array_equal(new, kept) for new, kept in zip(after, look(), strict=True))


def test_a_network_for_one_number_of_samples_is_run_from_its_inputs() -> None:
    model = networks.conv_bn_relu(batch=8)
    network, batches = simulated(model)
    parts, last = Frontier(network, batches), reached(network)[-1]
    found = list(parts.each([last], last, value(last)))
    assert not parts.passed
    assert [len(array) for array in found] == [len(next(iter(batch.values()))) for batch in batches]


def test_threads_give_their_results_in_order() -> None:
    assert list(in_order(lambda n: n * n, iter(range(50)))) == [n * n for n in range(50)]
