"""ONNX's own node tests of quantization: our equation and our integer instructions give what the standard expects, code by code.

Left out: scales in float16 (an encoding's are float32), 2-bit integers and float4 as ONNX packs them, output types without zero points.
"""

import importlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import onnx.backend.test.case.node as cases
import pytest
from onnx import numpy_helper

from bitsmith.graph import Array
from bitsmith.integer.codes import CodeRange
from bitsmith.integer.instructions import FLOAT32, Convolve, MatrixMultiply
from bitsmith.integer.requantization import product_multiplier
from bitsmith.integer.windows import Window
from bitsmith.numerics import Blocks, Encoding, Integer, parse_format
from bitsmith.numerics.formats import Format

OPERATORS = ("QuantizeLinear", "DequantizeLinear", "QLinearConv", "QLinearMatMul", "ConvInteger", "MatMulInteger")
LEFT_OUT = ("float16", "int2", "float4", "blocked_symmetric")
FLOATS = {"float8_e4m3fn": parse_format("float8_e4m3"), "float8_e5m2": parse_format("float8_e5m2")}


def collect() -> Iterator[Any]:
    """Cases as pytest likes them, each once; importing an operator's file makes them."""
    for operator in OPERATORS:
        importlib.import_module(f"onnx.backend.test.case.node.{operator.lower()}")
    seen = set()
    for case in cases._NodeTestCases:
        kind = case.model.graph.node[0].op_type
        if kind in OPERATORS and case.name not in seen and not any(word in case.name for word in LEFT_OUT):
            seen.add(case.name)
            yield pytest.param(case, id=case.name)


def array(held: Any) -> Array:
    return held if isinstance(held, np.ndarray | np.generic) else numpy_helper.to_array(held)


def format_of(codes: Array) -> Format:
    """int8, uint4, float8 ... as the array's type says."""
    name = codes.dtype.name
    return FLOATS.get(name) or parse_format(name)


def plain(codes: Array, format: Format) -> Array:
    """Codes in the storage that we hold them in."""
    return codes.astype(format.storage) if format.integral else codes.view(format.storage)


def encoding(shape: tuple[int, ...], scale: Array, zero_point: Array, attributes: dict[str, int]) -> Encoding:
    """Scales laid on a tensor as ONNX lays them."""
    format = format_of(zero_point)
    zeros = plain(zero_point, format).astype(np.int32) if format.integral else np.zeros(scale.shape, np.int32)
    if scale.size == 1:
        return Encoding(format, scale.reshape(()), zeros.reshape(()))
    zeros = np.broadcast_to(zeros, scale.shape)
    axis = attributes.get("axis", 1) % len(shape)
    if size := attributes.get("block_size", 0):
        sizes = {a: size if a == axis else 1 for a in range(len(shape))}
        return Encoding(format, scale, zeros, Blocks(sizes))
    along = tuple(-1 if a == axis else 1 for a in range(len(shape)))
    return Encoding(format, scale.reshape(along), zeros.reshape(along), Blocks.channels(axis))


def quantize(x: Array, scale: Array, zero_point: Array, **attributes: int) -> Array:
    return encoding(x.shape, scale, zero_point, attributes).quantize(x)


def dequantize(codes: Array, scale: Array, zero_point: Array | None = None, **attributes: int) -> Array:
    zeros = np.zeros((), codes.dtype) if zero_point is None else zero_point
    found = encoding(codes.shape, scale, zeros, attributes)
    return found.dequantize(plain(codes, found.format))


def source(codes: Array, zero_point: Array | None) -> CodeRange:
    format = Integer(8, signed=codes.dtype == np.int8)
    zero = 0 if zero_point is None else int(np.ravel(zero_point)[0])
    return CodeRange(zero, format.lowest, format.highest, codes.dtype)


def window_of(weights: Array, pads: list[int]) -> Window:
    space = weights.ndim - 2
    return Window.of(weights.shape[2:], pads=list(zip(pads[:space], pads[space:], strict=True)))


def zeros_of(zero_point: Array | None) -> Array:
    found = np.zeros((), np.int32) if zero_point is None else zero_point.astype(np.int32)
    return found.reshape(()) if found.size == 1 else found


def convolve(x: Array, w: Array, xz: Array | None = None, wz: Array | None = None, pads: Any = (0, 0, 0, 0)) -> Array:
    return Convolve(("x",), "y", source(x, xz), w, zeros_of(wz), window_of(w, list(pads))).run(x)


def multiply(a: Array, b: Array, az: Array | None = None, bz: Array | None = None) -> Array:
    return MatrixMultiply(("a",), "y", source(a, az), weights=b, weights_zero_point=zeros_of(bz)).run(a)


def requantize(scales: tuple[Array, Array, Array], codes: CodeRange) -> Any:
    x, w, y = (s.reshape(()) if s.size == 1 else s for s in scales)
    return FLOAT32.requantize.of(product_multiplier(x, w, y), codes)


def quantized_convolution(x: Array, xs: Array, xz: Array, w: Array, ws: Array, wz: Array, ys: Array, yz: Array) -> Array:
    last = requantize((xs, ws, ys), source(yz, yz))
    return Convolve(("x",), "y", source(x, xz), w, zeros_of(wz), window_of(w, [0, 0, 0, 0]), requantize=last).run(x)


def quantized_product(a: Array, az_scale: Array, az: Array, b: Array, bs: Array, bz: Array, ys: Array, yz: Array) -> Array:
    last = requantize((az_scale, bs, ys), source(yz, yz))
    return MatrixMultiply(("a",), "y", source(a, az), weights=b, weights_zero_point=zeros_of(bz), requantize=last).run(a)


OURS = {"QuantizeLinear": quantize, "DequantizeLinear": dequantize, "QLinearConv": quantized_convolution,
        "QLinearMatMul": quantized_product, "ConvInteger": convolve, "MatMulInteger": multiply}


@pytest.mark.parametrize("case", list(collect()))
def test_as_the_standard_expects(case: Any) -> None:
    (node,) = case.model.graph.node
    given, (expected,) = (list(map(array, held)) for held in case.data_sets[0])
    attributes = {a.name: list(a.ints) or a.i for a in node.attribute}
    found = OURS[node.op_type](*given, **attributes)
    wanted = plain(expected, format_of(expected)) if expected.dtype.name != "float32" else expected
    np.testing.assert_array_equal(found, wanted)


def test_no_case_is_missing() -> None:
    """Every operator has some; should ONNX add cases, they are tried."""
    assert {param.values[0].model.graph.node[0].op_type for param in collect()} == set(OPERATORS)
