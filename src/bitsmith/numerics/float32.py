"""Numbers as they are: float32 as a format, whose codes are the numbers themselves. What computes in float is described with it."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from bitsmith.numerics.encoding import Encoding
from bitsmith.numerics.formats import Array


@dataclass(frozen=True)
class Float32:
    """IEEE 754 binary32. No recipe asks for it by name: what has no encoding in a plan is float32 already."""

    name: str = "float32"
    bits: int = 32
    held_bits: int = 32
    integral: bool = False
    scaled: bool = False
    step: float = float(np.finfo(np.float32).smallest_subnormal)

    @property
    def storage(self) -> np.dtype[Any]:
        return np.dtype(np.float32)

    @property
    def lowest(self) -> int:
        return -self.highest

    @property
    def highest(self) -> int:
        return int(np.finfo(np.float32).max)

    @property
    def limits(self) -> tuple[float, float]:
        return -np.inf, np.inf

    def scale_for(self, low: Array, high: Array, *, symmetric: bool) -> Array:
        return np.ones_like(high)

    def zero_for(self, low: Array, scale: Array, *, symmetric: bool) -> Array:
        return np.zeros(np.shape(scale))

    def encode(self, steps: Array, zero_point: Array) -> Array:
        return np.asarray(steps, np.float32)

    def decode(self, codes: Array) -> Array:
        return codes


REAL = Encoding(Float32(), np.ones((), np.float32), np.zeros((), np.int32))
