"""How numbers are counted into a record: plainly with numpy, which is the meaning, and in one compiled pass, which is quick."""

import mmap
import threading
from typing import NamedTuple, Self

import numpy as np

from bitsmith.calibration.exact import LIMBS, from_limbs, in_units, to_limbs
from bitsmith.numerics.formats import Array

try:
    from bitsmith.calibration import _count as compiled
except ImportError:             # installed without a compiler: slower, the same bits
    compiled = None             # type: ignore[assignment]

BINS = 2**16
LANES = 16
SUM, SQUARES, MINIMA, MAXIMA = range(4)
SAMPLES, NAN, POSITIVE_INFINITIES, NEGATIVE_INFINITIES = range(4)
NOTHING = np.array([np.inf, -np.inf], np.float32)      # extremes before there is a number


class Record(NamedTuple):
    """What is kept of a value's numbers.

    counts    int64 [65536]   finite numbers by the top 16 bits of their float32 pattern
    totals    int64 [4, 20]   exact sums over samples (see exact.py): of their sum, sum of squares, minimum and maximum
    extremes  float32 [2]     minimum and maximum of all finite numbers; (inf, -inf) before there is one
    tallies   int64 [4]       samples with a finite number, NaN, +infinity, -infinity
    """

    counts: Array
    totals: Array
    extremes: Array
    tallies: Array

    @classmethod
    def empty(cls) -> Self:
        return cls(empty_counts(), np.zeros((4, LIMBS), np.int64), NOTHING.copy(), np.zeros(4, np.int64))


def empty_counts() -> Array:
    """int64 [65536] zeros that take memory page by page as bins are used: a tenth of it as a rule. np.zeros often takes all at once."""
    if not hasattr(mmap, "MAP_PRIVATE"):        # Windows
        return np.zeros(BINS, np.int64)
    return np.frombuffer(mmap.mmap(-1, 8 * BINS, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS), np.int64)


class Scratch(threading.local):
    """Partial bins of a thread, zero between calls."""

    def __init__(self) -> None:
        self.bins = np.zeros(compiled.SCRATCH if compiled else 0, np.uint32)


scratch = Scratch()


def count(samples: Array, record: Record) -> Array:
    """Add float32 [samples, n], C-contiguous, to a record. Returns the extremes of each sample, float32 [samples, 2]; (inf, -inf) where it
    has no finite number."""
    if compiled is None:
        return count_plainly(samples, record)
    ends = np.empty((len(samples), 2), np.float32) if samples.size else np.tile(NOTHING, (len(samples), 1))
    if samples.size:
        compiled.count(samples, len(samples), *record, scratch.bins, ends)
    return ends


def count_plainly(samples: Array, record: Record) -> Array:
    """The same with numpy, sample by sample."""
    ends = np.tile(NOTHING, (len(samples), 1))
    for i, sample in enumerate(samples):
        finite = sample[np.isfinite(sample)]
        record.tallies[NAN] += np.isnan(sample).sum()
        record.tallies[POSITIVE_INFINITIES] += np.isposinf(sample).sum()
        record.tallies[NEGATIVE_INFINITIES] += np.isneginf(sample).sum()
        if finite.size:
            ends[i] = finite.min() + np.float32(0), finite.max() + np.float32(0)        # -0 becomes 0
            add_sample(finite, np.where(np.isfinite(sample), sample, 0), ends[i], record)
    return ends


def add_sample(finite: Array, zero_filled: Array, ends: Array, record: Record) -> None:
    """The finite numbers of one sample, all its numbers with zeros for those that are not, and its extremes."""
    low, high = ends
    top = finite.view(np.uint32) >> 16
    record.counts[:] += np.bincount(top, minlength=BINS)
    record.extremes[:] = min(record.extremes[0], low), max(record.extremes[1], high)
    wide = zero_filled.astype(np.float64)
    for row, term in ((SUM, sum_in_lanes(wide)), (SQUARES, sum_in_lanes(wide * wide)), (MINIMA, float(low)), (MAXIMA, float(high))):
        record.totals[row] = to_limbs(from_limbs(record.totals[row]) + in_units(term))
    record.tallies[SAMPLES] += 1


def sum_in_lanes(numbers: Array) -> float:
    """A sum in an order that 16 lanes of a processor can follow: number i goes to lane i % 16, then lanes are added by halves."""
    lanes = np.pad(numbers, (0, -numbers.size % LANES)).reshape(-1, LANES).cumsum(axis=0)[-1]
    while lanes.size > 1:
        lanes = lanes[:lanes.size // 2] + lanes[lanes.size // 2:]
    return float(lanes[0])
