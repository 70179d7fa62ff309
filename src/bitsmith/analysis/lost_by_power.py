"""How many numbers of each power of two a tensor's codes lose: those too small for a step and those beyond the range, by sign."""

import numpy as np

from bitsmith.analysis.lost_shares import lost_of_array
from bitsmith.calibration.loss import ZERO_BIN
from bitsmith.calibration.statistics import Statistics
from bitsmith.numerics import Encoding
from bitsmith.numerics.formats import Array
from bitsmith.report.rows import Lost


def lost_numbers(array: Array, encoding: Encoding, exponents: tuple[int, ...]) -> Lost:
    """Of numbers that are there, each by its own block's scale. Exact."""
    clipped, underflow = lost_of_array(array, encoding)
    lost = clipped | underflow
    return Lost(*(counted(array[which], np.ones(int(which.sum())), exponents)
                  for which in (underflow, clipped, lost & (array > 0), lost & (array < 0))))


def lost_counts(statistics: Statistics, encoding: Encoding, exponents: tuple[int, ...]) -> Lost:
    """Of numbers that were counted; one scale. Exact but for the bins, under 0.8 % wide, that hold a limit: those are divided evenly."""
    low, high, counts = statistics.bins()
    near, there = np.where(low < 0, high, low), np.maximum(abs(low), abs(high)) > ZERO_BIN
    below, beyond = (part * counts for part in lost_parts(statistics, encoding))
    lost = below + beyond
    return Lost(*(counted(near[which], part[which], exponents)
                  for part, which in ((below, there), (beyond, there), (lost, there & (near > 0)), (lost, there & (near < 0)))))


def lost_parts(statistics: Statistics, encoding: Encoding) -> tuple[Array, Array]:
    """(becomes 0, beyond range), float64 [n]: the part of each occupied bin."""
    low, high, _ = statistics.bins()
    low[0], high[-1] = max(low[0], statistics.minimum), min(high[-1], max(statistics.maximum, low[-1]))
    width = np.where(high > low, high - low, 1)
    half, lowest, highest = (float(x.reshape(())) for x in (encoding.scale / 2, encoding.lowest, encoding.highest))

    def under(limit: float) -> Array:
        return np.asarray(np.where(high > low, np.clip((limit - low) / width, 0, 1), low < limit))

    beyond = under(lowest - half) + 1 - under(highest + half)
    return np.minimum(under(half) - under(-half), 1 - beyond), beyond


def counted(numbers: Array, weights: Array, exponents: tuple[int, ...]) -> tuple[int, ...]:
    """Sums of weights by the exponents, ascending, of numbers; whole numbers."""
    if not exponents:
        return ()
    there = np.asarray(exponents)
    found = np.frexp(np.asarray(numbers, np.float64))[1]
    places = np.minimum(np.searchsorted(there, found), len(there) - 1)
    kept = there[places] == found           # what shares its bin with zero has none
    sums = np.bincount(places[kept], np.asarray(weights, np.float64)[kept], len(there))
    return tuple(np.rint(sums).astype(int).tolist())
