"""Sums and averages of codes, whose float32 and integer arithmetic differ in more than the last multiplication."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, Self

import numpy as np

from bitsmith.errors import LoweringError
from bitsmith.integer.codes import CodeRange
from bitsmith.numerics.encoding import Encoding
from bitsmith.numerics.fixed_point import fixed_multiplier, multiply_fixed, shift_to_even
from bitsmith.numerics.formats import Array

EIGHT_BITS = 2**9                   # the most steps from the zero point that 8-bit codes can stand for
LARGEST_RATIO = 1e30                # beyond every use, yet its sums stay finite


class Total(Protocol):
    """round(sum of sign * scale * (code - zero point) / output scale) + output zero point, clamped."""

    @classmethod
    def of(cls, operands: Sequence[Encoding], signs: Sequence[int], scale: Array, codes: CodeRange) -> "Total": ...
    def apply(self, operands: Sequence[Array]) -> Array: ...


@dataclass(frozen=True, eq=False)
class FloatTotal:
    """As onnxruntime does it on x86-64 (MLAS, MlasQLinearAddKernelAvx2Helper): ratio 0 * code 0 + (ratio 1 * code 1 + offset), fused.

    ratios      float32, sign * scale / output scale of each operand
    offset      float32, - sum of ratio * zero point, fused in the same order; with `zero_first`, plus the output zero point
    zero_first  the zero point is added before the rounding: so does the kernel, which adds two values. Differences and sums of
                three are real numbers there, and quantized: rounded first
    """

    ratios: Array
    offset: np.float32
    codes: CodeRange
    zero_first: bool = True

    @classmethod
    def of(cls, operands: Sequence[Encoding], signs: Sequence[int], scale: Array, codes: CodeRange) -> Self:
        with np.errstate(over="ignore", under="ignore"):
            ratios = [np.float32(np.clip(sign * operand.scale.reshape(()) / np.float32(scale), -LARGEST_RATIO, LARGEST_RATIO))
                      for operand, sign in zip(operands, signs, strict=True)]
        zeros: Array = np.asarray(np.float32(0))
        for ratio, operand in zip(reversed(ratios), reversed(operands), strict=True):
            zeros = multiply_add(operand.zero_point.reshape(()), ratio, zeros)
        zero_first = adds_two(signs)
        return cls(np.asarray(ratios, np.float32), np.float32(np.float32(codes.zero_point * zero_first) - zeros), codes, zero_first)

    def apply(self, operands: Sequence[Array]) -> Array:
        """Codes of the operands -> codes."""
        total: Array = np.asarray(self.offset)
        for ratio, codes in zip(self.ratios[::-1], reversed(operands), strict=True):
            total = multiply_add(codes, ratio, total)
        return self.codes.clamp(np.rint(total) + (0 if self.zero_first else self.codes.zero_point))


@dataclass(frozen=True, eq=False)
class FixedTotal:
    """In integers: sum of multiplier * (code - zero point), shifted right once, ties upward.

    multipliers  integers; where all operands have 8 bits the sum, rounding included, stays within int32, else within int64
    """

    multipliers: tuple[int, ...]
    zero_points: tuple[int, ...]
    shift: int
    codes: CodeRange

    @classmethod
    def of(cls, operands: Sequence[Encoding], signs: Sequence[int], scale: Array, codes: CodeRange) -> Self:
        """The finest multipliers that leave room for the sum. Raises LoweringError where an operand's scale dwarfs the output's."""
        ratios = [sign * float(e.scale.reshape(())) / float(scale) for e, sign in zip(operands, signs, strict=True)]
        ranges = [CodeRange.of(e) for e in operands]
        reaches = [max(abs(step) for step in source.steps) for source in ranges]
        width = 31 if max(reaches) < EIGHT_BITS else 62
        for shift in range(30, 0, -1):
            multipliers = tuple(round(ratio * 2**shift) for ratio in ratios)
            total = sum(abs(m) * reach for m, reach in zip(multipliers, reaches, strict=True)) + 2 ** (shift - 1)
            if total < 2**width and max(map(abs, multipliers)) < 2**31:
                return cls(multipliers, tuple(source.zero_point for source in ranges), shift, codes)
        raise LoweringError(f"A sum's operand has {max(map(abs, ratios)):.3g} times the scale of its output: too much for integers.")

    def apply(self, operands: Sequence[Array]) -> Array:
        """Codes of the operands -> codes."""
        total = weighted_sum(self, operands) + (np.int64(1) << (self.shift - 1))
        return self.codes.clamp((total >> self.shift) + self.codes.zero_point)


@dataclass(frozen=True, eq=False)
class EvenTotal:
    """The same where multipliers are exact, as those of powers of two are; ties to even, as FloatTotal takes them.

    odd  1: ties go to odd steps from the zero point; these are even codes where the zero point is odd
    """

    multipliers: tuple[int, ...]
    zero_points: tuple[int, ...]
    shift: int
    codes: CodeRange
    odd: int

    @classmethod
    def of(cls, operands: Sequence[Encoding], signs: Sequence[int], scale: Array, codes: CodeRange) -> Total:
        """FixedTotal where a multiplier is rounded."""
        fixed = FixedTotal.of(operands, signs, scale, codes)
        exact = [sign * float(e.scale.reshape(())) / float(scale) * 2**fixed.shift for e, sign in zip(operands, signs, strict=True)]
        if list(fixed.multipliers) != exact:
            return fixed
        return cls(fixed.multipliers, fixed.zero_points, fixed.shift, codes, adds_two(signs) * codes.zero_point & 1)

    def apply(self, operands: Sequence[Array]) -> Array:
        """Codes of the operands -> codes."""
        return self.codes.clamp(shift_to_even(weighted_sum(self, operands), np.asarray(self.shift), self.odd) + self.codes.zero_point)


IntegerTotal = FixedTotal | EvenTotal


def weighted_sum(total: IntegerTotal, operands: Sequence[Array]) -> Array:
    """int64: sum of multiplier * (code - zero point)."""
    parts = zip(total.multipliers, total.zero_points, operands, strict=True)
    return np.asarray(sum(np.subtract(codes, zero_point, dtype=np.int64) * multiplier for multiplier, zero_point, codes in parts))


def adds_two(signs: Sequence[int]) -> bool:
    """True for what onnxruntime has a kernel for, which adds the zero point before it rounds."""
    return len(signs) == 2 and min(signs) > 0


class Average(Protocol):
    """round(scale * (sum of (code - zero point) / count) / output scale) + output zero point, clamped."""

    @classmethod
    def of(cls, source: Encoding, most: int, scale: Array, codes: CodeRange) -> "Average": ...
    def terms(self, codes: Array) -> Array: ...
    def finish(self, total: Array, counts: Array) -> Array: ...


@dataclass(frozen=True, eq=False)
class FloatAverage:
    """As onnxruntime does it (QLinearAveragePool): real values, added in the order of the window, divided by the count, then quantized."""

    scale: np.float32
    zero_point: int
    output_scale: np.float32
    codes: CodeRange

    @classmethod
    def of(cls, source: Encoding, most: int, scale: Array, codes: CodeRange) -> Self:
        return cls(np.float32(source.scale.reshape(())), int(source.zero_point.reshape(())), np.float32(scale), codes)

    def terms(self, codes: Array) -> Array:
        """What is to be added up: real values."""
        return np.subtract(codes, self.zero_point, dtype=np.float32) * self.scale

    def finish(self, total: Array, counts: Array) -> Array:
        """Sums of terms -> codes."""
        return self.codes.round(total / counts.astype(np.float32) / self.output_scale, zero_first=True)


@dataclass(frozen=True, eq=False)
class FixedAverage:
    """In integers: the sum of (code - zero point), times an integer multiplier and shift for each count, rounded once, ties upward.

    multipliers  int32 [most + 1], by count; so are the shifts
    """

    multipliers: Array
    shifts: Array
    zero_point: int
    codes: CodeRange

    @classmethod
    def of(cls, source: Encoding, most: int, scale: Array, codes: CodeRange) -> Self:
        """For windows of up to `most` elements."""
        reals = np.float64(source.scale.reshape(())) / (np.float64(scale) * np.maximum(1, np.arange(most + 1)))
        return cls(*fixed_multiplier(reals), int(source.zero_point.reshape(())), codes)

    def terms(self, codes: Array) -> Array:
        """What is to be added up: steps from the zero point."""
        return np.subtract(codes, self.zero_point, dtype=np.int32)

    def finish(self, total: Array, counts: Array) -> Array:
        """Sums of terms -> codes."""
        return self.codes.clamp(multiply_fixed(total, self.multipliers[counts], self.shifts[counts]) + self.codes.zero_point)


@dataclass(frozen=True, eq=False)
class EvenAverage(FixedAverage):
    """The same with ties to even codes, as FloatAverage takes them. It is exact where all scales and the count are powers of two."""

    def finish(self, total: Array, counts: Array) -> Array:
        """Sums of terms -> codes."""
        multipliers, shifts = self.multipliers[counts].astype(np.int64), self.shifts[counts].astype(np.int64)
        return self.codes.clamp(shift_to_even(total.astype(np.int64) * multipliers, shifts, self.odd) + self.codes.zero_point)

    @property
    def odd(self) -> int:
        """1 where ties go to odd steps from the zero point, which are even codes then."""
        return self.codes.zero_point & 1


def multiply_add(codes: Array, ratio: np.float32, addend: Array) -> Array:
    """codes * ratio + addend, rounded once to float32, for codes of up to 29 bits (a fused multiply-add).

    The product is exact in float64. Where the sum is not, it is rounded to odd there, so that rounding it once more to
    float32 gives what a single rounding would (Boldo and Melquiond 2008, "Emulation of FMA and correctly rounded sums").
    """
    product, other = np.asarray(codes, np.float64) * np.float64(ratio), np.asarray(addend, np.float64)
    total = product + other
    back = total - product
    error = (product - (total - back)) + (other - back)
    inexact = (error != 0) & (total.view(np.int64) & 1 == 0)
    return np.where(inexact, np.nextafter(total, np.copysign(np.inf, error)), total).astype(np.float32)
