"""What a typical sample reaches."""

from bitsmith.calibration.ranges import Placing, Range
from bitsmith.calibration.statistics import Statistics


def mean_min_max(statistics: Statistics, placing: Placing) -> Range:
    """The average over samples of the smallest and of the largest number of each. Raises StatisticsError where none was counted."""
    return Range(statistics.mean_minimum, statistics.mean_maximum)
