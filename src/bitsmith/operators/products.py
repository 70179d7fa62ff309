"""Operators with weights: convolutions and matrix products."""

from collections.abc import Sequence

import onnx_ir as ir

from bitsmith.graph import attribute, constant, input_at, rank
from bitsmith.operators.operator import Operator, Parameter


def convolution_weight(node: ir.Node) -> Sequence[Parameter]:
    """[out, in / group, *kernel]."""
    return (Parameter(1, 0, 1),) if constant(input_at(node, 1)) is not None else ()


def transposed_weight(node: ir.Node) -> Sequence[Parameter]:
    """[in, out / group, *kernel]: with groups, a channel's scale serves the same channel of every group."""
    return (Parameter(1, 1, 0),) if constant(input_at(node, 1)) is not None else ()


def matrix_weight(node: ir.Node) -> Sequence[Parameter]:
    """Whichever operand is constant: [..., sum, channel] on the right, [..., channel, sum] on the left."""
    for index, channel, total in ((1, 1, 2), (0, 2, 1)):
        value = input_at(node, index)
        if value is not None and constant(value) is not None and (dims := rank(value) or 0) >= 2:
            return (Parameter(index, dims - channel, dims - total),)
    return ()


def gemm_weight(node: ir.Node) -> Sequence[Parameter]:
    """B is [channel, sum] where transB says so, else [sum, channel]."""
    if constant(input_at(node, 1)) is None:
        return ()
    return (Parameter(1, 0, 1),) if attribute(node, "transB", 0) else (Parameter(1, 1, 0),)


def recurrent_weights(node: ir.Node) -> Sequence[Parameter]:
    """W and R: [directions, gates * hidden, in]."""
    return tuple(Parameter(i, 1, 2) for i in (1, 2) if constant(input_at(node, i)) is not None)


def bias_obstacle(node: ir.Node) -> str:
    """A bias joins the integer accumulator, so it must be known: one number for each output channel."""
    bias = input_at(node, 2)
    if bias is None:
        return ""
    array = constant(bias)
    if array is None:
        return "its bias is computed while the network runs"
    return "" if array.ndim == 1 else f"its bias has shape {array.shape}, not one number for each channel"


def gemm_obstacle(node: ir.Node) -> str:
    """Only alpha = beta = 1 and an untransposed left operand have integer kernels."""
    if attribute(node, "alpha", 1.0) == attribute(node, "beta", 1.0) == 1.0 and not attribute(node, "transA", 0):
        return bias_obstacle(node)
    return "its alpha, beta or transA have no integer kernel"


RECURRENT = Operator(parameters=recurrent_weights, weights_only=True)
OPERATORS = {
    "Conv": Operator(parameters=convolution_weight, bias=2, obstacle=bias_obstacle),
    "ConvTranspose": Operator(parameters=transposed_weight, bias=2, obstacle=bias_obstacle),
    "Gemm": Operator(parameters=gemm_weight, bias=2, obstacle=gemm_obstacle),
    "MatMul": Operator(parameters=matrix_weight),
    "LSTM": RECURRENT,
    "GRU": RECURRENT,
    "RNN": RECURRENT,
}
