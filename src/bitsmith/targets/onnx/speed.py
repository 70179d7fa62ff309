"""What a layer costs in ONNX Runtime on one x86 core with AVX-512 VNNI, in float32 and in int8, told from shapes alone.

Knows no graph and no ONNX: names of operators, shapes and numbers go in, microseconds come out, the same on every machine.
The rates were fitted to profiles of single layers (onnxruntime 1.31.1, one thread, batch 1; `benchmarks/latency_study.py`
repeats them). Another processor scales all of them; choices depend on ratios only.

float32 convolutions run in blocks of 16 channels (NCHWc), int8 ones with channels last. So each value that passes from one form
to the other is quantized or dequantized, and moved: what `crossing` counts, and what makes a lone fast layer slow.
"""

from collections.abc import Sequence
from math import inf, prod
from typing import NamedTuple

Shape = tuple[int, ...]

NODE = 1.0              # µs, for any node that runs
INT8_NODE = 1.7         # µs, for a QLinearConv
BLOCK = 16              # channels in a block, float and int8

# ns for each of the things counted. A convolution: multiply-accumulates, elements written, taps (pixels of the kernel) read for each
# pixel written. Thin: fewer than 16 input channels. Odd: channels that do not fill blocks. Gathered: image to columns, then a product.
FLOAT_MAC, FLOAT_OUT = 0.0171, 0.015
FLOAT_THIN_OUT = 0.033
FLOAT_DEPTHWISE_MAC, FLOAT_DEPTHWISE_OUT = 0.0258, 0.019
FLOAT_GROUPED_MAC = 0.102
FLOAT_CLIP = 0.10                               # element clamped at both ends; a Relu costs nothing
INT8_TAP, INT8_MAC, INT8_OUT = 0.93, 0.0043, 0.065
INT8_DEPTHWISE_TAP, INT8_DEPTHWISE_MAC = 0.84, 0.035
INT8_ODD_DEPTHWISE_TAP, INT8_ODD_DEPTHWISE_MAC = 1.24, 0.0785
INT8_GATHERED_PIXEL, INT8_GATHERED_TAP, INT8_GATHERED_MAC, INT8_GATHERED_OUT = 8.8, 1.11, 0.0051, 0.179
FLOAT_PRODUCT_MAC, FLOAT_PRODUCT_WEIGHT = 0.0175, 0.036
INT8_PRODUCT_MAC, INT8_PRODUCT_WEIGHT, INT8_PRODUCT_OUT = 0.0053, 0.0125, 0.10
INT8_UNPACKED_OUT = 0.40                        # of a product of two activations
QUANTIZE, DEQUANTIZE, REORDER, TRANSPOSE, TRANSPOSE_THIN = 0.115, 0.105, 0.09, 0.04, 0.225

# operators that are counted by elements: (float, int8) ns; by elements read, or written where WRITES says so
ELEMENTWISE = {
    "Add": (0.12, 0.16), "Mul": (0.165, 0.23), "Concat": (0.10, 0.035), "Sigmoid": (0.30, 0.26), "LeakyRelu": (0.10, 0.26),
    "Softmax": (0.45, 2.3), "MaxPool": (0.06, 0.09), "GlobalAveragePool": (0.065, 0.047), "ReduceMax": (0.10, 0.10),
    "Slice": (0.3, 0.3), "Pad": (0.3, 0.3), "Transpose": (0.1, 0.05), "Resize": (0.3, 0.3), "Split": (0.1, 0.05), "Gather": (0.1, 0.05),
    "Expand": (0.1, 0.05), "Tile": (0.1, 0.05), "DepthToSpace": (0.3, 0.3),
}
PRODUCTS = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})
WRITES = frozenset({"Concat", "Slice", "Pad", "Resize", "Gather", "Expand", "Tile"})
MOVELESS = frozenset({"Reshape", "Flatten", "Squeeze", "Unsqueeze"})
AVERAGE_POOL = (0.055, 2.0)                     # by elements of all windows; the int8 kernel is that slow
AVERAGE_POOL_WHOLE = (0.065, 0.6)               # one window over all


class Cost(NamedTuple):
    """Microseconds of a layer. `int8` is infinite where ONNX Runtime has no integer kernel for it."""

    real: float
    int8: float


class Crossing(NamedTuple):
    """Microseconds for one value to pass from float32 to codes, and back."""

    quantize: float
    dequantize: float


def cost(op_type: str, inputs: Sequence[Shape], output: Shape, *, kernel: Sequence[int] = (), group: int = 1,
         clipped: bool = False) -> Cost:
    """Cost of one node, its Relu or Clip included, from the shapes of its operands.

    inputs   shapes of the operands, weights included where they are constant (Conv: image, weights)
    kernel   window of a pool
    clipped  a Clip with two bounds follows (free in int8, not in float32)

    Shapes are of one sample, batch axis included. A product of which a shape is not known costs the same in both forms.
    """
    if op_type not in PRODUCTS:
        return _by_elements(op_type, inputs, output, kernel)
    if not output or len(inputs) < 2 or not all(inputs[:2]):
        return Cost(NODE, inf if op_type == "ConvTranspose" else NODE)
    if op_type in ("Conv", "ConvTranspose"):
        return convolution(output, inputs[1], group=group, clipped=clipped, transposed=op_type == "ConvTranspose")
    return product(prod(output[:-1]), inputs[0][-1], output[-1], weights=len(inputs[1]) == 2)


