"""Weights that several nodes read: each gets its own in what onnxruntime sees, and nothing else changes."""

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper, numpy_helper

import bitsmith as bs
from bitsmith.running.serialized import LARGE, serialize
from bitsmith.running.session import Session
from bitsmith.running.unshare import unshare_weights


def twice(size: int) -> ir.Model:
    """One int8 weight, dequantized once, multiplied by twice."""
    codes = np.random.default_rng(0).integers(-128, 128, (size, size)).astype(np.int8)
    nodes = [
        helper.make_node("DequantizeLinear", ["w", "scale"], ["real"], name="unpack"),
        helper.make_node("MatMul", ["x", "real"], ["middle"]),
        helper.make_node("MatMul", ["middle", "real"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes, "twice", [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", size])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", size])],
        [numpy_helper.from_array(codes, "w"), numpy_helper.from_array(np.float32(2**-7), "scale")])
    return ir.from_proto(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10))


@pytest.mark.parametrize("size", [8, 2 * int(LARGE**0.5)])
@pytest.mark.parametrize("outputs", [["y"], ["y", "real"]])
def test_each_reader_has_its_own(size: int, outputs: list[str]) -> None:
    serialized = serialize(twice(size))
    serialized.hand_out(outputs)
    unshare_weights(serialized)
    graph = serialized.message.graph
    read = [name for node in graph.node for name in node.input if name.startswith("w")]
    assert len(read) == len(set(read)) == 1 + len(outputs)
    assert set(read) <= {tensor.name for tensor in graph.initializer}
    assert [node.input[1] for node in graph.node if node.op_type == "MatMul"] != ["real", "real"]


@pytest.mark.parametrize("size", [8, 2 * int(LARGE**0.5)])
def test_nothing_else_changes(size: int) -> None:
    network, x = twice(size), np.random.default_rng(1).standard_normal((3, size)).astype(np.float32)
    before = ir.to_proto(network).SerializeToString()
    found = Session(network, ["y", "real"], optimise=False).run({"x": x})
    np.testing.assert_allclose(found["y"], x @ found["real"] @ found["real"], rtol=1e-4, atol=1e-3 * size)
    assert ir.to_proto(network).SerializeToString() == before


def test_a_network_that_uses_a_weight_twice_is_quantized_and_verifies(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    weights = random.standard_normal((4, 4, 3, 3)).astype(np.float32)
    nodes = [helper.make_node("Conv", ["x", "w"], ["a"], pads=[1] * 4), helper.make_node("Relu", ["a"], ["b"]),
             helper.make_node("Conv", ["b", "w"], ["y"], pads=[1] * 4)]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 4, 8, 8]) for name in "xy"]
    graph = helper.make_graph(nodes, "shared", ends[:1], ends[1:], [numpy_helper.from_array(weights, "w")])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), tmp_path / "shared.onnx")
    data = random.standard_normal((16, 4, 8, 8)).astype(np.float32)
    result = bs.quantize(tmp_path / "shared.onnx", data, recipe=bs.recipes.int8().with_everything())
    result.write(tmp_path / "shared.int8.onnx")
    assert bs.verify(tmp_path / "shared.int8.onnx", data).exact
