"""Real multipliers as integers: multiplier * 2**-shift, and what a product with one means (gemmlowp, doc/quantization.md)."""

import numpy as np

from bitsmith.numerics.formats import Array

MULTIPLIER_BITS = 31
MOST_SHIFT = 62                 # in 64-bit integers


def fixed_multiplier(real: Array, bits: int = MULTIPLIER_BITS) -> tuple[Array, Array]:
    """Positive reals -> (multiplier int32 in [2**(bits - 1), 2**bits), shift) with real ~ multiplier * 2**-shift.

    The relative error is at most 2**-bits. A real so small that it asks for a shift beyond 62, below 2**-32 for 31 bits, has no
    useful multiplier: it becomes (0, 0). One of 2**bits or more becomes 2**bits - 1: times any integer but 0, that is beyond every
    code of 8 bits, or of as many as the multiplier has.
    """
    mantissa, exponent = np.frexp(np.minimum(np.asarray(real, np.float64), 2.0**bits - 1))
    multiplier = np.rint(np.ldexp(mantissa, bits)).astype(np.int64)
    carried = multiplier == 2**bits
    multiplier = np.where(carried, multiplier >> 1, multiplier)
    shift = bits - exponent - carried
    useless = (shift > MOST_SHIFT) | (multiplier == 0)
    return np.where(useless, 0, multiplier).astype(np.int32), np.where(useless, 0, shift).astype(np.int32)


def shift_to_even(values: Array, shift: Array, odd: int = 0) -> Array:
    """int64 values * 2**-shift, rounded once: ties go to even integers, or with `odd` = 1 to odd ones. A negative shift multiplies."""
    right = np.maximum(shift, 0)
    half = np.where(right > 0, np.left_shift(np.int64(1), np.maximum(right - 1, 0)) - 1, 0)
    last = np.where(right > 0, ((values >> right) ^ odd) & 1, 0)
    return np.asarray(((values + half + last) >> right) << np.maximum(-shift, 0))


def multiply_fixed(values: Array, multiplier: Array, shift: Array) -> Array:
    """values * multiplier * 2**-shift in integers, rounded once, ties upward (TFLite's single rounding). int64 out.

    multiplier and shift are those of `fixed_multiplier`; values hold int32, or so many more bits as the multiplier has less than 31:
    then the product stays within 63 bits.
    """
    product = values.astype(np.int64) * multiplier.astype(np.int64)
    half = np.left_shift(np.int64(1), shift.astype(np.int64) - 1, where=shift > 0, out=np.zeros(np.shape(shift), np.int64))
    return np.right_shift(product + half, shift.astype(np.int64))
