"""Operators with weights: convolutions and matrix products."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import onnx_ir as ir

from bitsmith.errors import LoweringError
from bitsmith.graph import attribute, constant, consumers, input_at, rank
from bitsmith.integer.codes import CodeRange
from bitsmith.integer.instructions import Convolve, Dequantize, Instruction, MatrixMultiply
from bitsmith.integer.requantization import NARROW, WIDEST, Requantize, product_multiplier
from bitsmith.numerics import Blocks, Encoding, Integer
from bitsmith.numerics.formats import Array
from bitsmith.numerics.signs import BINARY
from bitsmith.operators.operator import Operator, Parameter
from bitsmith.operators.site import Site, known
from bitsmith.operators.windows import read_window, transposed_window


def convolution_weight(node: ir.Node) -> Sequence[Parameter]:
    """[out, in / group, *kernel]."""
    return (Parameter(1, 0, 1),) if constant(input_at(node, 1)) is not None else ()


def transposed_weight(node: ir.Node) -> Sequence[Parameter]:
    """[in, out / group, *kernel]: with groups, a channel's scale serves the same channel of every group."""
    return (Parameter(1, 1, 0),) if constant(input_at(node, 1)) is not None else ()


def matrix_weight(node: ir.Node) -> Sequence[Parameter]:
    """Whichever operand is constant: [..., sum, channel] on the right; on the left one scale serves all."""
    right, left = input_at(node, 1), input_at(node, 0)
    if constant(right) is not None and right is not None and (dims := rank(right) or 0) >= 2:
        return (Parameter(1, dims - 1, dims - 2),)
    return (Parameter(0, None, None),) if constant(left) is not None and left is not None and (rank(left) or 0) >= 2 else ()


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
    if constant(input_at(node, 1)) is None:
        return "its weights are computed while the network runs"
    bias = input_at(node, 2)
    if bias is None:
        return ""
    array = constant(bias)
    if array is None:
        return "its bias is computed while the network runs"
    if len(consumers(bias)) > 1:
        return f"its bias '{bias.name}' serves several nodes and can have one scale only"
    return "" if array.ndim == 1 else f"its bias has shape {array.shape}, not one number for each channel"


def transposed_obstacle(node: ir.Node) -> str:
    """Padding must be written out."""
    if "output_shape" in node.attributes or attribute(node, "auto_pad", "NOTSET") != "NOTSET":
        return "its padding follows from output_shape or auto_pad"
    return bias_obstacle(node)


def gemm_obstacle(node: ir.Node) -> str:
    """Only alpha = beta = 1 and an untransposed left operand have integer kernels."""
    if attribute(node, "alpha", 1.0) == attribute(node, "beta", 1.0) == 1.0 and not attribute(node, "transA", 0):
        return bias_obstacle(node)
    return "its alpha, beta or transA have no integer kernel"


def lower_convolution(site: Site) -> Sequence[Instruction]:
    """One Convolve."""
    weights, window = site.stored(1), read_window(site, site.stored(1).shape[2:])
    scales, zero_points = per_channel(site.encoding(1), weights.shape, 0)
    convolve = Convolve(
        (site.input(0),), site.output, site.source(0), weights, zero_points, window, bias_codes(site),
        attribute(site.node, "group", 1),
    )
    return end(site, convolve, scales)


def lower_transposed(site: Site) -> Sequence[Instruction]:
    """A convolution over the dilated input with flipped weights (Dumoulin and Visin 2016, section 4)."""
    groups, node, codes = attribute(site.node, "group", 1), site.node, site.stored(1)
    space = codes.ndim - 2
    scales, zero_points = (np.tile(a, groups) if a.ndim else a for a in per_channel(site.encoding(1), codes.shape, 1))
    window = transposed_window(node, codes.shape[2:])
    convolve = Convolve(
        (site.input(0),), site.output, site.source(0), turned_kernels(codes, groups), zero_points, window, bias_codes(site),
        groups, tuple(attribute(node, "strides", [1] * space)),
    )
    return end(site, convolve, scales)


