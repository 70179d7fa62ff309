"""The range whose codes have the least mean squared error."""

from bitsmith.calibration.least_loss import range_of_least_loss
from bitsmith.calibration.ranges import Placing, Range
from bitsmith.calibration.statistics import Statistics


def mse(statistics: Statistics, placing: Placing) -> Range:
    """Least mean of (real - decoded)^2, clipping and rounding together; a tensor's signal-to-noise ratio is the best there.

    Raises StatisticsError where no number was counted. Source: Sung 2015, *Resiliency of Deep Neural Networks under Quantization*.
    """
    return range_of_least_loss(statistics, placing, 2.0)
