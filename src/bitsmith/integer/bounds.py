"""Proofs about accumulators: the exact worst case of every sum of products, from the actual weights and the range of the codes."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from bitsmith.numerics.formats import Array

Integers = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Bounds:
    """The lowest and highest value that each output channel's accumulator can take; int64, () or [channels]. Both are attained."""

    lowest: Integers
    highest: Integers

    @property
    def largest(self) -> int:
        """The largest magnitude of any channel."""
        return int(max(-self.lowest.min(initial=0), self.highest.max(initial=0)))

    @cached_property
    def bits(self) -> Integers:
        """The width of the smallest signed integers that hold each channel's accumulator."""
        reach = np.maximum(-self.lowest - 1, self.highest).astype(np.uint64)
        return np.asarray(1 + sum((reach >> np.uint64(bit)) > 0 for bit in range(63)), np.int64)

    @property
    def width(self) -> int:
        """Bits that hold every channel's accumulator."""
        return int(self.bits.max(initial=1))

    def fit(self, bits: int = 32) -> npt.NDArray[np.bool_]:
        """Which channels' accumulators never leave signed integers of that many bits."""
        return self.bits <= bits


def weighted(weights: Array, bias: Array | None, low: int, high: int) -> Bounds:
    """Bounds of bias + sum(weights * steps), weights [channels, terms] and every step in low..high, both counted from the zero point.

    Zero is always among the steps, for padding holds it. Then no partial sum, in whatever order, leaves the bounds either.
    """
    low, high = min(low, 0), max(high, 0)
    up = np.maximum(weights, 0).sum(1, dtype=np.int64)
    down = np.minimum(weights, 0).sum(1, dtype=np.int64)
    start = np.int64(0) if bias is None else np.asarray(bias, np.int64)
    return Bounds(start + up * low + down * high, start + up * high + down * low)


def multiplied(terms: int, left: tuple[int, int], right: tuple[int, int]) -> Bounds:
    """Bounds of a sum of so many products of two codes, each counted from its zero point and within the range given."""
    corners = [a * b for a in left for b in right]
    return Bounds(np.asarray(terms * min(0, *corners), np.int64), np.asarray(terms * max(0, *corners), np.int64))


def summed(terms: int, low: int, high: int) -> Bounds:
    """Bounds of a sum of so many codes, each counted from its zero point."""
    return Bounds(np.asarray(terms * min(0, low), np.int64), np.asarray(terms * max(0, high), np.int64))
