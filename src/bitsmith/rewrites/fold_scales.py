"""Constants that multiply, divide or shift the channels of a product right behind it become part of it."""

import numpy as np
import onnx_ir as ir

from bitsmith.numerics.formats import Array
from bitsmith.rewrites.edits import absorb, float_constant, is_standard, sole_reader
from bitsmith.rewrites.products import Product, read_product, scale_outputs


def fold_scales(graph: ir.Graph) -> bool:
    """Mul, Div, Add and Sub with one number, or one for each output channel: so some exporters write batch normalization."""
    folded = False
    for node in list(graph):
        if is_standard(node, "Mul", "Div", "Add", "Sub") and node.graph is graph:
            folded |= fold(graph, node)
    return folded


def fold(graph: ir.Graph, node: ir.Node) -> bool:
    at = next((i for i, value in enumerate(node.inputs) if value is not None and value.producer() is not None), 0)
    source, other = node.inputs[at], float_constant(node.inputs[1 - at])
    maker = None if source is None else source.producer()
    if source is None or maker is None or other is None or sole_reader(source, graph) is not node:
        return False
    product = read_product(maker)
    numbers = None if product is None else by_channel(product, other)
    line = None if numbers is None else read_line(node.op_type, at, numbers)
    if product is None or line is None or not scale_outputs(graph, product, *line):
        return False
    kept = node.inputs[at]      # not `source`: a MatMul has become a Gemm
    assert kept is not None
    absorb(kept, node)
    return True


def by_channel(product: Product, array: Array) -> Array | None:
    """The array as [channels] in float64; None where it varies along any other axis, or makes the output larger."""
    rank, axis, channels = product.rank, product.channel_axis, product.channels
    if rank is None or axis is None or array.ndim > rank:
        return None
    shape = (1,) * (rank - array.ndim) + array.shape
    if shape[axis] not in (1, channels) or any(size != 1 for i, size in enumerate(shape) if i != axis):
        return None
    return np.broadcast_to(array.astype(np.float64).ravel(), (channels,))


def read_line(kind: str, at: int, numbers: Array) -> tuple[Array, Array] | None:
    """multiply and add of y = multiply * x + add, where x is the operand `at`; None for a number divided by x."""
    nothing, one = np.zeros_like(numbers), np.ones_like(numbers)
    if kind == "Mul":
        return numbers, nothing
    if kind == "Add":
        return one, numbers
    if kind == "Sub":
        return (one, -numbers) if at == 0 else (-one, numbers)
    with np.errstate(divide="ignore"):
        return (1 / numbers, nothing) if at == 0 else None
