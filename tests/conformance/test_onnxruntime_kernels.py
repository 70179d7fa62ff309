"""Instructions with float32 arithmetic give the same codes as onnxruntime's own integer kernels, bit for bit.

Found with onnxruntime 1.31 on x86-64. Kernels for other processors round sums differently, and those for processors without
VNNI saturate pairs of products of uint8 and int8, so that the weights have to be smaller there.
"""

import platform
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnxruntime_graphs import MICROSOFT, Array, Graph, random_codes, random_encoding, vector_products

from bitsmith.integer.codes import CodeRange
from bitsmith.integer.instructions import (
    FLOAT32,
    AddRescaled,
    AveragePool,
    Convolve,
    MatrixMultiply,
    MaxPool,
    Mean,
    MultiplyRescaled,
)
from bitsmith.integer.requantization import mean_multiplier, product_multiplier
from bitsmith.integer.windows import Window
from bitsmith.numerics.encoding import Blocks, Encoding
from bitsmith.numerics.formats import Format, Integer

pytestmark = pytest.mark.skipif(platform.machine() != "x86_64", reason="these are the kernels of onnxruntime on x86-64")

UINT8, INT8 = Integer(8, signed=False), Integer(8)
FORMATS = pytest.mark.parametrize("form", [UINT8, INT8], ids=["uint8", "int8"])
SEEDS = pytest.mark.parametrize("seed", range(10))
WEIGHTS = Integer(8 if vector_products() else 7)
ZERO = np.zeros((), np.int32)


def weight_encoding(random: np.random.Generator, channels: int, axis: int, rank: int, near: float) -> Encoding:
    shape = [1] * rank
    shape[axis] = channels
    scale = near * np.exp(random.uniform(-1, 1, shape))
    return Encoding(INT8, scale.astype(np.float32), np.zeros(shape, np.int32), Blocks.channels(axis))


class Convolution:
    """A random convolution: rank, groups, strides, dilations, asymmetric padding, a scale for each channel."""

    def __init__(self, seed: int, form: Format) -> None:
        random = np.random.default_rng(seed)
        space = int(random.integers(1, 4))
        groups, inner, outer = (int(random.integers(1, n)) for n in (5, 9, 9))
        if seed % 3 == 0:
            inner = outer = 1
        channels = groups * outer
        kernel, strides, dilations = (tuple(int(n) for n in random.integers(1, n, space)) for n in (4, 3, 3))
        sizes = [(k - 1) * d + int(random.integers(1, 12)) for k, d in zip(kernel, dilations, strict=True)]
        pads = [(int(random.integers(0, k + 1)), int(random.integers(0, k + 1))) for k in kernel]
        terms = inner * int(np.prod(kernel))
        self.groups, self.window = groups, Window.of(kernel, strides=strides, dilations=dilations, pads=pads)
        self.codes = random_codes(random, form, 3, groups * inner, *sizes)
        self.weights = random_codes(random, WEIGHTS, channels, inner, *kernel).astype(np.int8)
        self.bias = random.integers(-5000, 5000, channels).astype(np.int32)
        self.source, self.target = random_encoding(random, form, near=0.02), random_encoding(random, form, near=0.5)
        self.scales = weight_encoding(random, channels, 0, 2 + space, near=0.3 / np.sqrt(terms))

    @property
    def attributes(self) -> dict[str, Any]:
        window = self.window
        pads = [before for before, _ in window.pads] + [after for _, after in window.pads]
        return {"kernel_shape": window.kernel, "strides": window.strides, "dilations": window.dilations, "pads": pads, "group": self.groups}

    def ours(self) -> Array:
        multiplier = product_multiplier(self.source.scale, self.scales.scale.reshape(-1), self.target.scale)
        requantize = FLOAT32.requantize.of(multiplier, CodeRange.of(self.target))
        source = CodeRange.of(self.source)
        return Convolve(("x",), "y", source, self.weights, ZERO, self.window, self.bias, self.groups, requantize=requantize).run(self.codes)


@FORMATS
@pytest.mark.parametrize("seed", range(30))
def test_convolution(seed: int, form: Format) -> None:
    case, graph = Convolution(seed, form), Graph()
    operands = [graph.feed(case.codes), *graph.encoding(case.source), graph.constant(case.weights, np.int8), *graph.encoding(case.scales),
                *graph.encoding(case.target), graph.constant(case.bias, np.int32)]
    theirs = graph.run(graph.node("QLinearConv", operands, attributes=case.attributes))
    np.testing.assert_array_equal(case.ours(), theirs)


