"""Floating point of 16 bits, as far as it decides how much of a number is kept."""

from dataclasses import dataclass

import numpy as np

from bitsmith.numerics.formats import Array


@dataclass(frozen=True)
class FloatType:
    """Binary floating point with subnormal numbers; ties go to even. Numbers out of range saturate, so that errors stay finite.

    significant_bits   of the mantissa, the leading one included
    lowest_exponent, highest_exponent   of two, of normal numbers in [1, 2) * 2^exponent
    """

    name: str
    significant_bits: int
    lowest_exponent: int
    highest_exponent: int

    @property
    def maximum(self) -> float:
        return float(np.ldexp(2.0 - 2.0 ** (1 - self.significant_bits), self.highest_exponent))

    @property
    def minimum(self) -> float:
        return -self.maximum

    @property
    def step(self) -> float:
        """The smallest distance between neighbours, around zero."""
        return float(np.ldexp(1.0, self.lowest_exponent - self.significant_bits + 1))

    @property
    def limits(self) -> tuple[float, float]:
        """Numbers beyond these are saturated: half a step outside the range."""
        reach = self.maximum + float(self.steps_at(np.asarray(self.maximum))) / 2
        return -reach, reach

    def steps_at(self, magnitudes: Array) -> Array:
        """The distance between neighbours around numbers of such magnitude, float64."""
        exponents = np.clip(np.frexp(np.abs(magnitudes))[1] - 1, self.lowest_exponent, self.highest_exponent)
        return np.asarray(np.ldexp(1.0, exponents - self.significant_bits + 1))

    def represent(self, values: Array) -> Array:
        """What becomes of numbers, float64."""
        return np.clip(self._rounded(values), self.minimum, self.maximum)

    def is_beyond(self, values: Array) -> Array:
        """Which numbers are out of range even after rounding."""
        return np.asarray(np.abs(self._rounded(values)) > self.maximum)

    def _rounded(self, values: Array) -> Array:
        numbers = np.asarray(values, np.float64)
        steps = self.steps_at(numbers)
        return np.asarray(np.rint(numbers / steps) * steps)


HALF = FloatType("half", 11, -14, 15)
BFLOAT16 = FloatType("bfloat16", 8, -126, 127)
