"""Floating point of 8 and 16 bits: which numbers there are, and how much of any other number is kept."""

from dataclasses import dataclass

import numpy as np

from bitsmith.numerics.arrays import Array


@dataclass(frozen=True)
class FloatType:
    """Binary floating point with subnormal numbers; ties go to even. Numbers out of range saturate, so that errors stay finite.

    significant_bits   of the mantissa, the leading one included
    lowest_exponent, highest_exponent   of two, of normal numbers in [1, 2) * 2^exponent
    infinities         True: the exponent above the highest is kept for them and for NaN; False: NaN is the one number above the maximum
    """

    name: str
    significant_bits: int
    lowest_exponent: int
    highest_exponent: int
    infinities: bool = True

    @property
    def fraction_bits(self) -> int:
        """Bits of the mantissa that are stored."""
        return self.significant_bits - 1

    @property
    def exponent_bits(self) -> int:
        return (self.highest_exponent - self.lowest_exponent + 1 + self.infinities).bit_length()

    @property
    def bits(self) -> int:
        """All bits: sign, exponent, fraction."""
        return 1 + self.exponent_bits + self.fraction_bits

    @property
    def maximum(self) -> float:
        largest_mantissa = 2.0 - 2.0**-self.fraction_bits * (1 if self.infinities else 2)
        return float(np.ldexp(largest_mantissa, self.highest_exponent))

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
        mantissas, exponents = np.frexp(magnitudes)
        exponents = np.where(mantissas == 0, self.lowest_exponent, exponents - 1).clip(self.lowest_exponent, self.highest_exponent)
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
FLOAT8_E4M3 = FloatType("float8_e4m3", 4, -6, 8, infinities=False)      # ONNX's float8e4m3fn (Micikevicius et al. 2022)
FLOAT8_E5M2 = FloatType("float8_e5m2", 3, -14, 15)
