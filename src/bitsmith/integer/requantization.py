"""The way from integer accumulators back to codes: by a float32 multiplier, or by an integer multiplier and shift."""

from dataclasses import dataclass
from typing import Protocol, Self

import numpy as np

from bitsmith.integer.codes import CodeRange
from bitsmith.numerics.fixed_point import fixed_multiplier, multiply_fixed
from bitsmith.numerics.formats import Array

LARGEST = np.finfo(np.float32).max


class Requantize(Protocol):
    """Accumulators -> codes: round(multiplier * accumulator) + zero point, clamped.

    The real multiplier is (scale of the accumulators) / (scale of the output), () or one per channel.
    """

    @property
    def codes(self) -> CodeRange: ...
    @classmethod
    def of(cls, multiplier: Array, codes: CodeRange) -> Self: ...
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
    def of(cls, multiplier: Array, codes: CodeRange) -> Self:
        return cls(np.asarray(multiplier, np.float32), codes)

    def apply(self, accumulators: Array, *, axis: int = 1) -> Array:
        """Accumulators (integers of any type, below 2**53) -> codes; the multiplier's channels run along `axis`."""
        multiplier = along(self.multiplier, accumulators.ndim, axis)
        with np.errstate(over="ignore"):
            steps = np.multiply(accumulators, multiplier, dtype=np.float32, casting="same_kind")
        return self.codes.round(steps, zero_first=self.zero_first)


@dataclass(frozen=True, eq=False)
class FixedPoint:
    """As gemmlowp and TFLite do it: accumulator * multiplier * 2**-shift in 64-bit integers, rounded once, ties upward.

    multiplier  int32, () or one per channel, in [2**30, 2**31)
    shift       int32, same shape
    """

    multiplier: Array
    shift: Array
    codes: CodeRange

    @classmethod
    def of(cls, multiplier: Array, codes: CodeRange) -> Self:
        return cls(*fixed_multiplier(multiplier), codes)

    def apply(self, accumulators: Array, *, axis: int = 1) -> Array:
        """int32 accumulators (in any type) -> codes; the multiplier's channels run along `axis`."""
        multiplier, shift = (along(part, accumulators.ndim, axis) for part in (self.multiplier, self.shift))
        return self.codes.clamp(multiply_fixed(accumulators, multiplier, shift) + self.codes.zero_point)


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
