"""Fixed point: integers of few bits times a power of two, and what becomes of numbers that are stored so."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import ceil, frexp, log2
from typing import Literal

import numpy as np
import numpy.typing as npt

from bitsmith.errors import DataError, RecipeError
from bitsmith.numerics.formats import ROUNDINGS, Array, Ties

Scaling = Literal["largest", "least_error"]
SCALINGS: tuple[Scaling, ...] = ("largest", "least_error")
LONGEST_WORD = 32
FINEST = 1074           # every float64 is a whole number of 2^-1074
LARGEST_POWER = 1023    # of two, in float64


@dataclass(frozen=True)
class FixedPointType:
    """Integers q of `word_length` bits, sign included, that stand for real = 2^-fraction_length * q + bias.

    The fraction length may be negative (steps of 2, 4, 8 ...) or beyond the word (all bits far behind the point). `bias` makes it the
    slope-and-bias scaling of MATLAB's fi, for slopes that are powers of two. `rounding` says where ties go: 'away' from zero, as
    MATLAB's `round` has it, or to 'even'.

    Raises RecipeError for a word of more than 32 bits or less than 2 (1 without a sign), and for lengths that float64 cannot follow.
    """

    word_length: int
    fraction_length: int
    signed: bool = True
    bias: float = 0.0
    rounding: Ties = "away"

    def __post_init__(self) -> None:
        shortest, least = 1 + self.signed, lowest_fraction_length(self.word_length)
        if not shortest <= self.word_length <= LONGEST_WORD:
            raise RecipeError(f"A {'' if self.signed else 'un'}signed word has {shortest} to {LONGEST_WORD} bits, not {self.word_length}.")
        if not least <= self.fraction_length <= FINEST:
            raise RecipeError(f"The fraction length is {self.fraction_length}; choose one from {least} to {FINEST}.")
        if self.rounding not in ROUNDINGS:
            raise RecipeError(f"Ties go to 'even' or 'away', not to {self.rounding!r}.")
        if not np.isfinite(self.bias):
            raise RecipeError(f"The bias is {self.bias}; choose a finite number.")

    @property
    def name(self) -> str:
        return f"{'' if self.signed else 'u'}int{self.word_length} * 2^{-self.fraction_length}" + f" + {self.bias:g}" * (self.bias != 0)

    @property
    def lowest(self) -> int:
        """The least integer that is stored."""
        return -(1 << (self.word_length - 1)) if self.signed else 0

    @property
    def highest(self) -> int:
        return (1 << (self.word_length - self.signed)) - 1

    @property
    def step(self) -> float:
        """The distance between neighbours, 2^-fraction_length."""
        return float(np.ldexp(1.0, -self.fraction_length))

    @property
    def minimum(self) -> float:
        """The least real number that it holds."""
        return float(self.dequantize(np.asarray(self.lowest)))

    @property
    def maximum(self) -> float:
        return float(self.dequantize(np.asarray(self.highest)))

    @property
    def limits(self) -> tuple[float, float]:
        """Numbers beyond these are saturated: half a step outside the range."""
        steps = np.ldexp(np.array([2 * self.lowest - 1, 2 * self.highest + 1.0]), -self.fraction_length - 1)
        return float(steps[0]) + self.bias, float(steps[1]) + self.bias

    def steps_at(self, magnitudes: Array) -> Array:
        """The distance between neighbours around numbers of such magnitude: the same everywhere."""
        return np.full(np.shape(magnitudes), self.step)

    def quantize(self, values: Array) -> Array:
        """The stored integers, int64: rounded, then saturated."""
        return np.clip(self._rounded(values), self.lowest, self.highest).astype(np.int64)

    def dequantize(self, stored: Array) -> Array:
        """The reals that integers stand for, float64."""
        return np.asarray(np.ldexp(np.asarray(stored, np.float64), -self.fraction_length) + self.bias)

    def represent(self, values: Array) -> Array:
        """What becomes of numbers: there and back."""
        return self.dequantize(self.quantize(values))

    def is_beyond(self, values: Array) -> Array:
        """Which numbers are out of range even after rounding, so that they saturate."""
        rounded = self._rounded(values)
        return np.asarray((rounded < self.lowest) | (rounded > self.highest))

    def patterns(self, stored: Array) -> npt.NDArray[np.str_]:
        """The bits of stored integers, in two's complement, the most significant first."""
        words = [np.binary_repr(int(q), self.word_length) for q in np.ravel(stored)]
        return np.array(words, f"<U{self.word_length}").reshape(np.shape(stored))

    def _rounded(self, values: Array) -> Array:
        """In steps. What is far out of range stops one step outside of it."""
        with np.errstate(over="ignore"):
            steps = np.ldexp(np.asarray(values, np.float64) - self.bias, self.fraction_length)
        return ROUNDINGS[self.rounding](np.clip(steps, self.lowest - 1, self.highest + 1))


