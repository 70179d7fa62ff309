"""Operators whose definition changed between opsets, converted, compute in onnxruntime what they computed."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import networks
import numpy as np
import onnx
import onnx_ir as ir
import pytest
from networks import Array
from onnx import helper, numpy_helper

from bitsmith.errors import LoadError
from bitsmith.loading.from_onnx import load

RANDOM = np.random.default_rng(0)
IMAGE = RANDOM.normal(size=(2, 3, 8, 8)).astype(np.float32)
TABLE = RANDOM.normal(size=(2, 6)).astype(np.float32)
ONES = np.ones(3, np.float32)


def one_node(kind: str, opset: int, operands: Sequence[Array | None], attributes: Mapping[str, Any], outputs: int) -> onnx.ModelProto:
    """One node; the first operand is fed, the others are held."""
    names = ["" if operand is None else f"operand{i}" for i, operand in enumerate(operands)]
    node = helper.make_node(kind, names, [f"result{i}" for i in range(outputs)], name="the_node", **attributes)
    graph = helper.make_graph(
        [node], "g", [helper.make_tensor_value_info("operand0", helper.np_dtype_to_tensor_dtype(operands[0].dtype), operands[0].shape)],
        [onnx.ValueInfoProto(name=name) for name in node.output],
        [numpy_helper.from_array(operand, name) for name, operand in zip(names, operands, strict=True) if name not in ("", "operand0")])
    return onnx.shape_inference.infer_shapes(helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=7))


def floats(*numbers: float) -> Array:
    return np.float32(numbers)


SCALES_UP, SCALES_DOWN = floats(1, 1, 1.5, 2.5), floats(1, 1, 0.6, 0.4)
CASES = [
    *(("Upsample", 9, (IMAGE, SCALES_UP), {"mode": mode}, 1) for mode in ("nearest", "linear")),
    *(("Upsample", 7, (IMAGE,), {"mode": mode, "scales": [1.0, 1.0, 2.0, 3.0]}, 1) for mode in ("nearest", "linear")),
    *(("Resize", 10, (IMAGE, scales), {"mode": mode}, 1) for mode in ("nearest", "linear") for scales in (SCALES_UP, SCALES_DOWN)),
    *(("Resize", 11, (IMAGE, floats(), SCALES_UP), {"mode": mode}, 1) for mode in ("nearest", "linear")),
    *((kind, 11, (IMAGE,), {"axis": axis}, 1) for kind in ("Softmax", "LogSoftmax", "Hardmax") for axis in (0, 1, 2, 3, -1)),
    *((kind, 9, (IMAGE,), {"axes": [2, 3], "keepdims": 0}, 1) for kind in ("ReduceMean", "ReduceSum", "ReduceL2", "ReduceMax")),
    ("Softmax", 9, (IMAGE,), {}, 1),
    ("Hardmax", 9, (TABLE,), {}, 1),
    ("ReduceMean", 11, (IMAGE,), {}, 1),
    ("BatchNormalization", 7, (IMAGE, ONES * 2, ONES, ONES, ONES * 3), {}, 1),
    ("BatchNormalization", 9, (IMAGE, ONES * 2, ONES, ONES, ONES * 3), {"epsilon": 0.1}, 1),
    ("Dropout", 9, (IMAGE,), {"ratio": 0.4}, 1),
    ("Clip", 6, (IMAGE,), {"min": 0.0}, 1),
    ("Clip", 9, (IMAGE,), {"max": 0.5}, 1),
    ("Pad", 9, (IMAGE,), {"pads": [0, 0, 1, 1, 0, 0, 2, 2], "mode": "reflect"}, 1),
    ("Pad", 10, (IMAGE,), {"pads": [0, 0, -1, 1, 0, 0, 2, 2], "value": 3.0}, 1),
    ("Pad", 10, (IMAGE,), {"pads": [0, 0, 1, 1, 0, 0, 2, 2], "value": 3.0, "mode": "edge"}, 1),
    ("Slice", 9, (IMAGE,), {"starts": [1, -3], "ends": [3, 9999], "axes": [1, 2]}, 1),
    ("Split", 9, (IMAGE,), {"axis": 3, "split": [2, 6]}, 2),
    ("Split", 13, (IMAGE,), {"axis": 1}, 3),
    ("Squeeze", 9, (IMAGE[:, :1],), {}, 1),
    ("Unsqueeze", 11, (IMAGE,), {"axes": [0, -1]}, 1),
    ("TopK", 9, (TABLE,), {"k": 2}, 2),
    ("Gemm", 7, (TABLE, TABLE.T.copy(), floats(1, 2)), {}, 1),
    ("MaxPool", 8, (IMAGE,), {"kernel_shape": [3, 3], "auto_pad": "SAME_UPPER"}, 1),
    ("AveragePool", 10, (IMAGE,), {"kernel_shape": [3, 3], "strides": [2, 2], "ceil_mode": 1}, 1),
    ("QuantizeLinear", 10, (IMAGE, np.float32(0.1), np.uint8(3)), {}, 1),
    ("DequantizeLinear", 13, (IMAGE.astype(np.int8), ONES, np.zeros(3, np.int8)), {"axis": 1}, 1),
    ("PRelu", 7, (IMAGE, RANDOM.uniform(0, 1, (3, 1, 1)).astype(np.float32)), {}, 1),
    ("RoiAlign", 10, (IMAGE, floats(0, 0, 5, 5)[None], np.array([0])), {"output_height": 3, "output_width": 3}, 1),
    ("GridSample", 16, (IMAGE, RANDOM.uniform(-1, 1, (2, 4, 4, 2)).astype(np.float32)), {"mode": "bicubic"}, 1),
    ("MeanVarianceNormalization", 9, (IMAGE,), {}, 1),
    ("Scatter", 9, (TABLE, np.array([[1, 2]]), floats(5, 6)[None]), {"axis": 1}, 1),
]


@pytest.mark.parametrize(("kind", "opset", "operands", "attributes", "outputs"), CASES, ids=[f"{case[0]}-{case[1]}" for case in CASES])
def test_converted_operators_compute_the_same(
    kind: str, opset: int, operands: tuple[Array | None, ...], attributes: dict[str, Any], outputs: int
) -> None:
    model = one_node(kind, opset, operands, attributes, outputs)
    feeds = {"operand0": operands[0]}
    converted = load(model)
    assert converted.opset_imports[""] == 21
    assert [value.name for value in converted.graph.outputs] == [f"result{i}" for i in range(outputs)]
    assert len({node.name for node in converted.graph} - {None, ""}) == len(converted.graph)
    expected = networks.run(model, feeds)
    for name, array in networks.run(ir.to_proto(converted), feeds).items():
        np.testing.assert_allclose(array, expected[name], rtol=1e-5, atol=1e-6)


def test_a_node_set_aside_keeps_its_name() -> None:
    graph = load(one_node("Upsample", 9, (IMAGE, SCALES_UP), {}, 1)).graph
    assert [(node.name, node.op_type) for node in graph] == [("the_node", "Resize")]


@pytest.mark.parametrize(("kind", "opset", "operands", "message"), [
    ("Resize", 10, (IMAGE, floats(1, 1, 2, 0.5)), "Resize 'the_node' grows one axis and shrinks another"),
    ("Relu", 5, (IMAGE,), "uses opset 5; 6 to"),
    ("PRelu", 6, (IMAGE, ONES), "PRelu 'the_node' of opset 6"),
])
def test_what_cannot_be_converted_is_named(kind: str, opset: int, operands: tuple[Array, ...], message: str) -> None:
    with pytest.raises(LoadError, match=message):
        load(one_node(kind, opset, operands, {}, 1))


def test_an_opset_of_the_future_is_refused() -> None:
    model = networks.mlp(21)
    model.opset_import[0].version = 99
    with pytest.raises(LoadError, match=r"opset 99.*upgrade the package onnx"):
        load(model)


def read_array(file: Path) -> Array:
    return numpy_helper.to_array(onnx.TensorProto.FromString(file.read_bytes()))


def test_onnx_own_vectors_of_opset_6() -> None:
    """PyTorch's operators, as its exporter wrote them in 2017, with results; they come with the package onnx."""
    folder = Path(onnx.__file__).parent / "backend" / "test" / "data"
    checked = 0
    for path in sorted(folder.glob("pytorch-*/*/model.onnx")):
        vectors = path.parent / "test_data_set_0"
        if "PReLU" in str(path):
            continue
        read = {kind: [read_array(file) for file in sorted(vectors.glob(f"{kind}_*.pb"))] for kind in ("input", "output")}
        model = load(path)
        if not read["input"] or any(node.domain for node in model.graph) or len(model.graph.inputs) != len(read["input"]):
            continue
        results = networks.run(ir.to_proto(model), dict(zip((value.name for value in model.graph.inputs), read["input"], strict=True)))
        for found, expected in zip(results.values(), read["output"], strict=True):
            np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4, err_msg=path.parent.name)
        checked += 1
    assert checked > 80
