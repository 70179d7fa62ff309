"""Fixed point as MATLAB's fi has it: the published examples to the digit, the rest against exact fractions."""

from fractions import Fraction
from math import floor

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from bitsmith.errors import DataError, RecipeError
from bitsmith.numerics.fixed_point_type import FixedPointType, fixed_point
from bitsmith.numerics.formats import Array, Ties

WIDE = st.floats(-1e30, 1e30)
MODERATE = st.floats(-1000, 1000)
VALUES = arrays(np.float64, array_shapes(max_dims=3, max_side=5), elements=MODERATE)
TIES = st.sampled_from(["away", "even"])
FRACTIONS = st.integers(-40, 60)


def words(signed: bool) -> st.SearchStrategy[int]:
    return st.integers(1 + signed, 32)


TYPES = st.booleans().flatmap(lambda signed: st.builds(FixedPointType, words(signed), FRACTIONS, st.just(signed), rounding=TIES))


def nearest(value: float, type: FixedPointType) -> int:
    """The stored integer, in exact numbers."""
    steps = (Fraction(value) - Fraction(type.bias)) * Fraction(2) ** type.fraction_length
    whole, rest = floor(abs(steps)), abs(steps) - floor(abs(steps))
    up = rest > Fraction(1, 2) or (rest == Fraction(1, 2) and (type.rounding == "away" or whole % 2 == 1))
    rounded = (whole + up) * (-1 if steps < 0 else 1)
    return max(type.lowest, min(type.highest, rounded))


def test_best_precision_of_one_number() -> None:
    found = fixed_point(0.0269)
    assert (int(found.stored), found.fraction_length, str(found.patterns)) == (110, 12, "01101110")
    assert float(found.real) == 110 / 4096
    assert found.maximum_error == abs(110 / 4096 - 0.0269)
    assert found.type.name == "int8 * 2^-12"


def test_bits_from_eight_to_an_eighth_and_a_sign() -> None:
    found = fixed_point([0.03125, 2.1, 16.250], 8, 3)
    assert found.real.tolist() == [0.0, 2.125, 15.875]
    assert found.range == (-16.0, 15.875)
    assert found.below_precision == found.beyond_range == 1 / 3
    assert found.beyond.tolist() == [False, False, True]
    assert found.maximum_error == 0.375
    assert found.patterns.tolist() == ["00000000", "00010001", "01111111"]


@pytest.mark.parametrize(("rounding", "expected"), [("away", [3, -3, 4, -4, 1, -1]), ("even", [2, -2, 4, -4, 0, 0])])
def test_ties(rounding: Ties, expected: list[int]) -> None:
    found = fixed_point([2.5, -2.5, 3.5, -3.5, 0.5, -0.5], fraction_length=0, rounding=rounding)
    assert found.stored.tolist() == expected
    assert found.below_precision == (2 / 6 if rounding == "even" else 0)


def test_patterns_are_twos_complement() -> None:
    assert fixed_point([[-128, -1], [0, 127]], 8, 0).patterns.tolist() == [["10000000", "11111111"], ["00000000", "01111111"]]
    assert fixed_point([0, 255], 8, 0, signed=False).patterns.tolist() == ["00000000", "11111111"]


def test_negative_fraction_length_and_one_beyond_the_word() -> None:
    coarse, fine = fixed_point([1000.0, -3.0, 512.0]), fixed_point([0.001, -0.0005])
    assert (coarse.fraction_length, coarse.stored.tolist(), coarse.real.tolist()) == (-3, [125, 0, 64], [1000.0, 0.0, 512.0])
    assert (fine.fraction_length, fine.stored.tolist()) == (16, [66, -33])


def test_a_slope_with_a_bias() -> None:
    found = fixed_point([20.0, 25.0, 30.5], 8, bias=25.0)
    assert (found.fraction_length, found.stored.tolist()) == (4, [-80, 0, 88])
    assert found.real.tolist() == [20.0, 25.0, 30.5]
    assert found.type.minimum == 25 - 8
    assert found.type.name == "int8 * 2^-4 + 25"


def test_the_end_of_the_negative_side_is_used() -> None:
    assert fixed_point(-1.0).fraction_length == 7
    assert fixed_point(1.0).fraction_length == 6


def test_zeros_get_all_bits_behind_the_point() -> None:
    assert fixed_point([0.0, 0.0], 16).fraction_length == 15
    assert fixed_point(0.0, 16, signed=False).fraction_length == 16


def test_without_a_sign_negative_numbers_are_beyond_range() -> None:
    found = fixed_point([-3.0, -0.001, 0.0, 1.0], 8, signed=False)
    assert (found.fraction_length, found.stored.tolist()) == (7, [0, 0, 0, 128])
    assert (found.beyond_range, found.below_precision) == (0.25, 0.25)


def test_least_error_saturates_one_outlier_for_the_good_of_many() -> None:
    values = np.append(np.linspace(-1, 1, 100_000), 3.9)
    kept, lost = fixed_point(values), fixed_point(values, fraction_length="least_error")
    assert (kept.fraction_length, lost.fraction_length) == (5, 6)
    assert lost.rms_error < kept.rms_error
    assert lost.beyond_range == 1 / len(values)