@dataclass(frozen=True, eq=False)
class FixedPoint:
    """Numbers in fixed point.

    type      the type that they are stored in
    values    float64, as they were
    stored    int64, the integers
    beyond    bool, which of them are out of range and saturated
    """

    type: FixedPointType
    values: Array
    stored: Array
    beyond: Array

    @property
    def fraction_length(self) -> int:
        return self.type.fraction_length

    @property
    def patterns(self) -> npt.NDArray[np.str_]:
        """The stored bits, in two's complement, the most significant first."""
        return self.type.patterns(self.stored)

    @property
    def real(self) -> Array:
        """The numbers that the integers stand for, float64."""
        return self.type.dequantize(self.stored)

    @property
    def errors(self) -> Array:
        """real - values."""
        return np.asarray(self.real - self.values)

    @property
    def maximum_error(self) -> float:
        """The largest magnitude of an error."""
        return float(np.abs(self.errors).max())

    @property
    def rms_error(self) -> float:
        return float(np.sqrt(np.mean(self.errors**2)))

    @property
    def below_precision(self) -> float:
        """The share of numbers that are not zero and become zero."""
        return float(np.mean((self.values != 0) & (self.real == 0) & ~self.beyond))

    @property
    def beyond_range(self) -> float:
        """The share of numbers that are saturated."""
        return float(np.mean(self.beyond))

    @property
    def range(self) -> tuple[float, float]:
        """The least and the largest number that the type holds."""
        return self.type.minimum, self.type.maximum


def fixed_point(
    values: npt.ArrayLike,
    word_length: int = 8,
    fraction_length: int | Scaling | None = None,
    signed: bool = True,
    bias: float | None = None,
    rounding: Ties = "away",
) -> FixedPoint:
    """Numbers in fixed point: integers of few bits times a power of two.

    values           a number or an array of any shape; float64 is used throughout
    word_length      bits, the sign included
    fraction_length  the power: real = 2^-fraction_length * q + bias. None or 'largest': the largest with which nothing saturates (without
                     a sign: no positive number does); 'least_error': the one that loses the least mean square, which may saturate a few
    bias             an offset, as in the slope-and-bias scaling of MATLAB's fi
    rounding         where ties go: 'away' from zero, as MATLAB's `round` has it, or to 'even'

    Raises DataError where there are no values or some are not finite, RecipeError for a type that does not exist.
    """
    numbers = np.asarray(values, np.float64)
    if not numbers.size or not np.isfinite(numbers).all():
        raise DataError(f"Fixed point needs finite numbers; of {numbers.size} numbers {int(np.isfinite(numbers).sum())} are finite.")
    if fraction_length is None or isinstance(fraction_length, str):
        type = choose_type(FixedPointType(word_length, 0, signed, bias or 0.0, rounding), numbers, fraction_length or "largest")
    else:
        type = FixedPointType(word_length, int(fraction_length), signed, bias or 0.0, rounding)
    return FixedPoint(type, numbers, type.quantize(numbers), type.is_beyond(numbers))


def choose_type(type: FixedPointType, numbers: Array, scaling: Scaling) -> FixedPointType:
    """The type with another fraction length, which suits the numbers."""
    check_scaling(scaling)
    largest = with_largest_fraction(type, float(numbers.min()), float(numbers.max()))
    if scaling == "largest":
        return largest
    return with_least_error(largest, numbers.size, lambda choice: float(np.mean((choice.represent(numbers) - numbers) ** 2)))


def check_scaling(scaling: str) -> None:
    """Raises RecipeError for a way of scaling that does not exist."""
    if scaling not in SCALINGS:
        raise RecipeError(f"The fraction length can be a whole number, 'largest' or 'least_error', not {scaling!r}.")


def lowest_fraction_length(word_length: int) -> int:
    """Below it, the range of a type would be beyond float64."""
    return word_length - LARGEST_POWER


def with_largest_fraction(type: FixedPointType, low: float, high: float) -> FixedPointType:
    """The type with as many fraction bits as leave [low, high] unsaturated: `low` counts only for types with a sign.

    Nothing but zeros gets all bits that the word has behind the point. Numbers of 2^1022 and more may saturate even so.
    """
    low, high = (end - type.bias for end in (low, high))
    ends = np.array([low if type.signed else max(low, 0.0), max(high, 0.0)]) + type.bias
    reach = max(high, -low if type.signed else 0.0)
    magnitude_bits = type.word_length - type.signed
    if reach <= 0:
        return replace(type, fraction_length=magnitude_bits)
    least = lowest_fraction_length(type.word_length)
    fraction = min(FINEST, magnitude_bits + 1 - frexp(reach)[1])        # too fine by one as a rule, and never too coarse
    while fraction > least and replace(type, fraction_length=fraction).is_beyond(ends).any():
        fraction -= 1
    return replace(type, fraction_length=max(least, fraction))


def with_least_error(largest: FixedPointType, count: int, error: Callable[[FixedPointType], float]) -> FixedPointType:
    """The type with the fraction length of the least mean squared error of `count` numbers.

    largest  the finest type that saturates nothing. Coarser ones cannot be better, for all that they hold it holds too. And when it is
             finer by k bits, the largest number alone loses about (1 - 2^-k)^2 of its square, each further bit 2^-k of it more, while
             all others together gain at most count * step^2 / 4 * 4^-k: so k beyond log2(count) cannot be better either.
    """
    last = min(FINEST, largest.fraction_length + ceil(log2(count)) + 2)
    choices = [replace(largest, fraction_length=f) for f in range(largest.fraction_length, last + 1)]
    return min(choices, key=error)
