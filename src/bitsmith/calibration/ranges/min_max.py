"""Everything that was seen."""

from bitsmith.calibration.ranges import Placing, Range
from bitsmith.calibration.statistics import Statistics


def min_max(statistics: Statistics, placing: Placing) -> Range:
    """The smallest and the largest number, exactly. Raises StatisticsError where none was counted."""
    return Range(statistics.minimum, statistics.maximum)