@given(TYPES, arrays(np.float64, 8, elements=WIDE))
def test_stored_integers_are_the_nearest(type: FixedPointType, values: Array) -> None:
    assert type.quantize(values).tolist() == [nearest(v, type) for v in values]


@given(TYPES, st.integers(-(2**31), 2**32 - 1), st.sampled_from([Fraction(-1, 2), Fraction(1, 2), Fraction(-1, 4)]))
def test_ties_and_neighbours_of_every_type(type: FixedPointType, stored: int, off: Fraction) -> None:
    value = float((stored + off) * Fraction(2) ** -type.fraction_length)
    assert type.quantize(np.asarray(value)) == nearest(value, type)


@given(TYPES, st.data())
def test_what_is_held_comes_back_and_patterns_are_its_bits(type: FixedPointType, data: st.DataObject) -> None:
    stored = np.array(data.draw(st.lists(st.integers(type.lowest, type.highest), min_size=1, max_size=8)))
    assert type.quantize(type.dequantize(stored)).tolist() == stored.tolist()
    for pattern, q in zip(type.patterns(stored), stored.tolist(), strict=True):
        assert len(pattern) == type.word_length
        assert int(pattern, 2) - (1 << type.word_length) * (type.signed and pattern[0] == "1") == q


@given(TYPES, st.lists(WIDE, min_size=2, max_size=20))
def test_rounding_is_monotone(type: FixedPointType, values: list[float]) -> None:
    assert (np.diff(type.quantize(np.sort(values))) >= 0).all()


@given(TYPES, arrays(np.float64, 10, elements=WIDE))
def test_errors_are_half_a_step_in_range_and_the_rest_is_saturated(type: FixedPointType, values: Array) -> None:
    beyond, found = type.is_beyond(values), type.represent(values)
    assert (np.abs(found - values)[~beyond] <= type.step / 2).all()
    assert set(found[beyond]) <= {type.minimum, type.maximum}
    low, high = type.limits
    assert beyond[(values < low) | (values > high)].all()
    assert not beyond[(values > low) & (values < high)].any()


@given(VALUES, st.booleans(), TIES, st.data())
def test_the_largest_fraction_length_saturates_nothing_and_one_more_bit_would(
    values: Array, signed: bool, rounding: Ties, data: st.DataObject
) -> None:
    word = data.draw(words(signed))
    assume(np.abs(values).max() > 1e-200)
    found = fixed_point(values, word, signed=signed, rounding=rounding)
    kept = values if signed else values[values > 0]
    assert not found.type.is_beyond(kept).any()
    finer = fixed_point(values, word, found.fraction_length + 1, signed, None, rounding)
    assert finer.type.is_beyond(kept).any() or not kept.size


@given(arrays(np.float64, st.integers(1, 40), elements=MODERATE), st.integers(2, 12), st.booleans())
def test_least_error_is_that_of_trying_all(values: Array, word: int, signed: bool) -> None:
    found = fixed_point(values, word, "least_error", signed)
    assume(found.fraction_length < 200)
    tried = [fixed_point(values, word, found.fraction_length + k, signed).rms_error for k in range(-30, 31)]
    assert found.rms_error <= min(tried)


@given(VALUES, st.floats(-100, 100), TYPES)
def test_shares_and_errors_are_those_of_the_numbers(values: Array, bias: float, like: FixedPointType) -> None:
    found = fixed_point(values, like.word_length, like.fraction_length, like.signed, bias, like.rounding)
    assert found.stored.shape == found.real.shape == found.errors.shape == found.patterns.shape == values.shape
    assert found.errors.tolist() == (found.real - values).tolist()
    assert found.maximum_error == max(abs(e) for e in found.errors.ravel())
    lost = [v != 0 and r == 0 and not b for v, r, b in zip(values.ravel(), found.real.ravel(), found.beyond.ravel(), strict=True)]
    assert found.below_precision == pytest.approx(sum(lost) / values.size)


@pytest.mark.parametrize("value", [5e-324, 1.7e308, -1.7e308, 2.0**-1030, -(2.0**1000)])
def test_numbers_at_the_ends_of_float64_are_followed(value: float) -> None:
    found = fixed_point(value, 32)
    assert np.isfinite(found.real)
    assert found.maximum_error <= abs(value) * 2.0**-30 or abs(value) > 2.0**1022


@pytest.mark.parametrize("values", [[], [np.nan], [1.0, np.inf]])
def test_nothing_and_what_is_not_finite_are_refused(values: list[float]) -> None:
    with pytest.raises(DataError, match="finite numbers"):
        fixed_point(values)


def test_types_that_do_not_exist_are_refused() -> None:
    for word, signed in ((1, True), (0, False), (33, True), (-8, True)):
        with pytest.raises(RecipeError, match=f"not {word}"):
            fixed_point(1.0, word, signed=signed)
    with pytest.raises(RecipeError, match="fraction length is 2000"):
        fixed_point(1.0, fraction_length=2000)
    with pytest.raises(RecipeError, match="'most'"):
        fixed_point(1.0, fraction_length="most")  # type: ignore[arg-type]
    with pytest.raises(RecipeError, match="'up'"):
        fixed_point(1.0, rounding="up")  # type: ignore[arg-type]
    with pytest.raises(RecipeError, match="bias is nan"):
        fixed_point(1.0, bias=float("nan"))
