"""Exact sums: digits and number are the same thing, and terms are not rounded."""

from fractions import Fraction

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from bitsmith.calibration.exact import LIMBS, as_fraction, from_limbs, in_units, to_limbs


@given(st.integers(-(2**650), 2**650))
def test_limbs_hold_any_sum(total: int) -> None:
    limbs = to_limbs(total)
    assert limbs.dtype == np.int64
    assert limbs.shape == (LIMBS,)
    assert (limbs[:-1] >= 0).all()
    assert (limbs[:-1] < 2**32).all()
    assert from_limbs(limbs) == total


@given(st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_numbers_and_squares_are_whole_units(number: float) -> None:
    assert as_fraction(in_units(number)) == Fraction(number)
    assert as_fraction(in_units(number * number)) == Fraction(number) ** 2


@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False)))
def test_order_does_not_matter(numbers: list[float]) -> None:
    total = sum(in_units(number) for number in numbers)
    assert as_fraction(total) == sum(map(Fraction, numbers))
