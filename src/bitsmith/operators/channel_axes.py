"""Along which axis the channels of a network's values run: what the operators that make or read a value say, and else its rank."""

from typing import NamedTuple

import onnx_ir as ir

from bitsmith.graph import attribute, constant, input_at, is_float, rank

# Their channels are axis 1, however many axes there are.
IMAGES = {
    "AveragePool", "BatchNormalization", "Conv", "ConvTranspose", "DepthToSpace", "GlobalAveragePool", "GlobalMaxPool",
    "InstanceNormalization", "LRN", "MaxPool", "SpaceToDepth",
}
FEATURES = {"Gather", "Gemm", "LayerNormalization", "MatMul", "RMSNormalization"}       # with weights: theirs are the last axis


class ChannelAxis(NamedTuple):
    """Where a value's channels are, and how many."""

    axis: int
    channels: int


def channel_axes(graph: ir.Graph) -> dict[str, ChannelAxis]:
    """Of every float value that changes with the input and has channels: two axes or more, and a known length along that of the channels.

    Axis 1 around convolutions and pooling, the last axis around products with a matrix and normalization of layers. Other operators
    leave it where it is in their first operand of the same rank; Transpose moves it. Where nothing is known: the last axis of two or three,
    axis 1 of more.
    """
    axes: dict[ir.Value, int] = {}
    for value in graph.inputs:
        axes[value] = axis_of_input(value)
    for node in graph:
        for value in node.outputs:
            axes[value] = axis_of_result(node, value, axes)
    found = ((value, axis) for value, axis in axes.items() if value.name and is_float(value) and value.const_value is None)
    return {value.name or "": ChannelAxis(axis, count) for value, axis in found if (count := length(value, axis)) and axis > 0}


def length(value: ir.Value, axis: int) -> int:
    """How many channels; 0 where that is not known or there is no such axis."""
    if value.shape is None or not 0 < axis < len(value.shape):
        return 0
    dim = value.shape[axis]
    return dim if isinstance(dim, int) else 0


def axis_of_input(value: ir.Value) -> int:
    """What the first reader that knows says, or those who read it transposed."""
    dims = rank(value) or 0
    for node, index in value.uses():
        if (axis := axis_of_operator(node, dims)) is not None:
            return axis
        if node.op_type == "Transpose" and index == 0:
            return permutation(node, dims)[axis_of_input(node.outputs[0])]
    return by_rank(dims)


def permutation(node: ir.Node, dims: int) -> list[int]:
    """Axis of a Transpose's operand by axis of its result."""
    return list(attribute(node, "perm", list(range(dims))[::-1]))


def axis_of_operator(node: ir.Node, dims: int) -> int | None:
    """What an operator says of values of so many axes; None where it says nothing."""
    if node.op_type in IMAGES:
        return 1
    return dims - 1 if node.op_type in FEATURES and any(constant(v) is not None for v in node.inputs) else None


def axis_of_result(node: ir.Node, value: ir.Value, axes: dict[ir.Value, int]) -> int:
    dims = rank(value) or 0
    if (said := axis_of_operator(node, dims)) is not None:
        return said
    first = input_at(node, 0)
    if node.op_type == "Transpose" and first in axes:
        return permutation(node, dims).index(axes[first])
    alike = (axes[v] for v in node.inputs if v in axes and rank(v) == dims)
    return by_rank(dims) if node.op_type == "Reshape" else next(alike, by_rank(dims))


def by_rank(dims: int) -> int:
    return dims - 1 if dims <= 3 else 1
