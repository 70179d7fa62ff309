"""After bias correction every product's mean is that in float, channel by channel; nothing else changes."""

from contextlib import nullcontext

import numpy as np
import onnx
import onnx_ir as ir
import pytest

import bitsmith as bs
from bitsmith.analysis.fingerprint import fingerprint
from bitsmith.errors import GoneError
from bitsmith.graph import constant
from bitsmith.improving.correct_bias import channel_sums, correct_bias, correct_bias_analytically
from bitsmith.improving.draft import Draft
from bitsmith.improving.stepwise import Stepwise, few_samples
from bitsmith.numerics.formats import Array
from bitsmith.planning.recipe import Recipe, load_recipe
from bitsmith.running.session import Session
from bitsmith.targets.onnx.insert import insert_quantization
from bitsmith.workflow import first_draft
from tests import networks

PRODUCTS = ("Conv", "ConvTranspose", "Gemm", "MatMul")


def draft_of(model: onnx.ModelProto, recipe: str | Recipe = "int4", samples: int = 24) -> Draft:
    asked = load_recipe(recipe).with_everything()
    return first_draft(bs.load(model), networks.feeds(model, samples), asked, "onnxruntime", lambda title: nullcontext())


def means(network: ir.Model, names: list[str], draft: Draft) -> dict[str, Array]:
    batch = next(iter(draft.samples("test").batches(1000)))
    found = Session(network, names, optimise=False).run(batch)
    return {n: v.astype(np.float64).mean(tuple(a for a in range(v.ndim) if a != 1)) for n, v in found.items()}


def written(draft: Draft) -> ir.Model:
    return insert_quantization(draft.network, draft.plan, moves_codes=False)


def unbiased() -> onnx.ModelProto:
    b = networks.Builder(21, seed=1)
    x = b.relu(b.node("Conv", ["input", b.weight("w1", 5, 3, 3, 3)], "first"))
    b.node("Conv", [x, b.weight("w2", 4, 5, 1, 1)], "output")
    return b.model({"input": ("batch", 3, 6, 6)}, {"output": ("batch", 4, 4, 4)})


@pytest.mark.parametrize("build", [networks.conv_bn_relu, networks.depthwise, networks.mlp])
def test_the_means_of_all_products_become_those_in_float(build: object) -> None:
    draft = draft_of(build())      # type: ignore[operator]
    better = correct_bias(draft, None)
    graph = written(better).graph
    names = [n.outputs[0].name or "" for n in draft.network.graph if n.op_type in PRODUCTS]
    made = {v.name for node in graph for v in node.outputs}
    inside = {name: f"{name}_unquantized" if f"{name}_unquantized" in made else name for name in names}
    exact = means(draft.original, names, draft)
    before, after = (means(written(d), list(inside.values()), d) for d in (draft, better))
    lost_before = max(np.abs(exact[n] - before[inside[n]]).max() for n in names)
    lost_after = max(np.abs(exact[n] - after[inside[n]]).max() for n in names)
    assert lost_after < lost_before / 10        # what is left is the rounding of biases to int32


def test_only_biases_change_and_the_original_stays() -> None:
    draft = draft_of(networks.conv_bn_relu())
    known = fingerprint(draft.original)
    better = correct_bias(draft, None)
    assert fingerprint(draft.original) == fingerprint(draft.network) == known
    assert better.reference is draft.network
    for name, value in better.network.graph.initializers.items():
        same = np.array_equal(constant(value), constant(draft.network.graph.initializers[name]))     # type: ignore[arg-type]
        assert same == ("bias" not in name), name
    assert "24 samples" in better.plan.reasons["conv1.bias"]
    assert better.plan.encodings == draft.plan.encodings


def test_a_product_without_bias_gets_one_with_its_encoding() -> None:
    better = correct_bias(draft_of(unbiased()), None)
    assert better.plan.encodings["w1_bias"].format.name == "int32"
    assert better.plan.reasons["w1_bias"].startswith("added")
    result = bs.quantize(unbiased(), networks.feeds(unbiased(), 24), recipe=better.recipe.with_refinements("correct_bias"))
    assert result.verify(networks.feeds(unbiased(), 8)).exact


def test_biases_of_matrix_products_that_stand_in_an_add_are_corrected() -> None:
    draft = draft_of(networks.attention())
    better = correct_bias(draft, None)
    changed = [n for n in ("q.bias", "proj.bias", "down.bias") if "shifted" in better.plan.reasons.get(n, "")]
    assert changed == ["q.bias", "proj.bias", "down.bias"]