@FORMATS
@SEEDS
def test_fused_convolution(seed: int, form: Format, tmp_path: Path) -> None:
    case, graph = Convolution(seed, form), Graph()
    bias = Encoding(Integer(32), case.source.scale * case.scales.scale.reshape(-1), np.zeros(len(case.bias)), Blocks.channels(0))
    operands = [graph.dequantize(graph.feed(case.codes), case.source),
                graph.dequantize(graph.constant(case.weights, np.int8), case.scales),
                graph.dequantize(graph.constant(case.bias, np.int32), bias)]
    output = graph.quantize(graph.node("Conv", operands, attributes=case.attributes), case.target)
    np.testing.assert_array_equal(case.ours(), graph.run_fused(output, "QLinearConv", tmp_path))


@SEEDS
def test_weights_of_uint8_with_a_zero_point(seed: int) -> None:
    random, graph = np.random.default_rng(seed), Graph()
    source, target, scales = (random_encoding(random, UINT8, near=near) for near in (0.02, 0.5, 0.05))
    codes, weights = random_codes(random, UINT8, 2, 6, 9, 8), random_codes(random, UINT8, 7, 6, 3, 3)
    operands = [graph.feed(codes), *graph.encoding(source), graph.constant(weights, np.uint8), *graph.encoding(scales)]
    theirs = graph.run(graph.node("QLinearConv", [*operands, *graph.encoding(target)]))
    requantize = FLOAT32.requantize.of(product_multiplier(source.scale, scales.scale, target.scale), CodeRange.of(target))
    instruction = Convolve(("x",), "y", CodeRange.of(source), weights, scales.zero_point, Window.of((3, 3)), requantize=requantize)
    np.testing.assert_array_equal(instruction.run(codes), theirs)


@SEEDS
def test_transposed_convolution_is_one_with_flipped_weights_between_zeros(seed: int) -> None:
    """Small integers in float32 are exact, so the float kernel is the judge."""
    random, graph = np.random.default_rng(seed), Graph()
    stride, kernel, dilation, groups, inner, outer = (int(n) for n in random.integers(1, 4, 6))
    pad, extra = int(random.integers(0, kernel)), int(random.integers(0, stride))
    codes = random_codes(random, UINT8, 2, groups * inner, 6, 5)
    weights = random.integers(-20, 21, (groups * inner, outer, kernel, kernel)).astype(np.int8)
    attributes = {"strides": [stride] * 2, "dilations": [dilation] * 2, "group": groups, "pads": [pad] * 4, "output_padding": [extra] * 2}
    operands = [graph.feed(codes.astype(np.float32) - 9), graph.constant(weights, np.float32)]
    theirs = graph.run(graph.node("ConvTranspose", operands, attributes=attributes))
    edge = dilation * (kernel - 1) - pad
    grouped = weights.reshape(groups, inner, outer, kernel, kernel)[..., ::-1, ::-1].swapaxes(1, 2)
    flipped = grouped.reshape(groups * outer, inner, kernel, kernel)
    window = Window.of((kernel, kernel), dilations=(dilation, dilation), pads=((edge, edge + extra),) * 2)
    source = CodeRange(9, 0, 255, np.dtype(np.uint8))
    instruction = Convolve(("x",), "y", source, flipped, ZERO, window, groups=groups, input_dilation=(stride, stride))
    np.testing.assert_array_equal(instruction.run(codes), theirs)


class Product:
    """A random matrix product with constant weights."""

    def __init__(self, seed: int, form: Format) -> None:
        random = np.random.default_rng(seed)
        rows, terms, columns = (int(n) for n in random.integers(1, 70, 3))
        self.codes = random_codes(random, form, rows, terms)
        self.weights = random_codes(random, WEIGHTS, terms, columns).astype(np.int8)
        self.bias = random.integers(-5000, 5000, columns).astype(np.int32)
        self.source, self.target = random_encoding(random, form, near=0.02), random_encoding(random, form, near=0.5)
        self.scales = weight_encoding(random, columns, 1, 2, near=0.3 / np.sqrt(terms))

    def ours(self, *, bias: bool) -> Array:
        multiplier = product_multiplier(self.source.scale, self.scales.scale.reshape(-1), self.target.scale)
        return MatrixMultiply(("x",), "y", CodeRange.of(self.source), weights=self.weights, weights_zero_point=ZERO,
                              bias=self.bias if bias else None,
                              requantize=FLOAT32.requantize.of(multiplier, CodeRange.of(self.target))).run(self.codes)


