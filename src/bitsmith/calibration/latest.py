"""The smallest and the largest number of each of the latest samples, by their positions in the data: what a moving average needs."""

from dataclasses import dataclass, field
from typing import Self

import numpy as np

from bitsmith.calibration.counting import NOTHING
from bitsmith.numerics.formats import Array

KEPT = 1024         # positions. With a decay of 0.99 all earlier samples together would weigh 0.99^1024 = 3e-5


@dataclass(frozen=True, eq=False)
class Latest:
    """What is kept of the samples at the KEPT highest positions; those of earlier ones are forgotten.

    end   the position after the last sample that had a finite number; 0 before there is one
    ends  float32 [n, 2]    minimum and maximum of the samples at positions end - n to end - 1; (inf, -inf) where there is none

    The first and the last of the n are there: one form for the same samples, whatever the order in which they came.
    """

    end: int = 0
    ends: Array = field(default_factory=lambda: np.zeros((0, 2), np.float32))

    @classmethod
    def of(cls, positions: Array, ends: Array) -> Self:
        """Of rows in any order: int64 [rows], and minimum and maximum of each, float32 [rows, 2]. Those of one position count as one."""
        there = ends[:, 0] <= ends[:, 1]
        if not there.any():
            return cls()
        end = int(positions[there].max()) + 1
        there &= positions >= end - KEPT
        first = int(positions[there].min())
        kept = np.tile(NOTHING, (end - first, 1))
        np.minimum.at(kept[:, 0], positions[there] - first, ends[there, 0])
        np.maximum.at(kept[:, 1], positions[there] - first, ends[there, 1])
        return cls(end, kept)

    @property
    def positions(self) -> Array:
        """int64 [n]"""
        return np.arange(self.end - len(self.ends), self.end)

    def merge(self, other: Self) -> Self:
        """Of both. Two samples at the same position, of runs that both began there, count as one."""
        return self.of(np.concatenate([self.positions, other.positions]), np.concatenate([self.ends, other.ends]))

    def moved(self, by: int) -> Self:
        """The same samples, so many positions later."""
        return type(self)(self.end + by, self.ends) if self.end else self

    def average(self, decay: float) -> tuple[float, float]:
        """(minimum, maximum), averaged: each position weighs `decay` times as much as the next one. There must be one."""
        there = self.ends[:, 0] <= self.ends[:, 1]
        ends, weights = self.ends[there], decay ** np.arange(len(self.ends) - 1.0, -1, -1)[there]
        low, high = np.clip((weights[:, None] * ends).sum(axis=0) / weights.sum(), ends.min(axis=0), ends.max(axis=0))
        return float(low), float(high)


def positions_of(rows: int, places: range) -> Array:
    """int64 [rows]: the samples that the rows of an array are of, which are in the samples' order, equally many for each."""
    return places.start + np.arange(rows) * len(places) // rows
