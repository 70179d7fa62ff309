"""Keeps int8 images channels-last in ONNX Runtime behind layers that stay float32."""

from collections.abc import Collection

import numpy as np
import onnx_ir as ir

from bitsmith.graph import constant, consumers
from bitsmith.targets.onnx.forms import CLAMPS

LAYOUT_KEPT = {"QuantizeLinear", "DequantizeLinear", "Relu", "Clip", "Add", "Mul", "Concat", "MaxPool", "AveragePool"}
TO_LAST, TO_FIRST = (0, 2, 3, 1), (0, 3, 1, 2)


def keep_channels_last(model: ir.Model, in_float: Collection[str]) -> bool:
    """Turn images of codes to channels-last and back where float32 ends and not only convolutions read on; True where any were.

    Float32 ends at the codes of what a node named in `in_float`, or one that reads no codes, computes.

    ONNX Runtime runs QLinearConv with channels last and moves the transposes that this needs past Add, MaxPool and Concat only where
    all their operands come transposed. One image that was just quantized does not, and then every such node behind it gets
    transposes around it, and its MaxPool the slow kernel. The Reshape to the shape that is there already keeps ONNX Runtime from
    cancelling the two transposes. Codes and results are the same.
    """
    changed = False
    for node in list(model.graph):
        if node.op_type == "QuantizeLinear" and ends_float(node, in_float) and spreads(node) and meets_convolution(node.outputs[0]):
            turn_there_and_back(model.graph, node)
            changed = True
    return changed


def ends_float(quantize: ir.Node, in_float: Collection[str]) -> bool:
    """True where what is quantized was computed in float32, clamps aside."""
    maker = maker_of(quantize)
    while maker is not None and maker.op_type in CLAMPS and maker.name not in in_float:
        maker = maker_of(maker)
    if maker is None:
        return False
    makers = [v.producer() for v in maker.inputs if v is not None]
    on_codes = any(m is not None and m.op_type == "DequantizeLinear" and constant(m.inputs[0]) is None for m in makers)
    return maker.name in in_float or not on_codes


def maker_of(node: ir.Node) -> ir.Node | None:
    """The node that computes another one's first operand."""
    return None if node.inputs[0] is None else node.inputs[0].producer()


def spreads(quantize: ir.Node) -> bool:
    """True for the codes of an image with known sizes that others than convolutions and transposes read."""
    real, codes = quantize.inputs[0], quantize.outputs[0]
    if real is None or codes.is_graph_output() or real.shape is None or len(real.shape) != 4:
        return False
    known = all(isinstance(size, int) for size in real.shape[1:])
    return known and any(kind(reader) not in ("Conv", "Transpose") for reader in readers_of(codes))


def meets_convolution(codes: ir.Value) -> bool:
    """True where a convolution reads an image, at once or past what keeps its layout: without one, no layout is better than another."""
    pending, seen = [codes], set[ir.Value]()
    while pending:
        value = pending.pop()
        for reader in consumers(value):
            if kind(reader) == "Conv":
                return True
            if kind(reader) in LAYOUT_KEPT and reader.outputs[0] not in seen:
                seen.add(reader.outputs[0])
                pending.append(reader.outputs[0])
    return False


def kind(node: ir.Node) -> str:
    """What a node does, on real numbers or on codes."""
    return node.op_type.removeprefix("QLinear")


def readers_of(codes: ir.Value) -> list[ir.Node]:
    """Who reads codes, as they are or dequantized."""
    found: list[ir.Node] = []
    for reader in consumers(codes):
        found += consumers(reader.outputs[0]) if reader.op_type == "DequantizeLinear" else [reader]
    return found


def turn_there_and_back(graph: ir.Graph, quantize: ir.Node) -> None:
    """Q -> codes becomes Q -> Transpose -> Reshape -> Transpose -> codes."""
    codes, real = quantize.outputs[0], quantize.inputs[0]
    assert real is not None
    assert real.shape is not None
    name, sizes = codes.name or "", [-1, *(int(size) for size in real.shape[1:] if isinstance(size, int))]
    shape = ir.Value(name=f"{name}_sizes", const_value=ir.tensor(np.array([sizes[a] for a in TO_LAST], np.int64), name=f"{name}_sizes"))
    shape.type, shape.shape = ir.TensorType(ir.DataType.INT64), ir.Shape([4])
    graph.register_initializer(shape)
    steps = [
        ("Transpose", [], [ir.AttrInt64s("perm", TO_LAST)], f"{name}_turned"),
        ("Reshape", [shape], [], f"{name}_kept"),
        ("Transpose", [], [ir.AttrInt64s("perm", TO_FIRST)], f"{name}_back"),
    ]
    uses, last, value = list(codes.uses()), quantize, codes
    for op_type, operands, attributes, output in steps:
        out = ir.Value(name=output, type=codes.type)
        node = ir.Node("", op_type, [value, *operands], attributes, outputs=[out], name=output)
        graph.insert_after(last, node)
        last, value = node, out
    value.shape = codes.shape
    for reader, index in uses:
        reader.replace_input_with(index, value)
