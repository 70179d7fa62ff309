"""How codes, scales and zero points are stored in ONNX: containers, and the three ways in which scales may lie on a tensor."""

import numpy as np
import onnx_ir as ir

from bitsmith.errors import TargetError
from bitsmith.numerics import Encoding, Format, Integer, parse_format
from bitsmith.numerics.formats import Array

FORMATS: dict[ir.DataType, Format] = {
    ir.DataType.INT2: Integer(2), ir.DataType.UINT2: Integer(2, signed=False),
    ir.DataType.INT4: Integer(4), ir.DataType.INT8: Integer(8), ir.DataType.INT16: Integer(16), ir.DataType.INT32: Integer(32),
    ir.DataType.UINT4: Integer(4, signed=False), ir.DataType.UINT8: Integer(8, signed=False), ir.DataType.UINT16: Integer(16, signed=False),
    ir.DataType.FLOAT8E4M3FN: parse_format("float8_e4m3"), ir.DataType.FLOAT8E5M2: parse_format("float8_e5m2"),
    ir.DataType.FLOAT16: parse_format("float16"), ir.DataType.BFLOAT16: parse_format("bfloat16"),
}
FLOATS = {format.name: dtype for dtype, format in FORMATS.items() if not format.integral}


PACKED = {2: (ir.DataType.UINT2, ir.DataType.INT2), 4: (ir.DataType.UINT4, ir.DataType.INT4)}


def container(encoding: Encoding, bits: int) -> ir.DataType:
    """The type that holds a constant's codes in so many bits each."""
    if encoding.format.name in FLOATS:
        return FLOATS[encoding.format.name]
    if bits in PACKED:
        return PACKED[bits][encoding.format.lowest < 0]
    return ir.DataType.from_numpy(encoding.format.storage)


def bits_for_kernels(encoding: Encoding) -> int:
    """Whole bytes, which all kernels take; codes in blocks of 4 bits and less are packed even so."""
    return 4 if encoding.format.held_bits <= 4 and len(encoding.blocks.sizes) > 1 else 8 * encoding.format.storage.itemsize


def stored(codes: Array, dtype: ir.DataType, name: str | None = None) -> ir.TensorProtocol:
    """Codes as a tensor of the container type; narrow codes several to the byte, and patterns of floating point as they are."""
    codes = np.asarray(codes, order="C")
    held = codes.view(dtype.numpy()) if dtype.is_floating_point() else codes.astype(dtype.numpy())
    return ir.tensor(held, dtype=dtype, name=name)


def codes_in(held: Array, format: Format) -> Array:
    """The inverse: what an array from a file holds, as codes of the format."""
    return np.asarray(held.astype(format.storage) if format.integral else held.view(format.storage))


def stored_blocks(encoding: Encoding, shape: tuple[int, ...]) -> tuple[Array, Array, dict[str, int]]:
    """(scale, zero point, attributes) as DequantizeLinear wants them for a tensor of this shape.

    The whole tensor: scalars. Channels of one axis, alone or in groups: vectors and `axis`. Else blocks along one axis, with
    `block_size`, and a scale for each element of every other axis. Raises TargetError for blocks along two axes.
    """
    sizes, pair = encoding.blocks.sizes, (encoding.scale, encoding.zero_point)
    if not sizes:
        return *pair, {}
    if len(sizes) == 1:
        (axis,) = sizes
        scale, zero_point = (encoding.blocks.spread(a, shape).ravel() for a in pair)
        return scale, zero_point, {"axis": axis}
    long = [axis for axis, size in sizes.items() if size > 1] or [max(sizes)]
    if len(long) > 1:
        raise TargetError(f"ONNX has blocks along one axis only, the plan has {dict(sizes)}; change the recipe's granularity.")
    full = tuple(encoding.scale.shape[a] if a == long[0] else d for a, d in enumerate(shape))
    scale, zero_point = (np.broadcast_to(a, full) for a in pair)
    return scale, zero_point, {"axis": long[0], "block_size": sizes[long[0]]}
