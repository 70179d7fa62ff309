"""Integer multipliers: as near to the real one as their bits allow, rounded once, never beyond 64 bits."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitsmith.numerics.fixed_point import fixed_multiplier, multiply_fixed, shift_to_even

INT32 = np.iinfo(np.int32)
accumulators = st.one_of(st.integers(INT32.min, INT32.max), st.sampled_from([INT32.min, INT32.max, -1, 0, 1]))
useful = st.floats(2.0**-32, 2.0**31 - 1)


def rounded(value: int, real: float) -> int:
    """What multiplying means, in exact numbers: the nearest integer, ties upward."""
    multiplier, shift = (int(part) for part in fixed_multiplier(np.asarray(real)))
    return int((Fraction(value * multiplier, 2**shift) + Fraction(1, 2)) // 1)


@given(useful)
def test_a_multiplier_has_31_bits_and_is_as_near_as_they_allow(real: float) -> None:
    multiplier, shift = fixed_multiplier(np.asarray(real))
    assert multiplier.dtype == shift.dtype == np.int32
    assert 2**30 <= multiplier < 2**31
    assert 0 <= shift <= 62
    assert abs(Fraction(int(multiplier), 2**int(shift)) - Fraction(real)) <= Fraction(real) / 2**31


@given(st.floats(2.0**-31, 2.0**14), st.integers(8, 31))
def test_a_shorter_multiplier_is_as_near_as_its_bits_allow(real: float, bits: int) -> None:
    multiplier, shift = fixed_multiplier(np.asarray(min(real, 2.0**(bits - 1))), bits)
    assert 2**(bits - 1) <= multiplier < 2**bits
    exact = Fraction(min(real, 2.0**(bits - 1)))
    assert abs(Fraction(int(multiplier), 2**int(shift)) - exact) <= exact / 2**bits


@given(accumulators, useful)
def test_a_product_is_rounded_once_with_ties_upward(value: int, real: float) -> None:
    product = multiply_fixed(np.asarray([value], np.int32), *fixed_multiplier(np.asarray(real)))
    assert product.dtype == np.int64
    assert product[0] == rounded(value, real)


@given(accumulators, useful)
def test_a_product_is_within_half_a_step_of_the_real_one_and_the_multipliers_error(value: int, real: float) -> None:
    product = int(multiply_fixed(np.asarray([value], np.int32), *fixed_multiplier(np.asarray(real)))[0])
    exact = Fraction(real) * value
    assert abs(product - exact) <= Fraction(1, 2) + abs(exact) / 2**31


@given(st.integers(19, 31), st.floats(0, 1), st.booleans(), st.floats(2.0**-43, 2.0**18))
def test_wide_values_and_shorter_multipliers_stay_within_63_bits(bits: int, share: float, negative: bool, real: float) -> None:
    """Up to 2**(62 - bits), the ends included; nothing that is more than half a step becomes nothing."""
    value = int(share * 2**(62 - bits)) * (-1 if negative else 1)
    multiplier, shift = (int(part) for part in fixed_multiplier(np.asarray(real), bits))
    product = int(multiply_fixed(np.asarray([value]), np.asarray(multiplier), np.asarray(shift))[0])
    assert product == (Fraction(value * multiplier, 2**shift) + Fraction(1, 2)) // 1
    exact = Fraction(real) * value
    assert abs(product - exact) <= Fraction(1, 2) + abs(exact) / 2**bits + (multiplier == 0)


@given(accumulators)
def test_a_multiplier_from_float32_is_exact(value: int) -> None:
    """24 bits fit into 31: the integer form of a float32 multiplier loses nothing."""
    real = float(np.float32(0.0123456789))
    multiplier, shift = fixed_multiplier(np.asarray(real))
    assert Fraction(int(multiplier), 2**int(shift)) == Fraction(real)


TIES = [(1, 0.5, 1), (-1, 0.5, 0), (3, 0.5, 2), (-3, 0.5, -1), (5, 1.0, 5), (-7, 2.0, -14)]


@pytest.mark.parametrize(("value", "real", "expected"), TIES)
def test_ties_go_upward(value: int, real: float, expected: int) -> None:
    assert multiply_fixed(np.asarray([value]), *fixed_multiplier(np.asarray(real)))[0] == expected


@pytest.mark.parametrize("real", [0.0, 1e-300, 5e-324, 2.0**-33])
def test_a_real_too_small_for_int32_gives_zero(real: float) -> None:
    assert [int(part) for part in fixed_multiplier(np.asarray(real))] == [0, 0]
    assert (multiply_fixed(np.asarray([INT32.min, 0, INT32.max]), *fixed_multiplier(np.asarray(real))) == 0).all()


@pytest.mark.parametrize("real", [2.0**31, 1e30, float(np.finfo(np.float32).max), np.inf])
def test_a_real_too_large_saturates_instead_of_overflowing(real: float) -> None:
    products = multiply_fixed(np.asarray([INT32.min, -1, 0, 1, INT32.max]), *fixed_multiplier(np.asarray(real)))
    assert (products[:2] <= -(2**31) + 1).all()
    assert products[2] == 0
    assert (products[3:] >= 2**31 - 1).all()


def test_a_mantissa_that_rounds_up_to_one_is_carried_into_the_exponent() -> None:
    multiplier, shift = fixed_multiplier(np.asarray([np.nextafter(1.0, 0), np.nextafter(0.25, 0)]))
    assert multiplier.tolist() == [2**30, 2**30]
    assert shift.tolist() == [30, 32]


def test_channels_have_multipliers_of_their_own() -> None:
    reals = np.asarray([[0.5], [0.003], [0.0], [7.0]])
    values = np.asarray([[-1000, 999, 1, 0]] * 4, np.int32)
    products = multiply_fixed(values, *fixed_multiplier(reals))
    expected = [[rounded(int(v), float(r)) if r else 0 for v in row] for r, row in zip(reals[:, 0], values, strict=True)]
    assert products.tolist() == expected


@given(st.one_of(accumulators, st.integers(-99, 99)), st.integers(-31, 40))
def test_a_shift_rounds_once_with_ties_to_even_or_odd(value: int, shift: int) -> None:
    """The reference is Python's own rounding of fractions; one more makes its even numbers odd."""
    exact = Fraction(value) / Fraction(2) ** shift
    even, odd = (int(shift_to_even(np.asarray([value]), np.asarray(shift), odd)[0]) for odd in (0, 1))
    assert even == round(exact)
    assert odd == round(exact + 1) - 1


@pytest.mark.parametrize("shift", [61, 62])
def test_the_widest_shifts_of_64_bits(shift: int) -> None:
    """Products of an accumulator and a multiplier."""
    half = 1 << (shift - 1)
    found = shift_to_even(np.array([half - 1, half, half + 1, -half - 1, -half, 1 - half]), np.asarray(shift))
    assert found.tolist() == [0, 0, 1, -1, 0, 0]
