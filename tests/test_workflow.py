"""The public functions end to end on small networks."""

from pathlib import Path

import networks
import numpy as np
import onnx
import pytest

import bitsmith as bs
from bitsmith.analysis.verify import Comparison, Difference, Verification
from bitsmith.display import verdict

ALL = bs.recipes.int8().with_everything()
STATIC = sorted(set(networks.NETWORKS) - {"tokens"})


@pytest.mark.parametrize("name", sorted(networks.NETWORKS))
@pytest.mark.parametrize("target", ["onnxruntime", "tensorrt", "onnx"])
def test_every_network_is_quantized_written_and_close_to_float(name: str, target: str, tmp_path: Path) -> None:
    model = networks.NETWORKS[name](21)
    data = networks.feeds(model, 16)
    result = bs.quantize(model, data, target=target, recipe=ALL, test=data)
    written = result.write(tmp_path / "net.onnx")
    onnx.checker.check_model(str(written[0]), full_check=True)
    assert result.evaluation is not None
    assert result.evaluation.snr_db is not None
    assert result.evaluation.snr_db > 20


def test_names_of_the_user_survive(tmp_path: Path) -> None:
    model = networks.two_in_two_out()
    bs.quantize(model, networks.feeds(model, 8), recipe=ALL).write(tmp_path / "q.onnx")
    written = onnx.load(tmp_path / "q.onnx")
    assert [v.name for v in written.graph.input] == [v.name for v in model.graph.input]
    assert [v.name for v in written.graph.output] == [v.name for v in model.graph.output]
    products = [n for n in model.graph.node if n.op_type in ("Conv", "Gemm")]
    assert {n.name for n in products} <= {n.name for n in written.graph.node}
    assert {name for n in products for name in n.input[1:]} <= {i.name for i in written.graph.initializer}
    assert {n.output[0] for n in products[:2]} <= {name for n in written.graph.node for name in n.output}


def test_the_steps_give_what_the_short_way_gives(tmp_path: Path) -> None:
    model = networks.conv_bn_relu()
    data = networks.feeds(model, 8)
    network = bs.load(model)
    statistics = bs.calibrate(network, data)
    plan = bs.make_plan(network, statistics, recipe=bs.recipes.int8(), target="onnxruntime")
    network, plan = bs.refine(network, plan, statistics, data, recipe=bs.recipes.int8(), target="onnxruntime")
    bs.write(network, plan, tmp_path / "a.onnx", target="onnxruntime")
    bs.quantize(model, data).write(tmp_path / "b.onnx")
    assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "b.onnx").read_bytes()


def test_same_inputs_same_bytes(tmp_path: Path) -> None:
    model = networks.depthwise()
    for name in ("a", "b"):
        bs.quantize(model, networks.feeds(model, 8)).write(tmp_path / f"{name}.onnx")
    assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "b.onnx").read_bytes()
    assert (tmp_path / "a.plan.json").read_bytes() == (tmp_path / "b.plan.json").read_bytes()


@pytest.mark.parametrize("name", STATIC)
def test_written_files_verify(name: str, tmp_path: Path) -> None:
    model = networks.NETWORKS[name](21)
    data = networks.feeds(model, 8)
    path = bs.quantize(model, data, recipe=ALL).write(tmp_path / "q.onnx")[0]
    found = bs.verify(path, data)
    pair = next(c for c in found.comparisons if "simulated" not in (c.first, c.second))
    assert pair.largest <= 1
    assert pair.agreement == 1.0


@pytest.mark.parametrize("recipe", ["weights_int8", "weights_int4", "dynamic_int8", "int16", "int4", "per_tensor_int8"])
def test_every_recipe_runs(recipe: str, tmp_path: Path) -> None:
    model = networks.conv_bn_relu()
    data = networks.feeds(model, 8)
    result = bs.quantize(model, data, recipe=bs.load_recipe(recipe).with_everything(), test=data)
    assert result.evaluation is not None
    assert result.evaluation.snr_db is not None
    assert result.evaluation.snr_db > 10
    result.write(tmp_path / "q.onnx")


def test_weights_alone_need_no_data() -> None:
    assert bs.quantize(networks.mlp(), recipe="weights_int8").plan.encodings


def test_activations_need_data() -> None:
    with pytest.raises(bs.BitsmithError, match="calibration data"):
        bs.quantize(networks.mlp(), recipe=ALL)


def test_statistics_of_another_network_are_refused() -> None:
    statistics = bs.calibrate(bs.load(networks.mlp(seed=1)), networks.feeds(networks.mlp(), 4))
    with pytest.raises(bs.BitsmithError, match="another network"):
        bs.make_plan(bs.load(networks.mlp()), statistics)


