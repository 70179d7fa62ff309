"""Rounded networks: nearer to the float ones, every weight on a code, nothing else touched, the same bytes again."""

from contextlib import nullcontext
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest

import bitsmith as bs
from bitsmith.calibration.collection import Collection
from bitsmith.errors import GoneError
from bitsmith.graph import constant
from bitsmith.improving.draft import Draft
from bitsmith.improving.frontier import Frontier
from bitsmith.improving.gather_moments import Samples, gather_moments, simulate_activations, wanted_results
from bitsmith.improving.layers import find_layers
from bitsmith.improving.round_weights import round_weights
from bitsmith.planning.recipe import FLOAT, Recipe, Rule
from bitsmith.running.session import Session
from bitsmith.targets import target_named
from bitsmith.workflow import Quantized, first_draft
from tests import networks

Array = np.ndarray[Any, Any]
FOUR = Recipe("four", (Rule(weights=4),), everything=True)
RECIPES = {
    "channel": FOUR,
    "tensor": FOUR.with_rules(Rule(granularity="tensor")),
    "affine": FOUR.with_rules(Rule(weights="uint4", symmetric_weights=False)),
    "restricted": FOUR.with_rules(Rule(weights="int4-restricted")),
    "power of two": FOUR.with_rules(Rule(power_of_two=True)),
    "activations": FOUR.with_rules(Rule(activations=4)),
    "group": Recipe("group", (Rule(weights=3, activations=FLOAT, granularity="group:4"),)),
}
BUILT = {"conv_bn_relu": networks.conv_bn_relu, "depthwise": networks.depthwise, "mlp": networks.mlp, "attention": networks.attention}


def draft_of(model: onnx.ModelProto, recipe: Recipe, samples: int = 96) -> Draft:
    return first_draft(bs.load(model), networks.feeds(model, samples=samples), recipe, "onnx", lambda title: nullcontext())


def weights_of(draft: Draft) -> dict[str, Array]:
    stored = draft.network.graph.initializers
    return {name: a for name in draft.plan.encodings if name in stored and (a := constant(stored[name])) is not None}


def output_error(draft: Draft) -> float:
    """Mean squared distance of the simulated network from the float one."""
    simulated, exact = Session(draft.simulated()), Session(draft.original)
    errors = [np.square(a - b).mean() for batch in draft.samples("test")
              for a, b in zip(simulated.run(batch).values(), exact.run(batch).values(), strict=True)]
    return float(np.mean(errors))


def content(model: ir.Model) -> bytes:
    return bytes(ir.to_proto(model).SerializeToString(deterministic=True))


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("built", ["conv_bn_relu", "depthwise"])
def test_the_output_comes_nearer_and_every_weight_stands_on_a_code(built: str, recipe: str) -> None:
    draft = draft_of(BUILT[built](), RECIPES[recipe])
    before = content(draft.network)
    rounded = round_weights(draft)
    assert output_error(rounded) < output_error(draft)
    for name, array in weights_of(rounded).items():
        if array.ndim > 1:
            np.testing.assert_array_equal(rounded.plan.encodings[name].simulate(array), array)
    assert content(draft.network) == before
    assert rounded.original is draft.original
    assert [v.name for n in rounded.network.graph for v in n.outputs] == [v.name for n in draft.network.graph for v in n.outputs]
    assert rounded.plan.encodings.keys() == draft.plan.encodings.keys()


@pytest.mark.parametrize("built", ["mlp", "attention"])
def test_matrix_products_gain_too(built: str) -> None:
    draft = draft_of(BUILT[built](), FOUR)
    assert output_error(round_weights(draft)) < 0.8 * output_error(draft)


def test_the_same_inputs_give_the_same_bytes() -> None:
    first, second = (round_weights(draft_of(networks.conv_bn_relu(), FOUR)) for _ in range(2))
    assert first.plan.to_json() == second.plan.to_json()
    assert content(first.network) == content(second.network)


def test_what_runs_is_what_was_refined() -> None:
    model = networks.conv_bn_relu()
    draft = draft_of(model, FOUR)
    rounded = round_weights(draft)
    result = Quantized(rounded.original, rounded.network, rounded.plan, "onnx", rounded.statistics)
    for comparison in result.verify(networks.feeds(model, samples=16)).comparisons:
        assert not any(difference.differing for difference in comparison.differences)
        assert comparison.output_error < 1e-5


def test_scales_are_chosen_and_biases_follow_them() -> None:
    draft = draft_of(networks.conv_bn_relu(), FOUR)
    rounded = round_weights(draft)
    weight, bias = "conv1.weight", next(n for n in draft.plan.encodings if n.startswith("conv1") and n.endswith("bias"))
    source = rounded.plan.encodings["input"].scale
    assert not np.array_equal(rounded.plan.encodings[weight].scale, draft.plan.encodings[weight].scale)
    np.testing.assert_array_equal(rounded.plan.encodings[bias].scale, source * rounded.plan.encodings[weight].scale.ravel())
    assert "of the squared error of rounding to nearest" in rounded.plan.reasons[weight]


def test_powers_of_two_stay_powers_of_two() -> None:
    rounded = round_weights(draft_of(networks.conv_bn_relu(), RECIPES["power of two"]))
    for name, array in weights_of(rounded).items():
        if array.ndim > 1:
            assert (np.frexp(rounded.plan.encodings[name].scale)[0] == 0.5).all()


