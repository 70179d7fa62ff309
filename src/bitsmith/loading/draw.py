"""Some of the samples, drawn by chance that is the same every time."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from bitsmith.loading.data import Data, Source
from bitsmith.loading.items import Chunk
from bitsmith.numerics.formats import Array


@dataclass(frozen=True)
class Drawn:
    """One sample of each `window` neighbouring ones, drawn by chance that is the same every time; of a source of which every `every`-th
    sample is meant, and of these the first `most`.

    Taking every tenth would not do: sets are sorted by class, or go round the classes one by one, and then all would be of one class.

    which   0 or 1: with windows of two, these are two halves
    rest    all but these
    """

    source: Source
    every: int
    most: int | None
    window: int
    which: int = 0
    rest: bool = False

    def chunks(self, size: int, step: int) -> Iterator[Chunk]:
        """Every step-th of those drawn."""
        seen = taken = 0
        for arrays, labels in self.source.chunks(size * self.window, self.every):
            length = len(next(iter(arrays.values())))
            length = length if self.most is None else min(length, self.most - seen)
            places = np.flatnonzero(drawn(seen, seen + length, self.window, self.which) != self.rest)
            picked = places[-taken % step :: step]
            seen, taken = seen + length, taken + len(places)
            if len(picked):
                yield {name: array[picked] for name, array in arrays.items()}, None if labels is None else labels[picked]
            if self.most is not None and seen >= self.most:
                return


def drawn(first: int, end: int, window: int, which: int) -> Array:
    """bool [end - first]: whether samples are drawn, by their numbers."""
    numbers = np.arange(first, end, dtype=np.uint64)
    windows, places = numbers // np.uint64(window), numbers % np.uint64(window)
    return np.asarray(places == (scrambled(windows) + np.uint64(which)) % np.uint64(window))


def scrambled(numbers: Array) -> Array:
    """uint64 from uint64, as if by chance: the finisher of SplitMix64 (Steele, Lea and Flood 2014)."""
    with np.errstate(over="ignore"):
        mixed = (numbers + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray((mixed ^ (mixed >> np.uint64(31))) >> np.uint64(8))


def draw(data: Data, window: int, which: int = 0, *, rest: bool = False) -> Data:
    """One of each so many samples, or all others."""
    count = None if data.samples is None else int((drawn(0, data.samples, window, which) != rest).sum())
    return replace(data, source=Drawn(data.source, data.step, data.most, window, which, rest), step=1, most=None, samples=count)


def spread(data: Data, most: int) -> Data:
    """At most so many samples, drawn evenly from all of them."""
    if data.samples is None:
        return data.limit(most)
    return draw(data, -(-data.samples // most)) if data.samples > most else data
