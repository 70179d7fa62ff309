"""Whether a record read from a file is one that counting could have made."""

import numpy as np

from bitsmith.calibration.counting import BINS, SAMPLES, SQUARES, Record
from bitsmith.calibration.latest import KEPT, Latest
from bitsmith.calibration.statistics import Statistics

MOST = 2**46            # in one bin: sums over all bins, and of many records, stay in int64
INFINITY_BIN = 0x7F80   # of +infinity; NaN lie in it and behind it


def check_statistics(found: Statistics, name: str) -> Statistics:
    """The statistics themselves. Raises ValueError for some that contradict themselves."""
    record = found.record
    sound = counts_are_sound(record) and totals_are_canonical(record) and extremes_are_sound(record)
    if not (sound and (found.latest is None or latest_are_sound(found.latest, record))):
        raise ValueError(f"the statistics of '{name}' contradict themselves")
    return found


def counts_are_sound(record: Record) -> bool:
    """No number is counted as finite that is not; samples have numbers."""
    count = int(record.counts.sum()) if record.counts.max() < MOST else -1
    samples = int(record.tallies[SAMPLES])
    infinite = record.counts.reshape(2, BINS // 2)[:, INFINITY_BIN:].any()
    tallies_are_counts = (record.tallies >= 0).all() and (record.tallies < MOST).all()
    return bool(not infinite and tallies_are_counts and samples <= count and (samples > 0) == (count > 0))


def totals_are_canonical(record: Record) -> bool:
    """Limbs of 32 bits, sums of squares not negative."""
    digits, tops = record.totals[:, :-1], record.totals[:, -1]
    return bool((digits >= 0).all() and (digits < 2**32).all() and (np.abs(tops.astype(np.float64)) < MOST).all() and tops[SQUARES] >= 0)


def extremes_are_sound(record: Record) -> bool:
    """Minimum and maximum lie in the outermost bins."""
    low, high = record.extremes
    if not record.tallies[SAMPLES]:
        return bool(low == np.inf and high == -np.inf)
    bins = Statistics(record).bins()
    return bool(bins.low[0] <= low <= bins.high[0] and bins.low[-1] <= high <= bins.high[-1] and low <= high)


def latest_are_sound(latest: Latest, record: Record) -> bool:
    """No more than are ever kept, nor than there are samples; within the extremes of all; the first and the last are there."""
    low, high = latest.ends.T
    there = low <= high
    if not there.size:
        return bool(latest.end == 0 and not record.tallies[SAMPLES])
    sized = there.size <= min(KEPT, latest.end) and latest.end < MOST and there.sum() <= record.tallies[SAMPLES]
    absent = (low == np.inf) & (high == -np.inf)
    inside = (low >= record.extremes[0]) & (high <= record.extremes[1])
    return bool(sized and there[0] and there[-1] and np.where(there, inside, absent).all())
