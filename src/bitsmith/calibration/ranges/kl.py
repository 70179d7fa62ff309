"""The range that keeps most of a tensor's distribution: least divergence of Kullback and Leibler, as TensorRT finds it."""

import numpy as np

from bitsmith.calibration.loss import spread_numbers
from bitsmith.calibration.ranges import Placing, Range
from bitsmith.calibration.statistics import Statistics
from bitsmith.numerics import Integer
from bitsmith.numerics.formats import Array

CUTS = 2048                 # of a histogram at most; TensorRT's has so many
CUTS_PER_LEVEL = 16         # at most
MOST_LEVELS = 512           # with more, bins of 0.8 % are as coarse as the levels, and nothing is to be told
CANDIDATES = 40
FINER = np.linspace(-1, 1, 13)
EMPTY = 1e-9                # share given to cuts that the clipped numbers alone have


def kl(statistics: Statistics, placing: Placing) -> Range:
    """The threshold on magnitudes whose clipped histogram is the nearest to itself merged into as many levels as there are codes.

    As in Migacz 2017, *8-bit inference with TensorRT*: numbers beyond the threshold are added to the last cut of the reference and not
    to the merged one, which is spread again over the cuts that are not empty. Unlike there, each threshold has its own cuts, so many for
    each level, so that an outlier does not decide how finely all others are seen; zeros, which are always held exactly, do not count.
    Formats with more than 512 codes to a side get everything. Raises StatisticsError where no number was counted.
    """
    minimum, maximum = statistics.minimum, statistics.maximum
    levels = levels_of(placing, minimum, maximum)
    if minimum == maximum or levels > MOST_LEVELS:
        return Range(minimum, maximum)
    spread = spread_numbers(statistics)
    magnitudes, below = cumulative(spread.low, spread.high, spread.shares)
    least = float(np.interp(below[-1] / 2, below, magnitudes))
    grid = np.geomspace(max(least, 2.0**-60), 1, CANDIDATES)[::-1]
    best = grid[divergences(grid, levels, magnitudes, below).argmin()]
    near = np.minimum(best * (grid[0] / grid[1]) ** FINER, 1)
    threshold = float(near[divergences(near, levels, magnitudes, below).argmin()]) * spread.unit
    return Range(min(max(minimum, -threshold), maximum), max(min(maximum, threshold), minimum))


def levels_of(placing: Placing, minimum: float, maximum: float) -> int:
    """Codes on the side of zero that has more of them."""
    if not isinstance(placing.format, Integer):
        return int(2 ** (placing.format.bits - 1))
    encoding = placing.span(np.array([minimum]), np.array([maximum]))
    zero_point = int(encoding.zero_point[0])
    return max(placing.format.highest - zero_point, zero_point - placing.format.lowest)


def cumulative(low: Array, high: Array, shares: Array) -> tuple[Array, Array]:
    """(magnitudes, below): the share of all numbers, zeros left out, that is nearer to zero than a magnitude; linear between."""
    near, far = np.minimum(np.abs(low), np.abs(high)), np.maximum(np.abs(low), np.abs(high))
    kept = far > 0
    near, far, shares = np.where(near == far, near * (1 - 2.0**-20), near)[kept], far[kept], shares[kept]
    edges, place = np.unique(np.concatenate([near, far]), return_inverse=True)
    density = shares / (far - near)
    slopes = np.cumsum(np.bincount(place, np.concatenate([density, -density]), edges.size))
    return edges, np.concatenate([[0.0], np.cumsum(slopes[:-1].clip(min=0) * np.diff(edges))])


def divergences(thresholds: Array, levels: int, magnitudes: Array, below: Array) -> Array:
    """The divergence at each threshold, float64 [n]: sum P log(P / Q), where Q is one number for all cuts of a level."""
    each = max(2, min(CUTS_PER_LEVEL, CUTS // levels))
    cuts = np.linspace(0, 1, levels * each + 1)
    inside = np.diff(np.interp(thresholds[:, None] * cuts, magnitudes, below), axis=1).clip(min=0)
    inside[inside < inside.max(axis=1, keepdims=True) * 1e-12] = 0      # what is left of differences
    columns = [inside[:, place::each] for place in range(each)]         # (sums over a short last axis are slow)
    merged, filled = np.add.reduce(columns), np.add.reduce([column > 0 for column in columns], dtype=np.uint8)
    kept = np.maximum(merged.sum(axis=1), EMPTY)
    clipped = np.maximum(below[-1] - merged.sum(axis=1), 0)
    shares = merged / np.maximum(filled, 1) / kept[:, None]             # of each cut that is not empty, once merged
    last = np.where(inside[:, -1] > 0, shares[:, -1], EMPTY)
    crossed = (merged * np.log(np.where(filled > 0, shares, 1))).sum(axis=1) + clipped * np.log(last)
    inside[:, -1] += clipped
    own = (inside * np.log(np.where(inside > 0, inside, 1))).sum(axis=1)
    total = kept + clipped
    return np.asarray((own - crossed) / total - np.log(total))
