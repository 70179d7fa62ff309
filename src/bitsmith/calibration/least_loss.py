"""The search for the ranges that lose least: coarse over both ends, then finer and finer around the best. Many tensors at once."""

from collections.abc import Callable, Iterator

import numpy as np

from bitsmith.calibration.loss import losses, spread_numbers
from bitsmith.calibration.ranges import Placing, Range
from bitsmith.calibration.statistics import Statistics
from bitsmith.numerics.formats import Array

Measure = Callable[[Array, Array], Array]       # low, high, each [candidates, tensors] -> losses, the same shape
FAR = 2.0 ** (-np.arange(21) / 2)               # of min and max; an outlier among many numbers is worth three decades
WIDE = np.array([1, 0.8, 0.6, 0.43, 0.28, 0.15, 0.05, 0.005])
FINER = (1.1, 1.03, 1.01)                       # ratios of neighbours, round after round


def range_of_least_loss(statistics: Statistics, placing: Placing, power: float) -> Range:
    """The range whose codes have the least mean of |real - decoded|^power, clipping and rounding together.

    Raises StatisticsError where no number was counted.
    """
    minimum, maximum = statistics.minimum, statistics.maximum
    if minimum == maximum:
        return Range(minimum, maximum)
    spread = spread_numbers(statistics)

    def measure(low: Array, high: Array) -> Array:
        return losses(spread, placing.span(low[:, 0], high[:, 0]), power)[:, None]

    low, high = find_ends(np.array([minimum]), np.array([maximum]), measure, placing.symmetric)
    return Range(float(low[0]), float(high[0]))


def find_ends(minimum: Array, maximum: Array, measure: Measure, symmetric: bool) -> tuple[Array, Array]:
    """(low, high), each [tensors]: the parts of the ranges from minimum to maximum, stretched to hold 0, that lose least.

    Where the encoding is symmetric or all numbers have one sign, both ends shrink by the same factor.
    """
    least, most = np.minimum(minimum, 0.0), np.maximum(maximum, 0.0)
    together = symmetric or not bool(((least < 0) & (most > 0)).any())
    low, high = least, most
    for factors in rounds(together):
        candidates = np.maximum(low * factors[:, :1], least), np.minimum(high * factors[:, 1:], most)
        best = measure(*candidates).argmin(axis=0)[None]
        low, high = (np.take_along_axis(ends, best, 0)[0] for ends in candidates)
    return low, high


def rounds(together: bool) -> Iterator[Array]:
    """Factors [candidates, 2] for low and high, round after round; the first of each leaves all as it is, so that ties do."""
    yield pairs(FAR if together else WIDE, together)
    for ratio in FINER if together else (1.25, 1.12, 1.06, 1.03, 1.01):
        yield pairs(np.append(1.0, ratio ** np.array([-3.0, -2, -1, 1, 2, 3] if together else [-1.0, 1])), together)


def pairs(factors: Array, together: bool) -> Array:
    if together:
        return np.stack([factors, factors], 1)
    return np.stack([np.repeat(factors, factors.size), np.tile(factors, factors.size)], 1)
