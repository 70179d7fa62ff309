"""Sums that do not depend on the order of their terms: whole numbers of 2^-298, the square of the smallest float32."""

from fractions import Fraction

import numpy as np

from bitsmith.numerics.formats import Array

UNIT = -298     # a sum is limb[0] * 2^-298 + limb[1] * 2^(32 - 298) + ...
LIMBS = 20      # of 32 bits: enough for 2^63 squares of the largest float32
LOW_BITS = 32 * (LIMBS - 1)


def to_limbs(total: int) -> Array:
    """int64 [20]: digits of 32 bits, lowest first; the last one carries the sign."""
    top, digits = divmod(total, 1 << LOW_BITS)
    return np.append(np.frombuffer(digits.to_bytes(LOW_BITS // 8, "little"), "<u4"), np.int64(top)).astype(np.int64)


def from_limbs(limbs: Array) -> int:
    """The sum in units of 2^-298."""
    return (int(limbs[-1]) << LOW_BITS) + int.from_bytes(limbs[:-1].astype("<u4").tobytes(), "little")


def in_units(value: float) -> int:
    """A sum of float32 numbers, or of their squares, in units of 2^-298."""
    numerator, denominator = value.as_integer_ratio()
    return (numerator << -UNIT) // denominator


def as_fraction(total: int) -> Fraction:
    """The number itself."""
    return Fraction(total, 1 << -UNIT)
