"""What is written as Q/DQ is read back as it was; files by others are read, run and lowered as well."""

from pathlib import Path
from typing import Any

import networks
import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import helper, numpy_helper
from quantizing import MARGIN, Chain, optimised_kernels

from bitsmith.errors import PlanError, TargetError
from bitsmith.loading.from_onnx import load
from bitsmith.lowering import lower
from bitsmith.numerics import Blocks, Encoding, Integer
from bitsmith.planning import recipes
from bitsmith.planning.plan import Plan
from bitsmith.planning.recipe import Recipe, Rule
from bitsmith.running.session import Session
from bitsmith.targets.onnx import TARGETS
from bitsmith.targets.onnx.extract import extract_quantization
from bitsmith.targets.onnx.insert import insert_quantization

Written = tuple[Chain, ir.Model]
STORED_BITS = TARGETS["onnx"].accepts.stored_bits
RECIPES = {"int8": recipes.int8(), "per_tensor_int8": recipes.per_tensor_int8(), "weights_int8": recipes.weights_int8(),
           "weights_int4": recipes.weights_int4(), "asymmetric": recipes.int8().with_rules(Rule(symmetric_weights=False))}


def written(name: str, recipe: Recipe, *, moves_codes: bool, target: str = "onnxruntime") -> Written:
    chain = Chain.of(networks.NETWORKS[name](), recipe, target)
    return chain, insert_quantization(chain.network, chain.plan, moves_codes=moves_codes, stored_bits=STORED_BITS)


def names_of(model: ir.Model) -> list[str]:
    return [v.name or "" for node in model.graph for v in node.outputs]


@pytest.mark.parametrize("moves_codes", [True, False])
@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
@pytest.mark.parametrize("name", networks.NETWORKS)
def test_round_trip(name: str, recipe: Recipe, moves_codes: bool) -> None:
    chain, first = written(name, recipe, moves_codes=moves_codes)
    found = extract_quantization(first)
    assert found.plan.encodings == chain.plan.encodings
    assert not found.plan.dynamic
    assert names_of(found.network) == names_of(chain.network)
    again = insert_quantization(found.network, found.plan, moves_codes=moves_codes, stored_bits=STORED_BITS)
    assert sorted(names_of(again)) == sorted(names_of(first))
    once_more = extract_quantization(again)
    third = insert_quantization(once_more.network, once_more.plan, moves_codes=moves_codes, stored_bits=STORED_BITS)
    assert ir.to_proto(third).SerializeToString() == ir.to_proto(again).SerializeToString()
    theirs, ours = Session(first).run(chain.feeds), Session(again).run(chain.feeds)
    for output in theirs:
        np.testing.assert_array_equal(ours[output], theirs[output])


def test_dynamic_round_trip() -> None:
    chain, first = written("mlp", recipes.dynamic_int8(), moves_codes=True)
    found = extract_quantization(first)
    assert found.plan.dynamic == chain.plan.dynamic
    assert found.plan.encodings == chain.plan.encodings


def test_narrow_activations_are_clipped_in_the_file_and_read_back() -> None:
    rules = [Rule(match="Conv", activations=4), Rule(match="residual", activations=6)]
    chain = Chain.of(networks.conv_bn_relu(), recipes.int8().with_rules(*rules))
    found = extract_quantization(chain.written)
    formats = {e.format.name for e in found.plan.encodings.values()}
    assert {"uint4", "uint6"} <= formats
    assert found.plan.encodings == chain.plan.encodings


def test_the_network_given_is_not_touched() -> None:
    chain = Chain.of(networks.conv_bn_relu())
    before = ir.to_proto(chain.network).SerializeToString()
    assert extract_quantization(chain.written).network is not chain.written
    assert ir.to_proto(chain.network).SerializeToString() == before


def test_names_that_are_taken_get_underscores() -> None:
    b = networks.Builder(21, seed=0)
    x = b.node("Identity", [b.conv("input", "conv", (2, 2, 1, 1))], "input_quantized")
    b.conv(x, "after", (2, 2, 1, 1))
    model = b.model({"input": ("batch", 2, 3, 3)}, {"after_out": ("batch", 2, 3, 3)})
    network = load(model.SerializeToString())
    encoding = Encoding(Integer(8), np.float32(0.1), np.int32(0))
    made = insert_quantization(network, Plan({"input": encoding}), moves_codes=True, stored_bits=STORED_BITS)
    assert "input_quantized_" in names_of(made)


def test_what_onnx_cannot_say_is_refused_by_name() -> None:
    chain = Chain.of(networks.conv_bn_relu())
    rows = Encoding(Integer(8), np.ones((1, 3, 1, 1)), np.zeros((1, 3, 1, 1)), Blocks.channels(1))
    with pytest.raises(TargetError, match="'input' is computed and has 3 scales in the plan"):
        insert_quantization(chain.network, Plan({"input": rows}), moves_codes=True, stored_bits=STORED_BITS)
    blocks = Encoding(Integer(4), np.ones((3, 2, 1, 1)), np.zeros((3, 2, 1, 1)), Blocks({0: 2, 1: 2}))
    with pytest.raises(TargetError, match="ONNX has blocks along one axis only"):
        insert_quantization(chain.network, Plan({"conv1.weight": blocks}), moves_codes=True, stored_bits=STORED_BITS)
    with pytest.raises(PlanError, match="The plan has 'nobody' and the network does not"):
        insert_quantization(chain.network, Plan({"nobody": rows}), moves_codes=True, stored_bits=STORED_BITS)


