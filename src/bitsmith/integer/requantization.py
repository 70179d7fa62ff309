"""The way from integer accumulators back to codes: by a float32 multiplier, by an integer multiplier and shift, or by a shift alone."""

from dataclasses import dataclass
from typing import Protocol, Self

import numpy as np

from bitsmith.integer.codes import CodeRange
from bitsmith.numerics.fixed_point import MULTIPLIER_BITS, fixed_multiplier, multiply_fixed, shift_to_even
from bitsmith.numerics.formats import Array

NARROW, WIDEST = 32, 44             # bits of accumulators: with more than the first they are 64-bit integers; with more than the second,
                                    # multipliers would be too coarse
LARGEST = np.finfo(np.float32).max
FEWEST, MOST = -31, 40              # shifts: beyond the one, all integers but 0 leave every range of codes; beyond the other, all become 0


class Requantize(Protocol):
    """Accumulators -> codes: round(multiplier * accumulator) + zero point, clamped.

    The real multiplier is (scale of the accumulators) / (scale of the output), () or one per channel. Accumulators are proven to have
    no more than `bits` bits.
    """

    @property
    def codes(self) -> CodeRange: ...
    @classmethod
    def of(cls, multiplier: Array, codes: CodeRange, bits: int = NARROW) -> "Requantize": ...
    def apply(self, accumulators: Array, *, axis: int = 1) -> Array: ...


@dataclass(frozen=True, eq=False)
class FloatScale:
    """As onnxruntime does it: float32(accumulator) * multiplier, rounded with ties to even, clamped (MLAS, MlasRequantizeOutput).

    multiplier  float32, () or one per channel
    zero_first  the zero point is added before the rounding (MLAS, MlasQLinearMul)
    """

    multiplier: Array
    codes: CodeRange
    zero_first: bool = False

    @classmethod
    def of(cls, multiplier: Array, codes: CodeRange, bits: int = NARROW, *, zero_first: bool = False) -> Self:
        return cls(np.asarray(multiplier, np.float32), codes, zero_first)

    def apply(self, accumulators: Array, *, axis: int = 1) -> Array:
        """Accumulators (integers of any type, below 2**53) -> codes; the multiplier's channels run along `axis`."""
        multiplier = along(self.multiplier, accumulators.ndim, axis)
        with np.errstate(over="ignore"):
            steps = np.multiply(accumulators, multiplier, dtype=np.float32, casting="same_kind")
        return self.codes.round(steps, zero_first=self.zero_first)


@dataclass(frozen=True, eq=False)
class FixedPoint:
    """As gemmlowp and TFLite do it: accumulator * multiplier * 2**-shift in 64-bit integers, rounded once, ties upward.

    multiplier  int32, () or one per channel, of 31 bits, or of 63 less those of accumulators that have more than 32, which leaves 19 at
                least (TFLite takes 15 then): so it is within 1/16 of a 16-bit code
    shift       int32, same shape
    """

    multiplier: Array
    shift: Array
    codes: CodeRange

    @classmethod
    def of(cls, multiplier: Array, codes: CodeRange, bits: int = NARROW) -> Self:
        return cls(*fixed_multiplier(multiplier, MULTIPLIER_BITS - max(0, bits - NARROW)), codes)

    def apply(self, accumulators: Array, *, axis: int = 1) -> Array:
        """Accumulators (in any type) -> codes; the multiplier's channels run along `axis`."""
        multiplier, shift = (along(part, accumulators.ndim, axis) for part in (self.multiplier, self.shift))
        return self.codes.clamp(multiply_fixed(accumulators, multiplier, shift) + self.codes.zero_point)


@dataclass(frozen=True, eq=False)
class EvenShift:
    """Where multipliers are powers of two: accumulator * 2**-shift, rounded once, ties to even.

    This is what FloatScale computes as long as float32 holds the accumulators (24 bits, with the zero point where that is added first).

    shift  int32, () or one per channel; negative ones multiply
    odd    1: ties go to odd steps from the zero point; these are even codes where the zero point is odd
    """

    shift: Array
    codes: CodeRange
    odd: int = 0

    @classmethod
    def of(cls, multiplier: Array, codes: CodeRange, bits: int = NARROW, *, zero_first: bool = False) -> Requantize:
        """FixedPoint where a multiplier is no power of two."""
        mantissa, exponent = np.frexp(np.asarray(multiplier, np.float64))
        if not np.isin(mantissa, (0, 0.5)).all():
            return FixedPoint.of(multiplier, codes, bits)
        fewest, most = (limit + max(0, bits - NARROW) for limit in (FEWEST, MOST))
        shift = np.where(mantissa == 0, most, np.clip(1 - exponent, fewest, most)).astype(np.int32)
        return cls(shift, codes, zero_first * codes.zero_point & 1)

    def apply(self, accumulators: Array, *, axis: int = 1) -> Array:
        """Accumulators (in any type) -> codes; the channels of `shift` run along `axis`."""
        shift = along(self.shift, accumulators.ndim, axis).astype(np.int64)
        return self.codes.clamp(shift_to_even(accumulators.astype(np.int64), shift, self.odd) + self.codes.zero_point)


def product_multiplier(left: Array, right: Array, output: Array) -> Array:
    """left * right / output in float32 and in this order, as onnxruntime computes it for products of codes. Overflow saturates."""
    with np.errstate(over="ignore", under="ignore"):
        product = np.asarray(left, np.float32) * np.asarray(right, np.float32)
        return np.minimum(product / np.asarray(output, np.float32), LARGEST)


def mean_multiplier(scale: Array, output: Array, count: int) -> Array:
    """scale / (output * count) in float32 and in this order, as onnxruntime computes it for a mean of `count` codes."""
    with np.errstate(over="ignore", under="ignore"):
        return np.minimum(np.asarray(scale, np.float32) / (np.asarray(output, np.float32) * np.float32(count)), LARGEST)


def along(per_channel: Array, rank: int, axis: int) -> Array:
    """One value for all, or one per channel -> an array that broadcasts along `axis` of a tensor of that rank."""
    if per_channel.ndim == 0:
        return per_channel
    shape = [1] * rank
    shape[axis] = -1
    return per_channel.reshape(shape)