def test_correcting_twice_changes_next_to_nothing() -> None:
    once = correct_bias(draft_of(networks.conv_bn_relu()), None)
    twice = correct_bias(once, None)
    for name, value in once.network.graph.initializers.items():
        np.testing.assert_allclose(constant(value), constant(twice.network.graph.initializers[name]), atol=2e-3)  # type: ignore[arg-type]


@pytest.mark.parametrize("build", [networks.conv_bn_relu, networks.attention, networks.swish, networks.two_in_two_out])
def test_value_by_value_gives_what_one_run_gives(build: object) -> None:
    model = build()     # type: ignore[operator]
    network, feeds = bs.load(model), networks.feeds(model, 5)
    steps = Stepwise.start(network, [feeds])
    values = [n.outputs[0] for n in network.graph if n.op_type in PRODUCTS]
    whole = Session(network, [v.name or "" for v in values], optimise=False).run(feeds)
    for value in values:
        np.testing.assert_allclose(steps.advance(value)[0], whole[value.name or ""], rtol=1e-4, atol=1e-5)
    assert len(steps.known) < len(values) + len(feeds)


def test_a_network_of_fixed_batch_gets_whole_batches() -> None:
    rows = np.random.default_rng(0).normal(size=(10, 3, 8, 8)).astype(np.float32)
    asked = load_recipe("int4").with_everything()
    draft = first_draft(bs.load(networks.conv_bn_relu(batch=4)), rows, asked, "onnxruntime", lambda title: nullcontext())
    assert [len(b["input"]) for b in few_samples(draft.network, draft.samples("test"))] == [4, 4]
    assert "8 samples" in correct_bias(draft, None).plan.reasons["conv1.bias"]


@pytest.mark.parametrize(("shape", "axis"), [((5, 3, 7, 4), 1), ((6, 4), 1), ((2, 5, 3), 2), ((3, 2, 1, 1), 1)])
def test_sums_over_all_but_the_channels(shape: tuple[int, ...], axis: int) -> None:
    values = np.random.default_rng(1).normal(size=shape).astype(np.float32)
    slow = [sum(float(x) for x in values.take(c, axis).ravel()) for c in range(shape[axis])]
    np.testing.assert_allclose(channel_sums(values, axis), slow, rtol=1e-5, atol=1e-5)


def noisy(scale: float = 1.0) -> onnx.ModelProto:
    """Two products behind a normalization whose statistics are those of normal inputs."""
    b = networks.Builder(21, seed=3)
    x = b.conv("input", "first", (5, 3, 1, 1))
    weight, bias = (next(t for t in b.initializers if t.name == f"first.{n}") for n in ("weight", "bias"))
    matrix, shift = (np.frombuffer(t.raw_data, np.float32) for t in (weight, bias))
    statistics = {"running_mean": shift, "running_var": (matrix.reshape(5, 3) ** 2).sum(1), "weight": np.full(5, scale), "bias": np.ones(5)}
    operands = [b.constant(f"bn.{name}", statistics[name]) for name in ("weight", "bias", "running_mean", "running_var")]
    x = b.relu(b.node("BatchNormalization", [x, *operands], "bn", {"epsilon": 1e-9}))
    b.conv(b.relu(b.conv(x, "second", (6, 5, 1, 1))), "third", (4, 6, 1, 1))
    b.node("Identity", ["third_out"], "output")
    return b.model({"input": ("batch", 3, 4, 4)}, {"output": ("batch", 4, 4, 4)})


def test_without_data_the_means_come_close_to_those_in_float() -> None:
    drawn = np.random.default_rng(0).normal(size=(200, 3, 4, 4)).astype(np.float32)
    asked = load_recipe("weights_int3").with_everything()
    draft = first_draft(bs.load(noisy()), None, asked, "onnxruntime", lambda title: nullcontext())
    better = correct_bias(draft, None)      # no data: it takes BatchNorm's word
    names = ["second_out", "output"]
    runs = [Session(n, names, optimise=False).run({"input": drawn}) for n in (draft.original, written(draft), written(better))]
    exact, before, after = ({n: v.mean((0, 2, 3)) for n, v in run.items()} for run in runs)
    for name in names:
        assert np.abs(exact[name] - after[name]).max() < np.abs(exact[name] - before[name]).max() / 4, name
    assert "as BatchNorm tells" in better.plan.reasons["second.bias"]
    assert "not corrected: no BatchNorm" in better.plan.reasons["/first_out"]
    assert better.reference is draft.network


def test_without_data_and_without_normalization_it_is_an_error() -> None:
    draft = first_draft(bs.load(unbiased()), None, load_recipe("weights_int4"), "onnxruntime", lambda title: nullcontext())
    with pytest.raises(GoneError, match="correct_bias"):
        correct_bias(draft, None)
    assert correct_bias_analytically(draft, None).plan.encodings == draft.plan.encodings
