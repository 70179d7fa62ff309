"""What a typical sample reaches."""

from bitsmith.calibration.ranges import Range
from bitsmith.calibration.statistics import Statistics
from bitsmith.numerics.formats import Format


def mean_min_max(statistics: Statistics, format: Format) -> Range:
    """The average over samples of the smallest and of the largest number of each. Raises StatisticsError where none was counted."""
    return Range(statistics.mean_minimum, statistics.mean_maximum)