def turned_kernels(weights: Array, groups: int) -> Array:
    """[in, out / group, *kernel] of a transposed convolution -> [out, in / group, *kernel] of the plain one."""
    grouped = weights.reshape(groups, len(weights) // groups, *weights.shape[1:]).swapaxes(1, 2)
    found = grouped.reshape(groups * weights.shape[1], -1, *weights.shape[2:])
    return np.ascontiguousarray(np.flip(found, tuple(range(2, found.ndim))))


def lower_gemm(site: Site) -> Sequence[Instruction]:
    """One MatrixMultiply; the weights come as [terms, out]."""
    transposed = bool(attribute(site.node, "transB", 0))
    codes = site.stored(1)
    scales, zero_points = per_channel(site.encoding(1), codes.shape, 0 if transposed else 1)
    product = MatrixMultiply(
        (site.input(0),), site.output, site.source(0), None, np.ascontiguousarray(codes.T if transposed else codes), zero_points,
        bias_codes(site),
    )
    return end(site, product, scales)


def lower_matrix_product(site: Site) -> Sequence[Instruction]:
    """One MatrixMultiply, of codes and weights or of two computed values."""
    if constant(site.value(1)) is None:
        pair = MatrixMultiply((site.input(0), site.input(1)), site.output, site.source(0), site.source(1))
        return [*site.constants([0]), *end(site, pair, site.encoding(1).scale)]
    codes = site.stored(1)
    scales, zero_points = per_channel(site.encoding(1), codes.shape, codes.ndim - 1)
    product = MatrixMultiply((site.input(0),), site.output, site.source(0), None, codes, zero_points)
    return end(site, product, scales)


def per_channel(encoding: Encoding, shape: tuple[int, ...], axis: int) -> tuple[Array, Array]:
    """(scale, zero point) of a weight, () or [channels]. Raises LoweringError for blocks within a channel: a sum needs one scale."""
    if not encoding.blocks.sizes:
        return encoding.scale, encoding.zero_point
    if set(encoding.blocks.sizes) != {axis}:
        raise LoweringError(f"Weights with scales along {set(encoding.blocks.sizes)} cannot be summed; channels run along {axis}.")
    scales, zero_points = (encoding.blocks.spread(a, shape).ravel() for a in (encoding.scale, encoding.zero_point))
    return scales, zero_points if zero_points.any() else np.zeros((), np.int32)


def bias_codes(site: Site) -> Array | None:
    """int32 [out], or None."""
    return site.stored(2) if input_at(site.node, 2) is not None else None


def requantize(site: Site, codes: CodeRange, scales: Array, bits: int) -> Requantize:
    """The way from accumulators of so many bits back to codes."""
    if site.target.format == BINARY:
        return site.arithmetic.requantize.of(np.asarray(2, np.float32), replace(codes, zero_point=1))      # 2 a + 1 has a's sign
    return site.arithmetic.requantize.of(product_multiplier(site.encoding(0).scale, scales, site.target.scale), codes, bits)


def end(site: Site, product: Convolve | MatrixMultiply, scales: Array) -> Sequence[Instruction]:
    """The product with its way back to codes or, where its result has no encoding, from accumulators to real numbers.

    Raises LoweringError where an accumulator may overflow: int32, or, of 16-bit values that end in codes, one of 44 bits.
    """
    bounds = product.bounds if isinstance(product, Convolve) else product.bounds(known(site.dims(0)[-1:], site.name)[0])
    sources = [product.source, *([product.other] if isinstance(product, MatrixMultiply) and product.other else [])]
    most = WIDEST if site.codes is not None and any(source.storage.itemsize > 1 for source in sources) else NARROW
    if not bounds.fit(most).all():
        raise LoweringError(f"The accumulator of {site.name} may reach {bounds.largest}, beyond int{most}: give it fewer bits.")
    if site.codes is not None:
        return [replace(product, requantize=requantize(site, site.codes, scales, bounds.width))]
    accumulators = f"{site.output} (accumulators)"
    steps = np.asarray(site.encoding(0).scale * scales, np.float32)
    rank = len(site.dims(0)) if isinstance(product, Convolve) else max(len(site.dims(0)), len(site.dims(1)))
    axis = 1 if isinstance(product, Convolve) else rank - 1
    if steps.ndim:
        steps = steps.reshape([-1 if a == axis else 1 for a in range(rank)])
    encoding = Encoding(Integer(32), steps, np.zeros((), np.int32), Blocks.channels(axis) if steps.ndim else Blocks.whole())
    return [replace(product, output=accumulators), Dequantize((accumulators,), site.output, encoding)]


RECURRENT = Operator(parameters=recurrent_weights, weights_only=True)
OPERATORS = {
    "Conv": Operator(parameters=convolution_weight, bias=2, obstacle=bias_obstacle, lower=lower_convolution),
    "ConvTranspose": Operator(parameters=transposed_weight, bias=2, obstacle=transposed_obstacle, lower=lower_transposed),
    "Gemm": Operator(parameters=gemm_weight, bias=2, obstacle=gemm_obstacle, lower=lower_gemm),
    "MatMul": Operator(parameters=matrix_weight, lower=lower_matrix_product),
    "LSTM": RECURRENT,
    "GRU": RECURRENT,
    "RNN": RECURRENT,
}