def test_engines_are_named_and_unknown_ones_refused() -> None:
    model = networks.mlp()
    data = networks.feeds(model, 4)
    result = bs.quantize(model, data, recipe=ALL)
    for engine in ("onnxruntime", "simulated", "program", "program-fixed-point", "program-shift"):
        assert bs.evaluate(result, data, engine=engine).engine == engine
    with pytest.raises(bs.BitsmithError, match="No engine"):
        bs.evaluate(result, data, engine="tflite")


def test_a_float_file_cannot_be_verified(tmp_path: Path) -> None:
    onnx.save(networks.mlp(), tmp_path / "net.onnx")
    with pytest.raises(bs.BitsmithError, match="no QuantizeLinear"):
        bs.verify(tmp_path / "net.onnx", networks.feeds(networks.mlp(), 4))


def test_progress_is_told_in_samples() -> None:
    model, told = networks.mlp(), []
    bs.calibrate(bs.load(model), networks.feeds(model, 100), progress=lambda done, total: told.append((done, total)))
    assert told[-1] == (100, 100)


def test_memory_of_the_network_is_left_alone() -> None:
    network = bs.load(networks.conv_bn_relu())
    before = {name: np.array(v.const_value.numpy()) for name, v in network.graph.initializers.items() if v.const_value is not None}
    result = bs.quantize(network, networks.feeds(networks.conv_bn_relu(), 4), recipe=ALL)
    assert result.network is not network
    assert all(np.array_equal(array, network.graph.initializers[name].const_value.numpy()) for name, array in before.items())


def test_fixed_point_requantization_answers_as_float_scales_do() -> None:
    """Two ways from accumulators to codes: they differ at ties only, so hardly an answer changes."""
    model = networks.depthwise()
    data = networks.feeds(model, 32)
    result = bs.quantize(model, data, recipe=ALL)
    fixed, scaled = (bs.evaluate(result, data, against=result.original, engine=e) for e in ("program-fixed-point", "program"))
    assert fixed.snr_db == pytest.approx(scaled.snr_db, abs=0.5)


def test_ends_get_the_format_that_was_asked(tmp_path: Path) -> None:
    model = networks.conv_bn_relu()
    recipe = bs.recipes.int4().with_ends("float").with_everything()
    plan = bs.quantize(model, networks.feeds(model, 4), recipe=recipe).plan
    weights = [n.input[1] for n in model.graph.node if n.op_type in ("Conv", "Gemm")]
    assert [name in plan.encodings for name in weights] == [False, *[True] * (len(weights) - 2), False]
    assert bs.recipes.int4().with_ends("16").ends == 16


def test_shapes_that_follow_from_computed_constants_are_known() -> None:
    b = networks.Builder(18, seed=0)
    axes = b.node("Reshape", [b.constant("a", [2, 3], np.int64), b.constant("one", [-1], np.int64)], "axes")
    b.conv(b.node("ReduceMean", ["input", axes], "mean"), "conv", (2, 3, 1, 1))
    b.node("Identity", ["conv_out"], "output")
    network = bs.load(b.model({"input": ("batch", 3, 4, 4)}, {"output": ("batch", 2, 1, 1)}))
    shapes = {v.name: v.shape for node in network.graph for v in node.outputs}
    assert shapes["mean"] is not None
    assert [d for d in shapes["mean"] if isinstance(d, int)] == [3, 1, 1]


def test_sixteen_bits_are_added_in_float_and_verify_says_so() -> None:
    model = networks.conv_bn_relu()
    result = bs.quantize(model, networks.feeds(model, 24), recipe=bs.recipes.int16().with_everything())
    found = result.verify(networks.feeds(model, 16))
    apart = {frozenset((c.first, c.second)): c for c in found.comparisons}
    assert found.wide > 5
    assert apart[frozenset(("simulated", "onnxruntime"))].differing == 0        # both add in float32
    program = apart[frozenset(("program", "onnxruntime"))]
    assert program.largest <= 4
    assert program.differing < program.codes / 100
    assert "adds up codes of more than 8 bits in float32" in result.plan.reasons["input"]
    shown = str(verdict(found))
    assert found.exact or ("no fault" in shown and f"{program.differing:,} of" in shown)


def test_eight_bits_are_integers_throughout() -> None:
    model = networks.conv_bn_relu()
    result = bs.quantize(model, networks.feeds(model, 24), recipe=bs.recipes.int8().with_everything())
    assert result.verify(networks.feeds(model, 4)).wide == 0
    assert "float32" not in result.plan.reasons["input"]


def test_the_verdict_on_floats_says_how_many_answers_are_others() -> None:
    def said(agreement: float, misplaced: int) -> str:
        steps = Comparison("program", "c", (Difference("x", 9, 0, 0),), 1.0, 0.0)
        apart = Comparison("c", "onnxruntime", (), agreement, 0.0, 0.0, misplaced)
        return str(verdict(Verification(1000, (steps, apart), tolerance=1e-4)))

    assert said(1.0, 0).endswith("Its outputs are onnxruntime's.")
    assert said(0.998, 2).endswith("For 0.2 % of the samples its answer is another: look whether the best scores are that near.")