@FORMATS
@SEEDS
def test_matrix_product(seed: int, form: Format) -> None:
    case, graph = Product(seed, form), Graph()
    operands = [graph.feed(case.codes), *graph.encoding(case.source), graph.constant(case.weights, np.int8), *graph.encoding(case.scales)]
    theirs = graph.run(graph.node("QLinearMatMul", [*operands, *graph.encoding(case.target)]))
    np.testing.assert_array_equal(case.ours(bias=False), theirs)


@FORMATS
@SEEDS
def test_gemm(seed: int, form: Format) -> None:
    case, graph = Product(seed, form), Graph()
    operands = [graph.feed(case.codes), *graph.encoding(case.source), graph.constant(case.weights, np.int8), *graph.encoding(case.scales),
                graph.constant(case.bias, np.int32), *graph.encoding(case.target)]
    theirs = graph.run(graph.node("QGemm", operands, domain=MICROSOFT))
    np.testing.assert_array_equal(case.ours(bias=True), theirs)


@FORMATS
@pytest.mark.parametrize(("kind", "fused"), [("MatMul", "QLinearMatMul"), ("Gemm", "QGemm")])
def test_fused_products(kind: str, fused: str, form: Format, tmp_path: Path) -> None:
    case, graph = Product(3, form), Graph()
    operands = [graph.dequantize(graph.feed(case.codes), case.source),
                graph.dequantize(graph.constant(case.weights, np.int8), case.scales)]
    if kind == "Gemm":
        scale = case.source.scale * case.scales.scale.reshape(-1)
        bias = Encoding(Integer(32), scale, np.zeros(scale.shape), Blocks.channels(0))
        operands.append(graph.dequantize(graph.constant(case.bias, np.int32), bias))
    output = graph.quantize(graph.node(kind, operands), case.target)
    np.testing.assert_array_equal(case.ours(bias=kind == "Gemm"), graph.run_fused(output, fused, tmp_path))


@FORMATS
@SEEDS
def test_product_of_two_activations(seed: int, form: Format) -> None:
    random, graph = np.random.default_rng(seed), Graph()
    left, right, target = (random_encoding(random, form, near=near) for near in (0.02, 0.02, 0.2))
    a, b = random_codes(random, form, 2, 3, 11, 17), random_codes(random, form, 2, 3, 17, 5)
    operands = [graph.feed(a), *graph.encoding(left), graph.feed(b), *graph.encoding(right), *graph.encoding(target)]
    theirs = graph.run(graph.node("QLinearMatMul", operands))
    requantize = FLOAT32.requantize.of(product_multiplier(left.scale, right.scale, target.scale), CodeRange.of(target))
    ours = MatrixMultiply(("a", "b"), "y", CodeRange.of(left), CodeRange.of(right), requantize=requantize).run(a, b)
    np.testing.assert_array_equal(ours, theirs)


IMAGES, CHANNELS = (4, 3, 16, 16), (1, 3, 1, 1)
SHAPES = [(IMAGES, IMAGES), (IMAGES, CHANNELS), (CHANNELS, IMAGES), ((4, 30), (1, 1)), ((1, 1), (5, 9))]


@FORMATS
@pytest.mark.parametrize("shapes", SHAPES, ids=str)
@SEEDS
def test_addition(seed: int, shapes: tuple[tuple[int, ...], tuple[int, ...]], form: Format) -> None:
    """A first operand that is one number along the last axes comes second: the kernel swaps them."""
    random, graph = np.random.default_rng(seed), Graph()
    sources = [random_encoding(random, form), random_encoding(random, form)]
    target = random_encoding(random, form, near=1.5)
    codes = [random_codes(random, form, *shape) for shape in shapes]
    operands = [name for c, e in zip(codes, sources, strict=True) for name in (graph.feed(c), *graph.encoding(e))]
    theirs = graph.run(graph.node("QLinearAdd", [*operands, *graph.encoding(target)], domain=MICROSOFT))
    if shapes[0][-1] == 1:
        codes, sources = codes[::-1], sources[::-1]
    np.testing.assert_array_equal(add(sources, target).run(*codes), theirs)


def add(sources: list[Encoding], target: Encoding) -> AddRescaled:
    total = FLOAT32.total.of(sources, (1, 1), target.scale, CodeRange.of(target))
    return AddRescaled(("a", "b"), "y", tuple(map(CodeRange.of, sources)), total)


