"""Values between neighbours: linear resizing of codes, which keeps their encoding."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np

from bitsmith.errors import LoweringError
from bitsmith.numerics.formats import Array

SHORT, LONG = 11, 20            # bits of a weight: two axes and a code of 8 bits stay within 31 bits, one of 16 bits within 63
MOST_AXES = 2


@dataclass(frozen=True, eq=False)
class Neighbours:
    """For every element along an axis, what it lies between. left, right: indices; weight: of the right one, 0 to 2**bits."""

    left: Array
    right: Array
    weight: Array

    @classmethod
    def at(cls, positions: Array, length: int, bits: int) -> Self:
        """positions: float64, from 0 to length - 1."""
        left = np.clip(np.floor(positions), 0, length - 1).astype(np.int64)
        weight = np.rint((positions - left) * 2.0**bits).astype(np.int64)
        return cls(left, np.minimum(left + 1, length - 1), np.clip(weight, 0, 1 << bits))


@dataclass(frozen=True, eq=False)
class Blend:
    """left * (2**bits - weight) + right * weight along each axis named, then / 2**(bits * axes), rounded once, ties upward.

    between  by axis, not 0, the batch; one or two
    """

    inputs: tuple[str]
    output: str
    between: Mapping[int, Neighbours]
    bits: int

    def __post_init__(self) -> None:
        if not 1 <= len(self.between) <= MOST_AXES or min(self.between) < 1:
            raise LoweringError(f"'{self.output}' is resized along axes {sorted(self.between)}; integers do one or two, never the samples")

    def run(self, codes: Array) -> Array:
        total = codes.astype(np.int64)
        for axis, between in self.between.items():
            shape = [-1 if a == axis else 1 for a in range(codes.ndim)]
            weight = between.weight.reshape(shape)
            total = total.take(between.left, axis) * ((1 << self.bits) - weight) + total.take(between.right, axis) * weight
        shift = self.bits * len(self.between)
        return ((total + (1 << (shift - 1))) >> shift).astype(codes.dtype)
