"""Which operators onnxruntime runs on codes: each between DequantizeLinear and QuantizeLinear, and what the optimised graph makes of it.

    python benchmarks/fusions.py
"""

import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import latency
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

IMAGE, ROW, SEQUENCE = (1, 16, 8, 8), (1, 16), (1, 8, 16)
SCALE = np.float32(0.02)


class Case(NamedTuple):
    """weights     shapes of weight and bias: int8 by channel of axis 0 (or `axis`), int32
    constants   further operands, as they are
    clamp       operator behind it
    ends        a QuantizeLinear follows
    """

    op_type: str
    shapes: Sequence[tuple[int, ...]]
    attributes: Mapping[str, Any] = {}
    weights: Sequence[tuple[int, ...]] = ()
    constants: Sequence[Any] = ()
    clamp: str = ""
    ends: bool = True
    zero_point: int = 3
    axis: int = 0
    note: str = ""


KERNEL = ((16, 16, 3, 3), (16,))
CASES = [
    Case("Conv", [IMAGE], {}, KERNEL),
    Case("Conv", [IMAGE], {}, KERNEL, ends=False, note="output in float32"),
    Case("Conv", [IMAGE], {}, KERNEL, clamp="Relu", zero_point=0, note="Relu, zero point at its bound"),
    Case("Conv", [IMAGE], {}, KERNEL, clamp="Relu", note="Relu, zero point elsewhere"),
    Case("Conv", [IMAGE], {"group": 16}, ((16, 1, 3, 3), (16,)), note="depthwise"),
    Case("ConvTranspose", [IMAGE], {}, KERNEL),
    Case("Gemm", [ROW], {"transB": 1}, ((10, 16), (10,))),
    Case("Gemm", [ROW], {"transB": 1}, ((10, 16), (10,)), ends=False, note="output in float32"),
    Case("Gemm", [ROW], {"transB": 1, "alpha": 0.5}, ((10, 16), (10,)), note="alpha 0.5"),
    Case("MatMul", [SEQUENCE], {}, ((16, 10),), axis=1),
    Case("MatMul", [SEQUENCE], {}, ((16, 10),), axis=1, ends=False, note="output in float32"),
    Case("MatMul", [(1, 4, 8, 16), (1, 4, 16, 8)], note="two activations"),
    *(Case(op_type, [IMAGE, IMAGE]) for op_type in ("Add", "Mul", "Sub", "Div", "Max", "Min")),
    Case("Add", [IMAGE, (1, 16, 1, 1)], note="broadcast"),
    Case("Concat", [IMAGE, IMAGE], {"axis": 1}),
    Case("AveragePool", [IMAGE], {"kernel_shape": [2, 2]}),
    Case("GlobalAveragePool", [IMAGE]),
    Case("MaxPool", [IMAGE], {"kernel_shape": [2, 2]}),
    Case("GlobalMaxPool", [IMAGE]),
    Case("ReduceMean", [IMAGE], {}, (), [np.array([2, 3])]),
    Case("ReduceMax", [IMAGE], {}, (), [np.array([2, 3])]),
    Case("Reshape", [IMAGE], {}, (), [np.array([1, -1])]),
    Case("Flatten", [IMAGE]),
    Case("Transpose", [IMAGE], {"perm": [0, 2, 3, 1]}),
    Case("Squeeze", [(1, 16, 1, 1)], {}, (), [np.array([2, 3])]),
    Case("Unsqueeze", [ROW], {}, (), [np.array([2, 3])]),
    Case("Slice", [IMAGE], {}, (), [np.array([0]), np.array([8]), np.array([2]), np.array([2])]),
    Case("Pad", [IMAGE], {}, (), [np.array([0, 0, 1, 1, 0, 0, 1, 1])]),
    Case("Gather", [IMAGE], {"axis": 1}, (), [np.array([0, 2])]),
    Case("Expand", [IMAGE], {}, (), [np.array([2, 16, 8, 8])]),
    Case("Tile", [IMAGE], {}, (), [np.array([1, 1, 2, 2])]),
    Case("DepthToSpace", [IMAGE], {"blocksize": 2}),
    Case("SpaceToDepth", [IMAGE], {"blocksize": 2}),
    *(Case(op_type, [ROW]) for op_type in ("Softmax", "Sigmoid", "LeakyRelu", "Relu", "Tanh")),
    *(Case(op_type, [ROW]) for op_type in ("HardSigmoid", "HardSwish", "Elu", "Gelu", "Erf")),
    Case("PRelu", [IMAGE], {}, (), [np.full((16, 1, 1), 0.1, np.float32)]),
    Case("LayerNormalization", [SEQUENCE], {}, (), [np.ones(16, np.float32), np.zeros(16, np.float32)]),
    Case("InstanceNormalization", [IMAGE], {}, (), [np.ones(16, np.float32), np.zeros(16, np.float32)]),
]


