"""From accumulators to codes: float32 as onnxruntime, integers as gemmlowp; each value by itself, in exact numbers."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from integer_reference import requantize_even, requantize_fixed, requantize_float

from bitsmith.errors import LoweringError
from bitsmith.integer.codes import CodeRange
from bitsmith.integer.requantization import (
    WIDEST,
    EvenShift,
    FixedPoint,
    FloatScale,
    Requantize,
    mean_multiplier,
    product_multiplier,
)
from bitsmith.numerics.encoding import Blocks, Encoding
from bitsmith.numerics.formats import Integer

INT32 = np.iinfo(np.int32)
accumulators = st.lists(st.one_of(st.integers(INT32.min, INT32.max), st.integers(-999, 999)), min_size=1, max_size=30)
multipliers = st.one_of(st.floats(2.0**-30, 4.0, width=32), st.sampled_from([0.5, 0.25, 0.125, 1.0]))


@st.composite
def code_ranges(draw: st.DrawFn) -> CodeRange:
    """Clamps within the format, and any zero point."""
    storage = np.dtype(draw(st.sampled_from([np.uint8, np.int8, np.int16])))
    whole = st.integers(int(np.iinfo(storage).min), int(np.iinfo(storage).max))
    low, high = sorted((draw(whole), draw(whole)))
    return CodeRange(draw(whole), low, high, storage)


@settings(max_examples=300)
@given(accumulators, multipliers, code_ranges(), st.booleans())
def test_float_scale(values: list[int], multiplier: float, codes: CodeRange, zero_first: bool) -> None:
    found = FloatScale(np.asarray(multiplier, np.float32), codes, zero_first).apply(np.array([values], np.int32))
    assert found.dtype == codes.storage
    assert found[0].tolist() == [requantize_float(v, multiplier, codes, zero_first=zero_first) for v in values]


@settings(max_examples=300)
@given(accumulators, multipliers, code_ranges())
def test_fixed_point(values: list[int], multiplier: float, codes: CodeRange) -> None:
    fixed = FixedPoint.of(np.asarray(multiplier, np.float32), codes)
    found = fixed.apply(np.array([values], np.int32))
    assert found.dtype == codes.storage
    m, shift = int(fixed.multiplier), int(fixed.shift)
    assert found[0].tolist() == [requantize_fixed(v, m, shift, codes) for v in values]


@settings(max_examples=300)
@given(accumulators, st.integers(-34, 45), code_ranges(), st.booleans())
def test_even_shift(values: list[int], exponent: int, codes: CodeRange, zero_first: bool) -> None:
    made = EvenShift.of(np.asarray(2.0**-exponent, np.float32), codes, zero_first=zero_first)
    found = made.apply(np.array([values], np.int32))
    assert found.dtype == codes.storage
    assert found[0].tolist() == [requantize_even(v, exponent, codes, zero_first=zero_first) for v in values]


WIDE = 2**(WIDEST - 1)
wide = st.lists(st.one_of(st.integers(-WIDE, WIDE), st.sampled_from([-WIDE, WIDE, 2**32, -2**32])), min_size=1, max_size=30)


@settings(max_examples=300)
@given(wide, st.floats(2.0**-46, 2.0**-20, width=32), st.integers(-3, 60), code_ranges())
def test_accumulators_of_64_bits(values: list[int], multiplier: float, exponent: int, codes: CodeRange) -> None:
    """Each way of rounding takes them exactly, shorter multipliers included."""
    sums, real = np.array([values], np.int64), np.asarray(multiplier, np.float32)
    fixed, shifted = FixedPoint.of(real, codes, WIDEST), EvenShift.of(np.asarray(2.0**-exponent), codes, WIDEST)
    assert int(fixed.multiplier) < 2**19
    expected = {
        fixed: [requantize_fixed(v, int(fixed.multiplier), int(fixed.shift), codes) for v in values],
        shifted: [requantize_even(v, exponent, codes, zero_first=False) for v in values],
        FloatScale.of(real, codes, WIDEST): [requantize_float(v, multiplier, codes, zero_first=False) for v in values],
    }
    for way, found in expected.items():
        assert way.apply(sums)[0].tolist() == found
        assert way.apply(sums.astype(np.float64))[0].tolist() == found


@settings(max_examples=300)
@given(st.lists(st.integers(-2**24, 2**24), min_size=1, max_size=30), st.integers(-8, 25), code_ranges(), st.booleans())
def test_even_shift_is_float_scale_where_float32_is_exact(values: list[int], exponent: int, codes: CodeRange, zero_first: bool) -> None:
    if zero_first:          # 16 bits of the zero point and 8 behind the point
        values, exponent = [value >> 8 for value in values], min(exponent, 8)
    real, sums = np.asarray(2.0**-exponent, np.float32), np.array([values], np.int32)
    even = EvenShift.of(real, codes, zero_first=zero_first).apply(sums)
    np.testing.assert_array_equal(even, FloatScale(real, codes, zero_first).apply(sums))


def test_what_is_no_power_of_two_keeps_a_multiplier() -> None:
    codes = CodeRange(0, -128, 127, np.dtype(np.int8))
    assert isinstance(EvenShift.of(np.array([0.5, 0.25]), codes), EvenShift)
    assert isinstance(EvenShift.of(np.array([0.5, 0.3]), codes), FixedPoint)
    assert EvenShift.of(np.asarray(0.0), codes).apply(np.array([[INT32.min, 0, INT32.max]])).tolist() == [[0, 0, 0]]


@pytest.mark.parametrize("kind", [np.int32, np.int64, np.float64])
def test_the_type_that_holds_an_accumulator_does_not_matter(kind: type) -> None:
    values = np.random.default_rng(0).integers(-2**31, 2**31, (4, 500))
    codes = CodeRange(-7, -128, 127, np.dtype(np.int8))
    for requantize in (FloatScale.of(np.asarray(5e-8), codes), FixedPoint.of(np.asarray(5e-8), codes)):
        np.testing.assert_array_equal(requantize.apply(values.astype(kind)), requantize.apply(values.astype(np.int32)))


@pytest.mark.parametrize("choice", [FloatScale, FixedPoint, EvenShift])
@pytest.mark.parametrize("axis", [0, 1, -1])
def test_channels_have_multipliers_of_their_own(choice: type[Requantize], axis: int) -> None:
    codes = CodeRange(3, -100, 100, np.dtype(np.int8))
    reals = np.array([0.25, 2.0**-7, 2] if choice is EvenShift else [0.25, 0.0031, 1.7], np.float32)
    values = np.random.default_rng(0).integers(-300, 300, (3, 3, 3, 3))
    found = choice.of(reals, codes).apply(values, axis=axis)
    for channel, real in enumerate(reals):
        alone = choice.of(np.asarray(real), codes).apply(values)
        np.testing.assert_array_equal(found.take(channel, axis), alone.take(channel, axis))


def test_ties_go_to_even_steps_or_to_even_codes() -> None:
    """The zero point is odd, so that the two differ."""
    codes, half = CodeRange(1, 0, 255, np.dtype(np.uint8)), np.asarray(0.5, np.float32)
    values = np.array([[1, 3, 5, 7]])
    assert FloatScale(half, codes).apply(values).tolist() == [[1, 3, 3, 5]]
    assert FloatScale(half, codes, zero_first=True).apply(values).tolist() == [[2, 2, 4, 4]]
    assert FixedPoint.of(half, codes).apply(values).tolist() == [[2, 3, 4, 5]]
    assert EvenShift.of(half, codes).apply(values).tolist() == [[1, 3, 3, 5]]
    assert EvenShift.of(half, codes, zero_first=True).apply(values).tolist() == [[2, 2, 4, 4]]


def test_the_two_choices_agree_but_for_near_ties() -> None:
    values = np.random.default_rng(0).integers(-2**20, 2**20, (1, 100_000))
    codes, real = CodeRange(128, 0, 255, np.dtype(np.uint8)), np.asarray(1.2345e-4)
    off = np.abs(FloatScale.of(real, codes).apply(values).astype(int) - FixedPoint.of(real, codes).apply(values))
    assert off.max() <= 1
    assert off.mean() < 1e-4


def test_multipliers_are_made_in_float32_in_onnxruntimes_order() -> None:
    x, w, y = (np.float32(v) for v in (0.1, 0.3, 0.7))
    assert product_multiplier(x, w, y) == np.float32(np.float32(x * w) / y)
    assert mean_multiplier(x, y, 49) == np.float32(x / np.float32(y * np.float32(49)))


def test_multipliers_that_overflow_saturate() -> None:
    """A zero accumulator then still gives the zero point, not NaN."""
    huge, tiny = np.float32(1e30), np.float32(1e-30)
    codes = CodeRange(5, 0, 255, np.dtype(np.uint8))
    for multiplier in (product_multiplier(huge, huge, tiny), mean_multiplier(huge, tiny, 3)):
        for choice in (FloatScale, FixedPoint):
            assert choice.of(multiplier, codes).apply(np.array([[-1, 0, 1]])).tolist() == [[0, 5, 255]]


def test_a_code_range_of_an_encoding() -> None:
    encoding = Encoding(Integer(4, signed=False), np.float32(0.1), np.int32(3))
    assert CodeRange.of(encoding) == CodeRange(3, 0, 15, np.dtype(np.uint8))
    assert CodeRange.of(encoding, 3, 9) == CodeRange(3, 3, 9, np.dtype(np.uint8))
    assert CodeRange.of(encoding, 3, 9).steps == (0, 6)
    assert len(CodeRange.of(encoding)) == 16


def test_an_activation_with_a_scale_for_each_channel_is_refused() -> None:
    encoding = Encoding(Integer(8), np.ones((1, 4), np.float32), np.zeros((1, 4)), Blocks.channels(1))
    with pytest.raises(LoweringError, match="not 4"):
        CodeRange.of(encoding)