def multiply(sources: list[Encoding], target: Encoding) -> MultiplyRescaled:
    requantize = FLOAT32.product(product_multiplier(sources[0].scale, sources[1].scale, target.scale), CodeRange.of(target))
    return MultiplyRescaled(("a", "b"), "y", (CodeRange.of(sources[0]), CodeRange.of(sources[1])), requantize)


@FORMATS
@SEEDS
def test_multiplication(seed: int, form: Format) -> None:
    """With scales that are powers of two for every other seed, so that ties are common."""
    random, graph = np.random.default_rng(seed), Graph()
    sources, target = [random_encoding(random, form, near=0.1), random_encoding(random, form, near=0.1)], random_encoding(random, form)
    if seed % 2:
        sources = [Encoding(form, np.float32(2.0**-4), e.zero_point) for e in sources]
        target = Encoding(form, np.float32(0.5), target.zero_point)
    codes = [random_codes(random, form, 3, 5, 40), random_codes(random, form, 3, 5, 1 if seed % 3 else 40)]
    operands = [name for c, e in zip(codes, sources, strict=True) for name in (graph.feed(c), *graph.encoding(e))]
    theirs = graph.run(graph.node("QLinearMul", [*operands, *graph.encoding(target)], domain=MICROSOFT))
    np.testing.assert_array_equal(multiply(sources, target).run(*codes), theirs)


@FORMATS
@pytest.mark.parametrize("kind", ["Add", "Mul"])
def test_fused_arithmetic(kind: str, form: Format, tmp_path: Path) -> None:
    random, graph = np.random.default_rng(1), Graph()
    sources, target = [random_encoding(random, form), random_encoding(random, form)], random_encoding(random, form, near=1.5)
    codes = [random_codes(random, form, 4, 300), random_codes(random, form, 4, 300)]
    operands = [graph.dequantize(graph.feed(c), e) for c, e in zip(codes, sources, strict=True)]
    theirs = graph.run_fused(graph.quantize(graph.node(kind, operands), target), f"QLinear{kind}", tmp_path)
    np.testing.assert_array_equal((add if kind == "Add" else multiply)(sources, target).run(*codes), theirs)


def mean(source: Encoding, target: Encoding, count: int) -> Mean:
    requantize = FLOAT32.requantize.of(mean_multiplier(source.scale, target.scale, count), CodeRange.of(target))
    return Mean(("x",), "y", CodeRange.of(source), (2, 3), requantize)


@FORMATS
@SEEDS
def test_global_average(seed: int, form: Format, tmp_path: Path) -> None:
    random, graph, fused = np.random.default_rng(seed), Graph(), Graph()
    source, target = random_encoding(random, form), random_encoding(random, form, near=0.3)
    codes = random_codes(random, form, 3, 50, *random.integers(1, 12, 2))
    theirs = graph.run(graph.node("QLinearGlobalAveragePool", [graph.feed(codes), *graph.encoding(source), *graph.encoding(target)],
                                  domain=MICROSOFT, attributes={"channels_last": 0}))
    pooled = fused.node("GlobalAveragePool", [fused.dequantize(fused.feed(codes), source)])
    also = fused.run_fused(fused.quantize(pooled, target), "QLinearGlobalAveragePool", tmp_path)
    ours = mean(source, target, codes[0, 0].size).run(codes)
    np.testing.assert_array_equal(ours, theirs)
    np.testing.assert_array_equal(ours, also)


@FORMATS
@SEEDS
def test_mean_differs_by_at_most_one_code(seed: int, form: Format) -> None:
    """onnxruntime has no integer ReduceMean: it adds real numbers in an order of its own. Measured: none of 96,000 codes differs."""
    random, graph = np.random.default_rng(seed), Graph()
    source, target = random_encoding(random, form), random_encoding(random, form, near=0.3)
    codes = random_codes(random, form, 8, 100, 7, 7)
    reduced = graph.node("ReduceMean", [graph.dequantize(graph.feed(codes), source), graph.constant([2, 3], np.int64)])
    off = np.abs(mean(source, target, 49).run(codes).astype(int) - graph.run(graph.quantize(reduced, target)).astype(int))
    assert off.max() <= 1
    assert off.mean() <= 0.001