def convolution(output: Shape, weights: Shape, *, group: int = 1, clipped: bool = False, transposed: bool = False) -> Cost:
    """A convolution that writes `output` [N, C, *pixels] with weights [C, C_in / group, *taps]."""
    pixels, taps = output[0] * prod(output[2:]), prod(weights[2:])
    if transposed:                      # weights [C_in, C / group, *taps]; never an integer kernel; counted as im2col would
        return Cost(NODE + FLOAT_MAC * pixels * taps * weights[0] * weights[1] / 1000, inf)
    wide, deep = weights[0], weights[1]
    clip = FLOAT_CLIP * pixels * wide if clipped else 0.0
    return Cost(
        NODE + (_float_convolution(pixels, taps, deep, wide, group) + clip) / 1000,
        INT8_NODE + _int8_convolution(pixels, taps, deep, wide, group) / 1000,
    )


def _float_convolution(pixels: int, taps: int, deep: int, wide: int, group: int) -> float:
    written = pixels * _filled(wide)
    if group > 1 and deep == 1:
        return written * (taps * FLOAT_DEPTHWISE_MAC + FLOAT_DEPTHWISE_OUT)
    if group > 1 and deep % BLOCK:
        return pixels * taps * wide * deep * FLOAT_GROUPED_MAC
    if group == 1 and deep < BLOCK:
        return written * (taps * deep * (3 if taps == 1 else 1) * FLOAT_MAC + FLOAT_THIN_OUT)
    return written * (taps * _filled(deep) * FLOAT_MAC + FLOAT_OUT)


def _int8_convolution(pixels: int, taps: int, deep: int, wide: int, group: int) -> float:
    if group > 1 and deep == 1 and wide == group:
        tap, mac = (INT8_ODD_DEPTHWISE_TAP, INT8_ODD_DEPTHWISE_MAC) if group % BLOCK else (INT8_DEPTHWISE_TAP, INT8_DEPTHWISE_MAC)
        return pixels * taps * (tap + wide * mac)
    if group == 1 and deep % 4 == 0 and wide % 4 == 0 and wide >= BLOCK:
        return pixels * (taps * (INT8_TAP + deep * _filled(wide) * INT8_MAC) + wide * INT8_OUT)
    gathered = INT8_GATHERED_PIXEL + (INT8_GATHERED_TAP * taps if taps > 1 else 0.0)
    return pixels * group * (gathered + taps * deep * _filled(wide // group) * INT8_GATHERED_MAC) + pixels * wide * INT8_GATHERED_OUT


def product(rows: int, depth: int, columns: int, *, weights: bool = True) -> Cost:
    """A matrix product [rows, depth] x [depth, columns]; `weights` where the second operand is constant."""
    macs, written = rows * depth * columns, rows * columns
    if not weights:
        return Cost(NODE + FLOAT_PRODUCT_MAC * macs / 1000, NODE + (INT8_PRODUCT_MAC * macs + INT8_UNPACKED_OUT * written) / 1000)
    real = FLOAT_PRODUCT_MAC * macs + FLOAT_PRODUCT_WEIGHT * depth * columns
    int8 = INT8_PRODUCT_MAC * macs + INT8_PRODUCT_WEIGHT * depth * columns + INT8_PRODUCT_OUT * written
    return Cost(NODE + real / 1000, NODE + int8 / 1000)


def _by_elements(op_type: str, inputs: Sequence[Shape], output: Shape, kernel: Sequence[int]) -> Cost:
    read, written = prod(inputs[0]), prod(output)
    if op_type in MOVELESS:
        return Cost(NODE, NODE)
    if op_type == "AveragePool":
        rates = AVERAGE_POOL_WHOLE if prod(output[2:]) == 1 else AVERAGE_POOL
        return Cost(*(NODE + rate * written * prod(kernel) / 1000 for rate in rates))
    if op_type not in ELEMENTWISE:
        return Cost(NODE, inf)
    elements = written if op_type in WRITES else max(read, written) if op_type in ("Add", "Mul") else read
    return Cost(*(NODE + rate * elements / 1000 for rate in ELEMENTWISE[op_type]))


def crossing(shape: Shape, *, fed: bool = False) -> Crossing:
    """What it costs a value to change its form; `fed` for an input of the network, which lies in memory plainly."""
    elements = prod(shape) / 1000
    if len(shape) < 4:
        return Crossing(NODE + QUANTIZE * elements, NODE + DEQUANTIZE * elements)
    transpose = TRANSPOSE_THIN if 1 < shape[1] < 8 else TRANSPOSE
    reorder = 0.0 if fed else NODE + REORDER * elements
    quantize = 2 * NODE + (QUANTIZE + transpose) * elements + reorder
    return Crossing(quantize, 2 * NODE + (DEQUANTIZE + transpose) * elements + reorder)


def _filled(channels: int) -> int:
    return -(-channels // BLOCK) * BLOCK
