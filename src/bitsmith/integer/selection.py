"""Which of several codes, or of several numbers, are the largest."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from bitsmith.errors import LoweringError
from bitsmith.numerics.formats import Array

BYTE, WORD = 2**8, 2**16


@dataclass(frozen=True, eq=False)
class ArgMax:
    """The place of the largest code along an axis; of equal ones the first, or the last. In the narrowest integers that hold all places.

    Of float32 numbers as well: what is no number never takes another one's place.

    axis      not 0, the batch
    keep_axis whether it stays, with length 1
    """

    inputs: tuple[str]
    output: str
    axis: int
    keep_axis: bool = False
    last: bool = False

    def __post_init__(self) -> None:
        if self.axis < 1:
            raise LoweringError(f"'{self.output}' is an arg-max over axis {self.axis}; axes count from the front, and 0 is the batch.")

    def run(self, codes: Array) -> Array:
        first, *others = np.moveaxis(codes, self.axis, 0)
        places, most = np.zeros(first.shape, kind_of(codes.shape[self.axis])), first
        for place, found in enumerate(others, 1):
            wins = found >= most if self.last else found > most
            places, most = np.where(wins, places.dtype.type(place), places), np.where(wins, found, most)
        return np.expand_dims(places, self.axis) if self.keep_axis else places


@dataclass(frozen=True, eq=False)
class TopK:
    """The places of the `count` largest codes along an axis, the largest first; of equal ones the first. As narrow as those of ArgMax.

    Of float32 numbers as well: what is no number never takes another one's place, nor does another one take its.
    """

    inputs: tuple[str]
    output: str
    axis: int
    count: int

    def __post_init__(self) -> None:
        if self.axis < 1:
            raise LoweringError(f"'{self.output}' is a top-k over axis {self.axis}; axes count from the front, and 0 is the batch.")

    def run(self, codes: Array) -> Array:
        """One after the other is put where it belongs among the largest so far; who stands behind it moves up, the last one out."""
        line = np.moveaxis(codes, self.axis, 0)
        places, ranks = np.zeros((self.count, *line.shape[1:]), kind_of(len(line))), np.arange(self.count)
        most, ranks = np.zeros(places.shape, codes.dtype), ranks.reshape(-1, *(1,) * (line.ndim - 1))
        for place, found in enumerate(line):
            stands = (ranks < place) & ~(found > most)
            at = np.where(stands, ranks + 1, 0).max(0)
            places, most = (np.where(ranks < at, kept, np.where(ranks == at, new, np.roll(kept, 1, 0)))
                            for kept, new in ((places, places.dtype.type(place)), (most, found)))
        return np.ascontiguousarray(np.moveaxis(places, 0, self.axis))


@dataclass(frozen=True, eq=False)
class Pick:
    """What lies at computed places along an axis; inputs: the codes, and the places of the result's shape."""

    inputs: tuple[str, str]
    output: str
    axis: int

    def run(self, codes: Array, places: Array) -> Array:
        return np.take_along_axis(codes, places.astype(np.int64), self.axis)


def kind_of(length: int) -> type[np.integer[Any]]:
    """Of the places in so many."""
    return np.uint8 if length <= BYTE else np.uint16 if length <= WORD else np.int32
