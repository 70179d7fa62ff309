"""What is kept of a value's numbers: one record of constant size that serves every range estimator and merges exactly."""

from dataclasses import dataclass, field
from functools import cache
from typing import NamedTuple, Self

import numpy as np

from bitsmith.calibration.counting import (
    BINS,
    MAXIMA,
    MINIMA,
    NAN,
    NEGATIVE_INFINITIES,
    POSITIVE_INFINITIES,
    SAMPLES,
    SQUARES,
    SUM,
    Record,
    count,
    empty_counts,
)
from bitsmith.calibration.exact import as_fraction, from_limbs, to_limbs
from bitsmith.calibration.latest import KEPT, Latest, positions_of
from bitsmith.errors import StatisticsError
from bitsmith.numerics.formats import Array

SMALLEST_COUNTED_EXPONENT = -132        # of np.frexp; smaller numbers share their bin with zero


class Bins(NamedTuple):
    """The occupied bins of a histogram from the lowest number to the highest, all [n].

    low, high   float64, exact edges; a bin holds numbers from the edge nearer to zero up to, and without, the other
    counts      int64, at least 1
    """

    low: Array
    high: Array
    counts: Array

    @property
    def centres(self) -> Array:
        """float64 [n], exact."""
        return (self.low + self.high) / 2


