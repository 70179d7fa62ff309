"""Narrow weights of layers that compute in float32: stored as codes, unpacked once, when ONNX Runtime loads the file."""

from collections.abc import Collection, Iterator

import numpy as np
import onnx_ir as ir

from bitsmith.graph import attribute, constant, consumers, input_at
from bitsmith.numerics.formats import Array
from bitsmith.rewrites.edits import add_constant, discard

SMALLEST_BLOCK = 16         # of a MatMulNBits
NARROW = (ir.DataType.INT4, ir.DataType.UINT4, ir.DataType.INT8, ir.DataType.UINT8)


def unpack_at_loading(model: ir.Model, in_float: Collection[str]) -> bool:
    """Cast, Sub and Mul in the place of DequantizeLinear for constants that only nodes named in `in_float` read; True where any were.

    ONNX Runtime folds Cast, Sub and Mul of constants when it loads a file but leaves DequantizeLinear to every run, since integer
    kernels look for it: a float32 layer whose weight passes through DequantizeLinear runs at a fifth to a half of its speed, and
    between quantized values it is taken for an integer layer. The products are the same float32 multiplications, so results are
    equal bit for bit. Scales in blocks are repeated by a Gather; only where the runtime has a kernel for them, they stay as they are.
    """
    found = [node for node in model.graph if node.op_type == "DequantizeLinear" and is_float_weight(node, in_float)]
    for node in found:
        unpack(model.graph, node)
    return bool(found)


def is_float_weight(dequantize: ir.Node, in_float: Collection[str]) -> bool:
    """True for stored codes whose readers all compute in float32."""
    real = dequantize.outputs[0]
    if real.is_graph_output() or any(constant(v) is None for v in dequantize.inputs):
        return False
    readers = consumers(real)
    return bool(readers) and all(reader.name in in_float and not takes_blocks(reader, dequantize) for reader in readers)


def takes_blocks(reader: ir.Node, dequantize: ir.Node) -> bool:
    """True where the runtime multiplies with the stored integers themselves, in a MatMulNBits (seen with 1.31.1)."""
    codes, size = dequantize.inputs[0], attribute(dequantize, "block_size", 0)
    assert codes is not None
    on_the_right = reader.op_type == "MatMul" and input_at(reader, 1) is dequantize.outputs[0]
    summed = codes.shape is not None and len(codes.shape) == 2 and attribute(dequantize, "axis", 1) in (0, -2)
    return on_the_right and summed and size >= SMALLEST_BLOCK and size & (size - 1) == 0 and codes.dtype in NARROW


def unpack(graph: ir.Graph, dequantize: ir.Node) -> None:
    """DequantizeLinear(codes, scale, zero point) -> Mul(Sub(Cast(codes), zero point), scale), with scales that broadcast."""
    codes, real = dequantize.inputs[0], dequantize.outputs[0]
    assert codes is not None
    value, last = codes, dequantize
    for op_type, operand in steps_of(dequantize):
        name = f"{real.name}_{op_type}"
        inputs = [value] if operand is None else [value, spread(graph, dequantize, name, operand)]
        attributes = [ir.AttrInt64("to", ir.DataType.FLOAT)] if op_type == "Cast" else []
        value = ir.Value(name=name, type=ir.TensorType(ir.DataType.FLOAT), shape=codes.shape)
        node = ir.Node("", op_type, inputs, attributes, outputs=[value], name=name)
        graph.insert_after(last, node)
        last = node
    real.replace_all_uses_with(value)
    discard(dequantize)


def spread(graph: ir.Graph, dequantize: ir.Node, name: str, operand: Array) -> ir.Value:
    """A constant operand; where it has one number for each block, a Gather repeats them over their blocks, and is folded as well."""
    codes, held = dequantize.inputs[0], add_constant(graph, f"{name}_operand", operand)
    axis, size = attribute(dequantize, "axis", 1), attribute(dequantize, "block_size", 0)
    array = constant(codes)
    assert array is not None
    if not size:
        return held
    indices = add_constant(graph, f"{name}_blocks", np.arange(array.shape[axis], dtype=np.int32) // size)
    repeated = ir.Value(name=f"{name}_repeated", type=ir.TensorType(ir.DataType.FLOAT), shape=ir.Shape(array.shape))
    attributes = [ir.AttrInt64("axis", axis)]
    graph.insert_before(dequantize, ir.Node("", "Gather", [held, indices], attributes, outputs=[repeated], name=f"{name}_Gather"))
    return repeated


def steps_of(dequantize: ir.Node) -> Iterator[tuple[str, Array | None]]:
    """Operators and their constant operands, zero points of 0 left out."""
    array, scale, zero_point = (constant(input_at(dequantize, i)) for i in range(3))
    assert array is not None
    assert scale is not None
    channels = attribute(dequantize, "axis", 1) % max(array.ndim, 1)
    along = tuple(-1 if axis == channels else 1 for axis in range(array.ndim)) if scale.size > 1 else ()
    shape = scale.shape if attribute(dequantize, "block_size", 0) else along
    yield "Cast", None
    if zero_point is not None and zero_point.any():
        yield "Sub", zero_point.astype(np.float32).reshape(shape)
    yield "Mul", scale.reshape(shape)
