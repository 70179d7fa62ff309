"""So many standard deviations about the mean."""

from math import sqrt

from bitsmith.calibration.ranges import Placing, Range
from bitsmith.calibration.statistics import Statistics


def mean_std(statistics: Statistics, placing: Placing, *, deviations: float = 3.0) -> Range:
    """Mean minus and plus so many standard deviations, no wider than what was seen. Raises StatisticsError where no number was counted."""
    reach = deviations * sqrt(statistics.variance)
    minimum, maximum = statistics.minimum, statistics.maximum
    low, high = (min(max(end, minimum), maximum) for end in (statistics.mean - reach, statistics.mean + reach))
    return Range(low, high)


def read_deviations(text: str) -> float:
    """More than 0, at most 100; ValueError for any other."""
    try:
        deviations = float(text)
    except ValueError:
        deviations = 0
    if not 0 < deviations <= 100:
        raise ValueError(f"needs more than 0 and at most 100, not {text}")
    return deviations


OPTIONS = {"deviations": read_deviations}