class Writer:
    """Collects nodes and constants of one graph."""

    def __init__(self, zero_point: int) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants = [numpy_helper.from_array(SCALE, "scale"), numpy_helper.from_array(np.uint8(zero_point), "zero")]

    def add(self, op_type: str, inputs: Sequence[str], output: str, attributes: Mapping[str, Any] | None = None) -> str:
        self.nodes.append(helper.make_node(op_type, inputs, [output], **(attributes or {})))
        return output

    def constant(self, array: Any, name: str) -> str:
        self.constants.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def coded(self, value: str) -> str:
        codes = self.add("QuantizeLinear", [value, "scale", "zero"], f"{value}_codes")
        return self.add("DequantizeLinear", [codes, "scale", "zero"], f"{value}_real")

    def weight(self, shape: tuple[int, ...], number: int, axis: int) -> str:
        """int8 at scale 0.01; the bias int32 at the product of the scales."""
        scale = np.full(shape[axis], 0.01 if number == 0 else 0.01 * SCALE, np.float32)
        codes = np.random.default_rng(number).integers(-127, 128, shape).astype(np.int8 if number == 0 else np.int32)
        operands = [self.constant(codes, f"w{number}"), self.constant(scale, f"w{number}_scale")]
        operands.append(self.constant(np.zeros(scale.shape, codes.dtype), f"w{number}_zero"))
        return self.add("DequantizeLinear", operands, f"w{number}_real", {"axis": axis})


def build(case: Case) -> onnx.ModelProto:
    """Q -> DQ -> the operator [-> clamp] [-> Q -> DQ]."""
    w = Writer(case.zero_point)
    names = [f"x{i}" for i in range(len(case.shapes))]
    operands = [w.coded(name) for name in names]
    operands += [w.weight(shape, i, case.axis if i == 0 else 0) for i, shape in enumerate(case.weights)]
    operands += [w.constant(array, f"constant{i}") for i, array in enumerate(case.constants)]
    value = w.add(case.op_type, operands, "y", case.attributes)
    value = w.add(case.clamp, [value], "clamped") if case.clamp else value
    value = w.coded(value) if case.ends else value
    given = [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in zip(names, case.shapes, strict=True)]
    graph = helper.make_graph(w.nodes, "case", given, [helper.make_tensor_value_info(value, TensorProto.FLOAT, None)], w.constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


def kernels_of(case: Case) -> Counter[str]:
    """How often each operator stands in the optimised graph."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "optimised.onnx"
        latency.open_session(build(case).SerializeToString(), str(path))
        return Counter(node.op_type for node in onnx.load(path).graph.node)


def main() -> None:
    print("| operator | | runs on codes | kernels |\n|---|---|---|---|")
    for case in CASES:
        kernels = kernels_of(case)
        fused = kernels["QuantizeLinear"] == len(case.shapes) and kernels["DequantizeLinear"] == case.ends
        shown = ", ".join(k for k in kernels if k not in ("QuantizeLinear", "DequantizeLinear")) or "none is left"
        print(f"| {case.op_type} | {case.note} | {'yes' if fused else 'no'} | {shown} |")


if __name__ == "__main__":
    main()
