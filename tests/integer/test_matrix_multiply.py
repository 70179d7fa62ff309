"""Matrix products equal int64 sums, for constant and computed operands, batched and broadcast."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from integer_reference import Array

from bitsmith.errors import LoweringError
from bitsmith.integer import products
from bitsmith.integer.codes import CodeRange
from bitsmith.integer.instructions import MatrixMultiply
from bitsmith.integer.requantization import FloatScale

UINT8, INT16 = np.dtype(np.uint8), np.dtype(np.int16)
SOURCES = [CodeRange(7, 0, 255, UINT8), CodeRange(255, 0, 255, UINT8), CodeRange(-3, -2**15, 2**15 - 1, INT16), CodeRange(2, 0, 15, UINT8)]
Shape = tuple[int, ...]
LEADS = [((), ()), ((3,), (3,)), ((2, 3), (2, 3)), ((2, 3), (1, 3)), ((1, 4), (5, 1))]


def draw_codes(random: np.random.Generator, source: CodeRange, shape: tuple[int, ...]) -> Array:
    ends = random.choice([source.low, source.high], shape)
    return np.where(random.random(shape) < 0.5, ends, random.integers(source.low, source.high + 1, shape)).astype(source.storage)


SIZES = st.tuples(*[st.integers(1, 9)] * 3)


@settings(deadline=None, max_examples=100)
@given(st.integers(0, 2**32), SIZES, st.sampled_from(LEADS), st.sampled_from(SOURCES), st.sampled_from(SOURCES))
def test_computed_operands(seed: int, sizes: Shape, leads: tuple[Shape, Shape], left: CodeRange, right: CodeRange) -> None:
    random, (rows, terms, columns) = np.random.default_rng(seed), sizes
    a, b = draw_codes(random, left, (*leads[0], rows, terms)), draw_codes(random, right, (*leads[1], terms, columns))
    instruction = MatrixMultiply(("a", "b"), "y", left, right)
    expected = np.matmul(a.astype(np.int64) - left.zero_point, b.astype(np.int64) - right.zero_point)
    bounds = instruction.bounds(terms)
    assert bounds.lowest <= expected.min()
    assert expected.max() <= bounds.highest
    if bounds.fit().all():
        np.testing.assert_array_equal(instruction.run(a, b), expected)


@settings(deadline=None, max_examples=100)
@given(st.integers(0, 2**32), SIZES, st.sampled_from(LEADS), st.sampled_from(SOURCES), st.booleans())
def test_constant_weights(seed: int, sizes: Shape, leads: tuple[Shape, Shape], source: CodeRange, by_channel: bool) -> None:
    random, (rows, terms, columns) = np.random.default_rng(seed), sizes
    codes = draw_codes(random, source, (*leads[0], rows, terms))
    weights = random.integers(-128, 128, (*leads[1], terms, columns)).astype(np.int8)
    zero = random.integers(-9, 9, (columns,) if by_channel else ()).astype(np.int32)
    bias = random.integers(-2**22, 2**22, columns).astype(np.int32)
    instruction = MatrixMultiply(("a",), "y", source, weights=weights, weights_zero_point=zero, bias=bias)
    expected = np.matmul(codes.astype(np.int64) - source.zero_point, weights.astype(np.int64) - zero) + bias
    bounds = instruction.bounds(terms)
    assert bounds.lowest.shape == (columns,)
    assert (bounds.lowest <= expected.reshape(-1, columns).min(0)).all()
    assert (expected.reshape(-1, columns).max(0) <= bounds.highest).all()
    np.testing.assert_array_equal(instruction.run(codes), expected)


def test_channels_of_the_multiplier_run_along_the_last_axis() -> None:
    source, target = SOURCES[0], CodeRange(0, -128, 127, np.dtype(np.int8))
    requantize = FloatScale.of(np.array([1.0, 0.5, 0.25], np.float32), target)
    weights = np.ones((2, 3), np.int8)
    instruction = MatrixMultiply(("a",), "y", source, weights=weights, weights_zero_point=np.zeros((), np.int32), requantize=requantize)
    codes = np.array([[[9, 9]], [[11, 3]]], np.uint8)
    np.testing.assert_array_equal(instruction.run(codes), [[[4, 2, 1]], [[0, 0, 0]]])
    assert instruction.run(codes).dtype == np.int8


def test_long_sums_go_beyond_single_precision() -> None:
    source = CodeRange(0, 0, 255, UINT8)
    instruction = MatrixMultiply(("a",), "y", source, weights=np.full((1001, 1), 127, np.int8), weights_zero_point=np.zeros((), np.int32))
    assert products.exact_type(instruction.bounds(1001), None) == np.float64
    assert instruction.run(np.full((1, 1001), 255, np.uint8)).item() == 1001 * 127 * 255


def test_no_samples_give_no_rows() -> None:
    instruction = MatrixMultiply(("a",), "y", SOURCES[0], weights=np.ones((4, 3), np.int8), weights_zero_point=np.zeros((), np.int32))
    assert instruction.run(np.zeros((0, 4), np.uint8)).shape == (0, 3)


def test_two_operands_and_weights_as_well_are_refused() -> None:
    with pytest.raises(LoweringError, match="'y'"):
        MatrixMultiply(("a", "b"), "y", SOURCES[0], SOURCES[0], weights=np.ones((2, 2), np.int8))
    with pytest.raises(LoweringError, match="'y'"):
        MatrixMultiply(("a",), "y", SOURCES[0])
