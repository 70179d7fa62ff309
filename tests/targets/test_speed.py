"""What is known of speeds: which form won where it was measured, and what no formula may do."""

from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitsmith.targets.onnx.speed import Cost, convolution, cost, crossing, product

# Single convolutions, profiled one beside the other: (C_in, C_out, kernel, stride, side, groups), µs in float32 and in int8.
# The profiler itself adds about two microseconds to each.
PROFILED = [
    ((64, 64, 1, 1, 14, 1), 16.7, 8.0),
    ((128, 128, 1, 1, 28, 1), 225.3, 66.6),
    ((512, 512, 1, 1, 7, 1), 227.0, 67.0),
    ((16, 16, 3, 1, 32, 1), 44.0, 23.0),
    ((64, 64, 3, 1, 32, 1), 637.2, 177.0),
    ((32, 64, 3, 2, 16, 1), 23.8, 10.0),
    ((20, 50, 5, 1, 12, 1), 133.0, 33.0),
    ((3, 16, 3, 1, 32, 1), 11.0, 29.0),
    ((3, 8, 3, 2, 224, 1), 102.9, 291.0),
    ((1, 20, 5, 1, 28, 1), 14.6, 33.2),
    ((8, 8, 3, 1, 112, 8), 45.0, 210.4),
    ((16, 16, 3, 1, 112, 16), 44.7, 163.9),
    ((64, 64, 3, 1, 28, 64), 16.0, 25.0),
    ((256, 256, 3, 1, 14, 256), 20.4, 21.7),
    ((40, 40, 3, 1, 28, 40), 12.0, 34.3),
]
PROFILER = 1.9

sizes = st.integers(1, 64)
blocks = st.integers(1, 8).map(lambda n: 16 * n)


def conv(deep: int, wide: int, kernel: int, stride: int, side: int, group: int) -> Cost:
    pixels = -(-side // stride)
    return convolution((1, wide, pixels, pixels), (wide, deep // group, kernel, kernel), group=group)


@pytest.mark.parametrize(("layer", "real", "int8"), PROFILED)
def test_convolutions_cost_what_was_profiled(layer: tuple[int, ...], real: float, int8: float) -> None:
    told = conv(*layer)
    assert told.real == pytest.approx(real - PROFILER, rel=0.35, abs=2)
    assert told.int8 == pytest.approx(int8 - PROFILER, rel=0.35, abs=2)


@pytest.mark.parametrize(("layer", "real", "int8"), PROFILED)
def test_the_faster_form_is_told(layer: tuple[int, ...], real: float, int8: float) -> None:
    told = conv(*layer)
    assert (told.int8 < told.real) == (int8 < real)


@given(sizes, blocks, blocks, st.sampled_from([1, 3, 5]), st.booleans())
def test_more_pixels_never_cost_less(side: int, deep: int, wide: int, kernel: int, depthwise: bool) -> None:
    group = wide if depthwise else 1
    deep = wide if depthwise else deep
    small, large = conv(deep, wide, kernel, 1, side, group), conv(deep, wide, kernel, 1, side + 1, group)
    assert large.real > small.real
    assert large.int8 > small.int8


@given(sizes, sizes, sizes, st.booleans())
def test_larger_products_never_cost_less(rows: int, depth: int, columns: int, weights: bool) -> None:
    small, large = product(rows, depth, columns, weights=weights), product(rows, depth + 1, columns, weights=weights)
    assert large.real > small.real
    assert large.int8 > small.int8


def test_products_of_matrices_and_vectors() -> None:
    assert cost("Gemm", [(1, 1024), (1000, 1024)], (1, 1000)).int8 < 0.5 * cost("Gemm", [(1, 1024), (1000, 1024)], (1, 1000)).real
    tall, vector = cost("MatMul", [(1, 64, 256), (256, 1024)], (1, 64, 1024)), cost("MatMul", [(1, 256), (256, 1024)], (1, 1024))
    assert tall.real < 64 * vector.real
    heads = cost("MatMul", [(1, 8, 128, 32), (1, 8, 32, 128)], (1, 8, 128, 128))
    assert heads.int8 == pytest.approx(heads.real, rel=0.2)


def test_a_clip_costs_float_only() -> None:
    plain, clipped = (convolution((1, 16, 56, 56), (16, 16, 1, 1), clipped=c) for c in (False, True))
    assert clipped.real > plain.real
    assert clipped.int8 == plain.int8


def test_slow_integer_kernels_are_known() -> None:
    pool = cost("AveragePool", [(1, 32, 56, 56)], (1, 32, 28, 28), kernel=(2, 2))
    assert pool.int8 > 20 * pool.real
    assert cost("AveragePool", [(1, 64, 8, 8)], (1, 64, 1, 1), kernel=(8, 8)).int8 < 5
    soft = cost("Softmax", [(1, 2048, 64)], (1, 2048, 64))
    assert soft.int8 > 4 * soft.real


@pytest.mark.parametrize("op_type", ["LayerNormalization", "Gelu", "Sub", "Tanh", "ReduceMean", "NoSuchOperator"])
def test_operators_without_an_integer_kernel_stay_float(op_type: str) -> None:
    assert cost(op_type, [(1, 8, 16)], (1, 8, 16)).int8 == inf


def test_transposed_convolutions_stay_float() -> None:
    assert cost("ConvTranspose", [(1, 16, 8, 8), (16, 8, 2, 2)], (1, 8, 16, 16)).int8 == inf
    assert cost("ConvTranspose", [(), (16, 8, 2, 2)], ()).int8 == inf


@pytest.mark.parametrize("op_type", ["Conv", "Gemm", "MatMul"])
def test_products_of_unknown_shape_favour_no_form(op_type: str) -> None:
    assert len(set(cost(op_type, [(), (16, 8)], (1, 16)))) == 1
    assert len(set(cost(op_type, [(1, 8)], (1, 16)))) == 1


@pytest.mark.parametrize("op_type", ["Conv", "Gemm", "MatMul", "Add", "MaxPool", "Concat", "AveragePool", "Reshape"])
def test_empty_tensors_have_a_cost(op_type: str) -> None:
    told = cost(op_type, [(0, 8, 0, 0), (8, 8, 3, 3)], (0, 8, 0, 0), kernel=(2, 2))
    assert told.real >= 1
    assert told.int8 >= 1


def test_crossings_of_images_pay_for_the_layout() -> None:
    image, plain = crossing((1, 16, 32, 32)), crossing((1, 16 * 32 * 32))
    assert image.quantize > plain.quantize > 1
    assert image.dequantize > plain.dequantize > 1
    assert crossing((1, 16, 32, 32), fed=True).quantize < image.quantize
    assert crossing((1, 3, 224, 224), fed=True).quantize > crossing((3, 1, 224, 224), fed=True).quantize