@FORMATS
@pytest.mark.parametrize("seed", range(20))
def test_average_pool(seed: int, form: Format, tmp_path: Path) -> None:
    random, graph, fused = np.random.default_rng(seed), Graph(), Graph()
    space = int(random.integers(1, 4))
    kernel, strides = (tuple(int(n) for n in random.integers(1, 4, space)) for _ in range(2))
    pads = [(int(random.integers(0, k)), int(random.integers(0, k))) for k in kernel]
    include_pad = bool(random.integers(2))
    source, target = random_encoding(random, form), random_encoding(random, form, near=0.5)
    codes = random_codes(random, form, 2, 5, *(k + int(n) for k, n in zip(kernel, random.integers(1, 9, space), strict=True)))
    attributes = {"kernel_shape": kernel, "strides": strides, "pads": [b for b, _ in pads] + [a for _, a in pads],
                  "count_include_pad": int(include_pad)}
    operands = [graph.feed(codes), *graph.encoding(source), *graph.encoding(target)]
    theirs = graph.run(graph.node("QLinearAveragePool", operands, domain=MICROSOFT, attributes=attributes))
    pooled = fused.node("AveragePool", [fused.dequantize(fused.feed(codes), source)], attributes=attributes)
    also = fused.run_fused(fused.quantize(pooled, target), "QLinearAveragePool", tmp_path)
    average = FLOAT32.average.of(source, int(np.prod(kernel)), target.scale, CodeRange.of(target))
    ours = AveragePool(("x",), "y", Window.of(kernel, strides=strides, pads=pads), average, include_pad).run(codes)
    np.testing.assert_array_equal(ours, theirs)
    np.testing.assert_array_equal(ours, also)


@FORMATS
def test_average_of_everything_is_a_global_average(form: Format) -> None:
    """A window as large as the tensor makes onnxruntime add integers, not real numbers."""
    random, graph = np.random.default_rng(0), Graph()
    source, target = random_encoding(random, form), random_encoding(random, form, near=0.3)
    codes = random_codes(random, form, 8, 300, 5, 5)
    operands = [graph.feed(codes), *graph.encoding(source), *graph.encoding(target)]
    theirs = graph.run(graph.node("QLinearAveragePool", operands, domain=MICROSOFT, attributes={"kernel_shape": [5, 5]}))
    np.testing.assert_array_equal(mean(source, target, 25).run(codes), theirs)


@FORMATS
@pytest.mark.parametrize("include_pad", [False, True])
def test_average_pool_beyond_the_padding_follows_the_float_operator(include_pad: bool, form: Format) -> None:
    """There QLinearAveragePool divides by the whole kernel when it counts padding, and so contradicts onnxruntime's own AveragePool."""
    random, graph = np.random.default_rng(0), Graph()
    source, target = random_encoding(random, form), random_encoding(random, form, near=0.5)
    codes = random_codes(random, form, 2, 20, 30, 31)
    attributes = {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1] * 4, "ceil_mode": 1, "count_include_pad": int(include_pad)}
    pooled = graph.run(graph.node("AveragePool", [graph.dequantize(graph.feed(codes), source)], attributes=attributes))
    window = Window.of((3, 3), strides=(2, 2), pads=((1, 1), (1, 1)), ceil_mode=True)
    average = FLOAT32.average.of(source, 9, target.scale, CodeRange.of(target))
    ours = AveragePool(("x",), "y", window, average, include_pad).run(codes)
    off = np.abs(ours.astype(int) - target.quantize(pooled).astype(int))
    assert off.max() <= 1
    assert off.mean() <= 0.001


@FORMATS
@SEEDS
def test_max_pool(seed: int, form: Format) -> None:
    random, graph = np.random.default_rng(seed), Graph()
    kernel, strides, dilations = (tuple(int(n) for n in random.integers(1, 4, 2)) for _ in range(3))
    pads, ceil_mode = [(int(random.integers(0, k)), int(random.integers(0, k))) for k in kernel], bool(random.integers(2))
    codes = random_codes(random, form, 2, 5, 11, 12)
    attributes = {"kernel_shape": kernel, "strides": strides, "dilations": dilations, "ceil_mode": int(ceil_mode),
                  "pads": [b for b, _ in pads] + [a for _, a in pads]}
    theirs = graph.run(graph.node("MaxPool", [graph.feed(codes)], attributes=attributes))
    window = Window.of(kernel, strides=strides, dilations=dilations, pads=pads, ceil_mode=ceil_mode)
    np.testing.assert_array_equal(MaxPool(("x",), "y", window).run(codes), theirs)