def test_progress_counts_layers() -> None:
    seen: list[tuple[int, int | None]] = []
    round_weights(draft_of(networks.conv_bn_relu(), FOUR), lambda done, total: seen.append((done, total)))
    assert seen == [(1, 3), (2, 3), (3, 3)]


def test_data_that_cannot_be_read_again_are_refused() -> None:
    one = draft_of(networks.conv_bn_relu(), FOUR)
    with pytest.raises(GoneError, match="'round_weights'"):
        round_weights(Draft(one.original, one.network, Collection({}), one.plan, None, one.recipe, target_named("onnx")))


def test_a_weight_that_serves_two_layers_is_left_out_and_the_plan_says_so() -> None:
    b = networks.Builder(21, 0)
    weight = b.weight("w", 8, 8)
    x = b.relu(b.node("MatMul", ["input", weight], "first"))
    b.node("MatMul", [x, weight], "output")
    draft = draft_of(b.model({"input": ("batch", 8)}, {"output": ("batch", 8)}), FOUR)
    rounded = round_weights(draft)
    assert "rounded to nearest: 'w' serves several nodes" in rounded.plan.reasons["w"]
    assert rounded.plan.encodings["w"] == draft.plan.encodings["w"]


def test_targets_come_in_as_many_passes_as_memory_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    draft = draft_of(networks.conv_bn_relu(), FOUR)
    layers, _ = find_layers(draft.network.graph, draft.plan.encodings)
    samples = Samples.of(draft.samples("test"))
    at_once = list(wanted_results(draft.network, layers, samples))
    monkeypatch.setattr("bitsmith.improving.gather_moments.HELD", 1)
    for one, other in zip(at_once, wanted_results(draft.network, layers, samples), strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def test_moments_are_those_of_what_is_read_and_lacking(monkeypatch: pytest.MonkeyPatch) -> None:
    """For the layer that ends in a sum: slowly, from whole values at every place."""
    draft = draft_of(networks.conv_bn_relu(), FOUR, samples=20)
    layers, _ = find_layers(draft.network.graph, draft.plan.encodings)
    samples, simulated = Samples.of(draft.samples("test")), simulate_activations(draft)
    number = next(i for i, layer in enumerate(layers) if layer.sum is not None)
    layer, wanted = layers[number], list(wanted_results(draft.network, layers, samples))[number]
    moments = gather_moments(Frontier(simulated, samples.data), number, layer, wanted, samples)
    read = all_of(simulated, read_with(simulated, layer.weight), draft)
    padded = np.pad(read, ((0, 0), (0, 0), (1, 1), (1, 1)))
    rows = np.stack([padded[n, :, i:i + 3, j:j + 3].ravel() for n in range(20) for i in range(8) for j in range(8)])
    assert moments.count == len(rows)
    np.testing.assert_allclose(moments.xx[0], rows.T.astype(np.float64) @ rows, rtol=1e-5)
    np.testing.assert_allclose(moments.x[0], rows.sum(0, dtype=np.float64), rtol=1e-5)
    assert layer.made == "residual"
    weight, bias = (constant(v) for v in layer.node.inputs[1:3])
    assert weight is not None
    assert bias is not None
    own = (rows @ weight.reshape(6, -1).T + bias).reshape(20, 8, 8, 6).transpose(0, 3, 1, 2)
    lacking = (all_of(draft.network, "residual", draft) - own - read).transpose(0, 2, 3, 1).reshape(-1, 6)
    np.testing.assert_allclose(moments.r[0], lacking.sum(0), rtol=1e-3, atol=1e-2)
    np.testing.assert_allclose(moments.rx[0], lacking.T @ rows, rtol=1e-2, atol=1e-2)


def all_of(model: ir.Model, name: str, draft: Draft) -> Array:
    """A value for all samples."""
    session = Session(model, [name])
    return np.concatenate([session.run(batch)[name] for batch in draft.samples("test")])


def read_with(model: ir.Model, weight: str) -> str:
    """The name of what the node with this weight reads."""
    (use,) = model.graph.initializers[weight].uses()
    read = use.node.inputs[0]
    assert read is not None
    return read.name or ""


def test_the_mean_error_goes_into_the_bias() -> None:
    draft = draft_of(networks.conv_bn_relu(), Recipe("two", (Rule(weights=2, activations=FLOAT),)))
    first = draft.network.graph[0].outputs[0].name or ""
    exact = all_of(draft.original, first, draft)
    nearest, rounded = (all_of(d.simulated(), first, d) - exact for d in (draft, round_weights(draft)))
    assert np.abs(rounded.mean((0, 2, 3))).max() < 1e-3 < np.abs(nearest.mean((0, 2, 3))).max()


@pytest.mark.parametrize("built", ["conv_bn_relu", "depthwise"])
def test_onnxruntime_leaves_the_weights_of_the_simulated_network_alone(built: str) -> None:
    """Between codes its optimiser would quantize them by itself, to 8 bits."""
    draft = draft_of(BUILT[built](), Recipe("fine", (Rule(weights=16),), everything=True))
    simulated = simulate_activations(draft)
    fast, slow = Session(simulated), Session(simulated, optimise=False)
    for batch in draft.samples("test"):
        for name, array in slow.run(batch).items():
            assert np.abs(fast.run(batch)[name] - array).mean() < 1e-4      # single codes may differ, where sums come in another order