@dataclass(eq=False)
class Statistics:
    """What was counted of one value (or of several that share an encoding).

    record  see counting.Record
    kept    the extremes of the latest samples but for those that wait to be added; None where the order of samples is not known:
            of channels, and in files of before version 3

    Everything in it is exact or a whole number, so it does not depend on how samples were split into batches, nor on the order
    in which parts were merged. The one rounding: the sum and the sum of squares of each sample are taken in float64, in a fixed order.
    """

    record: Record = field(default_factory=Record.empty)
    kept: Latest | None = field(default_factory=Latest)
    waiting: list[tuple[range | None, Array]] = field(default_factory=list)

    def observe(self, values: Array, places: range | None = None) -> None:
        """Count every number of an array [samples, ...]. NaN and infinities are tallied and otherwise left out.

        places  positions in the data of the samples that the array is of (it may have several rows for each); None: it comes next

        Numbers are taken as float32. Two threads must not do this at the same time to the same statistics.
        """
        with np.errstate(over="ignore"):
            numbers = np.ascontiguousarray(values, np.float32)
        if not numbers.size:
            return
        ends = count(numbers.reshape(len(numbers), -1), self.record)
        if self.kept is not None:
            self.waiting.append((places, ends))
            if len(self.waiting) * len(ends) >= KEPT:
                self._keep_latest()

    @property
    def latest(self) -> Latest | None:
        """The extremes of the latest samples; None where the order of samples is not known."""
        self._keep_latest()
        return self.kept

    def _keep_latest(self) -> None:
        """Those that wait are kept: many at once, which is as dear as few."""
        if self.kept is None or not self.waiting:
            return
        positions, next_one = [], self.kept.end
        for places, ends in self.waiting:
            found = range(next_one, next_one + len(ends)) if places is None else places
            positions.append(positions_of(len(ends), found))
            next_one = max(next_one, found.stop)
        self.kept = self.kept.merge(Latest.of(np.concatenate(positions), np.concatenate([ends for _, ends in self.waiting])))
        self.waiting = []

    def merge(self, other: Self) -> Self:
        """The statistics of both together; neither is changed."""
        a, b = self.record, other.record
        counts = empty_counts()
        for part in (a.counts, b.counts):           # (asking for != 0 first makes the search five times faster)
            occupied = np.flatnonzero(part != 0)
            counts[occupied] += part[occupied]
        totals = np.stack([to_limbs(from_limbs(x) + from_limbs(y)) for x, y in zip(a.totals, b.totals, strict=True)])
        record = Record(counts, totals, widen(a.extremes[:, None], b.extremes[:, None])[:, 0], a.tallies + b.tallies)
        mine, others = self.latest, other.latest
        return type(self)(record, None if mine is None or others is None else mine.merge(others))

    def moved(self, by: int) -> Self:
        """The same numbers of samples that lie so many positions later in the data; shares the record."""
        latest = self.latest
        return type(self)(self.record, None if latest is None else latest.moved(by))

    @property
    def count(self) -> int:
        """How many finite numbers were counted."""
        return int(self.record.counts.sum())

    @property
    def samples(self) -> int:
        """How many samples had a finite number."""
        return int(self.record.tallies[SAMPLES])

    @property
    def nans(self) -> int:
        return int(self.record.tallies[NAN])

    @property
    def infinities(self) -> tuple[int, int]:
        """How many were -infinity and +infinity."""
        return int(self.record.tallies[NEGATIVE_INFINITIES]), int(self.record.tallies[POSITIVE_INFINITIES])

    @property
    def minimum(self) -> float:
        """Of all finite numbers, exactly. Like all figures below it raises StatisticsError where there was none."""
        self._check_counted()
        return float(self.record.extremes[0])

    @property
    def maximum(self) -> float:
        self._check_counted()
        return float(self.record.extremes[1])

    @property
    def mean(self) -> float:
        return self._average(SUM, self.count)

    @property
    def mean_square(self) -> float:
        return self._average(SQUARES, self.count)

    @property
    def variance(self) -> float:
        """Of the population: mean square less squared mean, without cancellation."""
        self._check_counted()
        total, squares = (as_fraction(from_limbs(self.record.totals[row])) for row in (SUM, SQUARES))
        return max(0.0, float((squares * self.count - total**2) / self.count**2))

    @property
    def mean_minimum(self) -> float:
        """The average over samples of the smallest number of each."""
        return self._average(MINIMA, self.samples)

    @property
    def mean_maximum(self) -> float:
        """The average over samples of the largest number of each."""
        return self._average(MAXIMA, self.samples)

    def moving_extremes(self, decay: float) -> tuple[float, float]:
        """(minimum, maximum) of each of the latest samples, averaged: one weighs `decay` times as much as the one after it.

        Raises StatisticsError where the order of samples is not known, too.
        """
        self._check_counted()
        latest = self.latest
        if latest is None:
            raise StatisticsError("The order of samples is not known (of channels it is not kept, nor was it in files of older versions), "
                                  "and a moving average needs it; calibrate again, or take mean_min_max.")
        return latest.average(decay)

    def bins(self) -> Bins:
        """The histogram: 128 bins to each power of two and sign, less than 0.8 % wide; numbers under 2^-133 are one bin with zero."""
        occupied = np.flatnonzero(self.record.counts != 0)
        positive = int(np.searchsorted(occupied, BINS // 2))
        in_order = np.concatenate([occupied[:positive - 1 if positive else None:-1], occupied[:positive]])
        places = np.where(in_order < BINS // 2, in_order + BINS // 2, BINS - 1 - in_order)
        low, high = bin_edges(places)
        return Bins(low, high, self.record.counts[in_order])

    def significant_bits(self) -> tuple[Array, Array]:
        """(exponents, counts), both int64 [n], ascending: how many numbers had 2^(exponent - 1) <= |number| < 2^exponent, as np.frexp says.

        Exact. Zero has no significant bit and is not among them, nor is what is under 2^-133.
        """
        magnitudes = self.record.counts[:BINS // 2] + self.record.counts[BINS // 2:]
        occupied = np.flatnonzero(magnitudes[1:] != 0) + 1
        exponents = np.frexp(bin_starts(occupied))[1].astype(np.int64)
        by_exponent = np.bincount(exponents - SMALLEST_COUNTED_EXPONENT, magnitudes[occupied], 0)
        return (found := np.flatnonzero(by_exponent)) + SMALLEST_COUNTED_EXPONENT, by_exponent[found].astype(np.int64)

    @property
    def zeros(self) -> int:
        """How many were zero (or under 2^-133 in magnitude, far below what any format holds beside other numbers)."""
        return int(self.record.counts[0] + self.record.counts[BINS // 2])

    def _average(self, row: int, terms: int) -> float:
        self._check_counted()
        return float(as_fraction(from_limbs(self.record.totals[row])) / terms)

    def _check_counted(self) -> None:
        if not self.samples:
            others = f"{self.nans} NaN and {sum(self.infinities)} infinite ones"
            raise StatisticsError(f"No finite number was counted, only {others}; calibrate with sound data.")


def bin_starts(tops: Array) -> Array:
    """float64: the smallest magnitude in a bin, from the top 15 bits of the pattern; the number after the last is 2^128."""
    exponents, mantissas = tops >> 7, tops & 127
    return np.asarray(np.ldexp(mantissas + 128.0 * (exponents > 0), np.maximum(exponents, 1) - 134))


@cache
def all_starts() -> Array:
    """Looking them up is four times as quick as computing them."""
    return bin_starts(np.arange(BINS // 2 + 1))


def bin_edges(places: Array) -> tuple[Array, Array]:
    """(low, high), float64, of bins by their place in the order of numbers: from 0, the most negative one, to 65,535."""
    negative = places < BINS // 2
    tops = np.where(negative, BINS // 2 - 1 - places, places - BINS // 2)
    near, far = all_starts()[tops], all_starts()[tops + 1]
    return np.where(negative, -far, near), np.where(negative, -near, far)


def widen(a: Array, b: Array) -> Array:
    """[2, n]: the smaller of the lows, the larger of the highs."""
    return np.stack([np.minimum(a[0], b[0]), np.maximum(a[1], b[1])])
