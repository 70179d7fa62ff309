"""Zero and powers of two with a sign: codes whose products are shifts."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from bitsmith.errors import RecipeError
from bitsmith.numerics.arrays import Array


@dataclass(frozen=True)
class PowersOfTwo:
    """0 and +-2^k for k from 0 to 2^(bits - 1) - 2: 2^bits - 1 codes, held as the integers that they are.

    So 4 bits are 0, +-1, +-2 ... +-64 and 2 bits are 0 and +-1. Sums of products are integer arithmetic like those of any other
    integers. The scale is a power of two, and the largest power is that nearest to the block's largest weight (Zhou et al. 2017,
    *Incremental Network Quantization*, equation 2: n1 = floor(log2(4 s / 3))). Numbers become the nearest code, and halfway between
    two codes the larger magnitude (equation 4).

    Raises RecipeError for more than 4 bits: the fifth would add nothing but weights below 1/128 of the largest.
    """

    bits: int

    def __post_init__(self) -> None:
        if not 2 <= self.bits <= 4:
            raise RecipeError(
                f"Powers of two have 2 to 4 bits, not {self.bits}: the fifth adds only weights below 1/128 of the largest; "
                "choose for instance 'pow2_4'."
            )

    @property
    def name(self) -> str:
        return f"pow2_{self.bits}"

    @property
    def held_bits(self) -> int:
        """Of the integer: its magnitude and its sign."""
        return self.largest_exponent + 2

    @property
    def integral(self) -> bool:
        return True

    @property
    def scaled(self) -> bool:
        return True

    @property
    def storage(self) -> np.dtype[Any]:
        return np.dtype(np.int8)

    @property
    def lowest(self) -> int:
        return -self.highest

    @property
    def highest(self) -> int:
        return 1 << self.largest_exponent

    @property
    def largest_exponent(self) -> int:
        return (1 << (self.bits - 1)) - 2

    @property
    def limits(self) -> tuple[float, float]:
        return -1.5 * self.highest, 1.5 * self.highest

    @property
    def step(self) -> float:
        return 1.0

    def scale_for(self, low: Array, high: Array, *, symmetric: bool) -> Array:
        """The power of two that puts the largest code nearest to the largest magnitude; 0 where all is 0."""
        reach = np.maximum(high, -low)
        return np.where(reach > 0, np.ldexp(1.0, nearest_exponent(reach) - self.largest_exponent), 0.0)

    def zero_for(self, low: Array, scale: Array, *, symmetric: bool) -> Array:
        return np.zeros(np.shape(scale))

    def encode(self, steps: Array, zero_point: Array) -> Array:
        """The nearest code. NaN becomes 0."""
        magnitudes = np.abs(np.nan_to_num(steps, nan=0.0, posinf=np.inf, neginf=-np.inf))
        exponents = np.clip(nearest_exponent(np.minimum(magnitudes, self.highest)), 0, self.largest_exponent)
        powers = np.where(magnitudes < 0.5, 0, np.left_shift(1, exponents))
        return np.asarray(np.copysign(powers, steps).astype(self.storage))

    def decode(self, codes: Array) -> Array:
        return codes


def nearest_exponent(magnitudes: Array) -> Array:
    """k of the power of two nearest to each magnitude; halfway, 1.5 * 2^k, goes up."""
    mantissa, exponent = np.frexp(magnitudes)           # [0.5, 1) * 2^exponent
    return np.asarray(exponent - (mantissa < 0.75))