@pytest.mark.parametrize("per_channel", [True, False])
@pytest.mark.parametrize("weights", ["QInt8", "QUInt8"])
def test_files_by_onnxruntime(weights: str, per_channel: bool, tmp_path: Path) -> None:
    """quantize_static's own, with uint8 weights and zero points among them: the program gives what onnxruntime gives."""
    quantization = pytest.importorskip("onnxruntime.quantization")
    model = networks.conv_bn_relu(17)
    feeds, path = networks.feeds(model, 16), tmp_path / "theirs.onnx"

    class Reader(quantization.CalibrationDataReader):       # type: ignore[misc,name-defined]
        def __init__(self) -> None:
            self.batches = iter([feeds])

        def get_next(self) -> Any:
            return next(self.batches, None)

    folded = ir.to_proto(Chain.of(model).network)
    quantization.quantize_static(folded, path, Reader(), per_channel=per_channel, quant_format=quantization.QuantFormat.QDQ,
                                 weight_type=getattr(quantization.QuantType, weights), activation_type=quantization.QuantType.QUInt8)
    file = load(path)
    found = extract_quantization(file)
    assert not {"QuantizeLinear", "DequantizeLinear"} & {node.op_type for node in found.network.graph}
    assert found.plan.encodings["conv1.weight_quantized"].format.name == {"QInt8": "int8", "QUInt8": "uint8"}[weights]
    program = lower(found.network, found.plan)
    watched = [name for name in found.code_names if name in program.encodings]
    theirs = Session(file, [found.code_names[name] for name in watched]).run(feeds)
    ours = program.codes(feeds, watched)
    assert len(watched) >= 4
    for name in watched:
        assert np.abs(ours[name].astype(int) - theirs[found.code_names[name]].astype(int)).max() <= 1
    np.testing.assert_allclose(program.run(feeds)["output"], Session(file).run(feeds)["output"], atol=0.1)


def pair(scale: Any, zero_point: Any, other_scale: Any) -> onnx.ModelProto:
    """x -> Q -> DQ -> y with scales of their own."""
    held = {"s": scale, "z": zero_point, "t": other_scale}
    nodes = [helper.make_node("QuantizeLinear", ["x", "s", "z"], ["codes"]),
             helper.make_node("DequantizeLinear", ["codes", "t", "z"], ["y"])]
    x, y = (helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, ["batch", 3]) for n in "xy")
    constants = [numpy_helper.from_array(np.asarray(a), n) for n, a in held.items()]
    return helper.make_model(helper.make_graph(nodes, "g", [x], [y], constants), opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


@pytest.mark.parametrize("scale", [0.0, -1.0])
def test_scales_that_are_none_stay_nodes(scale: float) -> None:
    found = extract_quantization(load(pair(np.float32(scale), np.uint8(3), np.float32(scale)).SerializeToString()))
    assert not found.plan.encodings
    assert [n.op_type for n in found.network.graph] == ["QuantizeLinear", "DequantizeLinear"]


def test_a_dequantize_that_disagrees_stays_a_node() -> None:
    found = extract_quantization(load(pair(np.float32(1), np.uint8(3), np.float32(2)).SerializeToString()))
    assert not found.plan.encodings
    assert [n.op_type for n in found.network.graph] == ["QuantizeLinear", "DequantizeLinear"]


def test_averages_are_written_so_that_onnxruntime_takes_them(tmp_path: Path) -> None:
    b = networks.Builder(21, seed=3)
    x = b.conv("input", "before", (4, 4, 1, 1))
    x = b.node("AveragePool", [x], "plain", {"kernel_shape": [2, 2], "dilations": [1, 1]})
    x = b.node("AveragePool", [x], "dilated", {"kernel_shape": [2, 2], "dilations": [2, 2]})
    b.conv(x, "after", (2, 4, 1, 1))
    chain = Chain.of(b.model({"input": ("batch", 4, 6, 6)}, {"after_out": ("batch", 2, 3, 3)}))
    kernels = optimised_kernels(ir.to_proto(chain.written), tmp_path / "optimised.onnx")
    assert (kernels.count("QLinearAveragePool"), kernels.count("AveragePool")) == (1, 1)
    assert "Sum" in kernels
    for optimise in (True, False):
        np.testing.assert_allclose(chain.program.run(chain.feeds)["after_out"], chain.results(optimise=optimise)["after_out"], atol=MARGIN)


@pytest.mark.parametrize("recipe", [recipes.weights_int4(), recipes.weights_int8()], ids=lambda r: r.name)
@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
def test_recurrent_weights(kind: str, recipe: Recipe) -> None:
    gates, hidden, inputs = {"LSTM": 4, "GRU": 3}[kind], 8, 5
    b = networks.Builder(21, seed=0)
    operands = ["input", b.weight("w", 1, gates * hidden, inputs), b.weight("r", 1, gates * hidden, hidden)]
    b.node(kind, operands, ["steps", "last"], {"hidden_size": hidden})
    chain = Chain.of(b.model({"input": (7, "batch", inputs)}, {"last": (1, "batch", hidden)}), recipe)
    assert {"w", "r"} == set(chain.plan.encodings)
    assert chain.plan.reasons["/steps"] == f"float arithmetic, narrow weights: {kind} has no integer kernel"
    exact = Session(chain.network).run(chain.feeds)["last"]
    near = chain.results()["last"]
    assert 0 < np.abs(near - exact).max() < (0.2 if "4" in recipe.name else 0.02)
    np.testing.assert_allclose(near, chain.results(optimise=False)["last"], atol=MARGIN)
