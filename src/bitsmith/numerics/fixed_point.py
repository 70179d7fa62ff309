"""Real multipliers as integers: multiplier * 2**-shift, and what a product with one means (gemmlowp, doc/quantization.md)."""

import numpy as np

from bitsmith.numerics.formats import Array

MULTIPLIER_BITS = 31
LARGEST_REAL = 2.0**MULTIPLIER_BITS - 1      # times any integer but 0, it is beyond every code


def fixed_multiplier(real: Array) -> tuple[Array, Array]:
    """Positive reals -> (multiplier int32 in [2**30, 2**31), shift) with real ~ multiplier * 2**-shift.

    The relative error is at most 2**-31. A real below 2**-32 has no useful multiplier: it becomes (0, 0). One of 2**31 or
    more becomes 2**31 - 1, which saturates as well.
    """
    mantissa, exponent = np.frexp(np.minimum(np.asarray(real, np.float64), LARGEST_REAL))
    multiplier = np.rint(np.ldexp(mantissa, MULTIPLIER_BITS)).astype(np.int64)
    carried = multiplier == 2**MULTIPLIER_BITS
    multiplier = np.where(carried, multiplier >> 1, multiplier)
    shift = MULTIPLIER_BITS - exponent - carried
    useless = (shift > MULTIPLIER_BITS + 31) | (multiplier == 0)
    return np.where(useless, 0, multiplier).astype(np.int32), np.where(useless, 0, shift).astype(np.int32)


def multiply_fixed(values: Array, multiplier: Array, shift: Array) -> Array:
    """values * multiplier * 2**-shift in integers, rounded once, ties upward (TFLite's single rounding). int64 out.

    values hold int32; multiplier and shift are those of `fixed_multiplier`, so that the product stays within 63 bits.
    """
    product = values.astype(np.int64) * multiplier.astype(np.int64)
    half = np.left_shift(np.int64(1), shift.astype(np.int64) - 1, where=shift > 0, out=np.zeros(np.shape(shift), np.int64))
    return np.right_shift(product + half, shift.astype(np.int64))
