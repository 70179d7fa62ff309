"""Signs as codes, with a zero between them or without: products with such weights are additions and subtractions."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from bitsmith.numerics.arrays import Array


@dataclass(frozen=True)
class Signs:
    """-1, 0 and +1 (`ternary`), or -1 and +1 (`binary`), times a scale.

    Ternary: what lies beyond half a scale becomes a sign. Binary: every number does, 0 and NaN the upper one (Rastegari 2016,
    *XNOR-Net*, section 3). Padding with the real 0 stays exact all the same: a sum leaves it out, though binary has no code for it.
    """

    has_zero: bool

    @property
    def name(self) -> str:
        return "ternary" if self.has_zero else "binary"

    @property
    def bits(self) -> int:
        return 1 + self.has_zero

    @property
    def held_bits(self) -> int:
        return self.bits

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
        return -1

    @property
    def highest(self) -> int:
        return 1

    @property
    def limits(self) -> tuple[float, float]:
        return (-1.5, 1.5) if self.has_zero else (-2.0, 2.0)

    @property
    def step(self) -> float:
        return 1.0 if self.has_zero else 2.0

    def scale_for(self, low: Array, high: Array, *, symmetric: bool) -> Array:
        """The largest magnitude. Binary has no code for blocks of zeros but the smallest scale."""
        return np.asarray(np.maximum(np.maximum(high, -low), 0.0 if self.has_zero else float(np.finfo(np.float32).tiny)))

    def zero_for(self, low: Array, scale: Array, *, symmetric: bool) -> Array:
        return np.zeros(np.shape(scale))

    def encode(self, steps: Array, zero_point: Array) -> Array:
        if not self.has_zero:
            return np.where(np.less(steps, 0), np.int8(-1), np.int8(1))
        return np.asarray(np.clip(np.rint(np.nan_to_num(steps, nan=0.0)), -1, 1).astype(self.storage))

    def decode(self, codes: Array) -> Array:
        return codes

    def best_scale(self, rows: Array) -> Array:
        """The scale at which the codes of each row's numbers have the least squared error, float64 [rows]; NaN are no numbers.

        Binary: the mean magnitude (Rastegari 2016, equation 6). Ternary: the mean of the k largest magnitudes, for the k with the
        largest (sum of these)^2 / k (Li 2016, *Ternary Weight Networks*, equations 5 and 6, solved exactly and not by 0.7 times the mean).
        """
        magnitudes = np.abs(rows.astype(np.float64))
        if not self.has_zero:
            return np.asarray(np.nanmean(magnitudes, axis=1))
        sums = np.nancumsum(-np.sort(-magnitudes, axis=1), axis=1)      # NaN are sorted behind the numbers, and add nothing
        counts = np.arange(1, rows.shape[1] + 1)
        best = (sums**2 / counts).argmax(axis=1)
        return np.asarray(sums[np.arange(len(rows)), best] / counts[best])


TERNARY, BINARY = Signs(has_zero=True), Signs(has_zero=False)
