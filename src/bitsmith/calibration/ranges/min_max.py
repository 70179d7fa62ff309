"""Everything that was seen."""

from bitsmith.calibration.ranges import Range
from bitsmith.calibration.statistics import Statistics
from bitsmith.numerics.formats import Format


def min_max(statistics: Statistics, format: Format) -> Range:
    """The smallest and the largest number, exactly. Raises StatisticsError where none was counted."""
    return Range(statistics.minimum, statistics.maximum)
