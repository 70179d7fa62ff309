"""Floating point of 8 and 16 bits as formats: codes are bit patterns, and a scale moves the range to where the numbers are."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from bitsmith.numerics.arrays import Array
from bitsmith.numerics.float_type import BFLOAT16, FLOAT8_E4M3, FLOAT8_E5M2, HALF, FloatType


@dataclass(frozen=True)
class Minifloat:
    """Bit patterns (sign, exponent, fraction) as codes of the numbers that they stand for; there are no zero points.

    type    which numbers there are
    scaled  False: numbers are stored as they are, and the scale is 1

    Encoding rounds ties to even; what is out of range, infinities included, becomes the largest number; NaN stays NaN. For 8 bits
    this is ONNX's QuantizeLinear and Cast with saturate = 1; ONNX's Cast to 16 bits gives infinities where this saturates.
    """

    name: str
    type: FloatType
    scaled: bool

    @property
    def bits(self) -> int:
        return self.type.bits

    @property
    def held_bits(self) -> int:
        return self.bits

    @property
    def integral(self) -> bool:
        return False

    @property
    def storage(self) -> np.dtype[Any]:
        return np.dtype(f"uint{self.bits}")

    @property
    def lowest(self) -> int:
        return -self.highest

    @property
    def highest(self) -> int:
        return int(self.type.maximum)       # a whole number in every type that there is

    @property
    def limits(self) -> tuple[float, float]:
        return self.type.limits

    @property
    def step(self) -> float:
        return self.type.step

    def scale_for(self, low: Array, high: Array, *, symmetric: bool) -> Array:
        """The largest magnitude becomes the largest number."""
        reach = np.maximum(high, -low)
        return np.asarray(reach / self.highest if self.scaled else np.ones_like(reach))

    def zero_for(self, low: Array, scale: Array, *, symmetric: bool) -> Array:
        return np.zeros(np.shape(scale))

    def encode(self, steps: Array, zero_point: Array) -> Array:
        """The pattern of the nearest number: magnitudes are numbered one after the other, so that rounding up carries by itself."""
        type, numbers = self.type, np.asarray(steps, np.float64)
        magnitudes = np.minimum(np.abs(numbers), type.maximum)          # NaN stays
        spacing = type.steps_at(magnitudes)
        binade = np.frexp(spacing)[1] - np.frexp(type.step)[1]
        whole = np.where(np.isnan(numbers), self.nan, np.rint(magnitudes / spacing)).astype(self.storage)
        sign = np.signbit(numbers).astype(self.storage) << (self.bits - 1)
        carried = (binade << type.fraction_bits).astype(self.storage)
        return np.asarray(np.where(np.isnan(numbers), self.nan, whole + carried).astype(self.storage) | sign)

    def decode(self, codes: Array) -> Array:
        """Patterns -> the numbers that they stand for, float32, exact."""
        return np.asarray(self.numbers[codes])

    @property
    def nan(self) -> int:
        """The pattern that NaN gets: the topmost exponent, and the first bit of the fraction (without infinities all of them)."""
        fraction = self.type.fraction_bits
        ones = (1 << (self.bits - 1)) - 1
        return ones & ~((1 << (fraction - 1)) - 1) if self.type.infinities else ones

    @cached_property
    def numbers(self) -> Array:
        """The number of every pattern, float32 [2^bits]."""
        type = self.type
        patterns = np.arange(1 << (self.bits - 1))
        field, fraction = patterns >> type.fraction_bits, patterns & ((1 << type.fraction_bits) - 1)
        whole = fraction + np.where(field > 0, 1 << type.fraction_bits, 0)
        magnitudes = np.ldexp(whole.astype(np.float64), np.maximum(field, 1) - 1 + np.frexp(type.step)[1] - 1)
        if type.infinities:
            top = field == (1 << type.exponent_bits) - 1
            magnitudes[top] = np.where(fraction[top] == 0, np.inf, np.nan)
        else:
            magnitudes[-1] = np.nan
        return np.concatenate([magnitudes, -magnitudes]).astype(np.float32)


MINIFLOATS = {
    format.name: format
    for format in (
        Minifloat("float16", HALF, scaled=False), Minifloat("bfloat16", BFLOAT16, scaled=False),
        Minifloat("float8_e4m3", FLOAT8_E4M3, scaled=True), Minifloat("float8_e5m2", FLOAT8_E5M2, scaled=True),
    )
}
