"""The range whose codes have the least mean of |error|^p."""

from bitsmith.calibration.least_loss import range_of_least_loss
from bitsmith.calibration.ranges import Placing, Range
from bitsmith.calibration.statistics import Statistics


def lp(statistics: Statistics, placing: Placing, *, power: float = 2.4) -> Range:
    """Least mean of |real - decoded|^power: the larger the power, the dearer is clipping. At 2 it is `mse`.

    Raises StatisticsError where no number was counted. Source: Nahshan 2019, *Loss Aware Post-training Quantization*, section 3.
    """
    return range_of_least_loss(statistics, placing, power)


def read_power(text: str) -> float:
    """A power from 1 to 8; ValueError for any other."""
    try:
        power = float(text)
    except ValueError:
        power = 0
    if not 1 <= power <= 8:
        raise ValueError(f"needs 1 to 8, not {text}")
    return power


OPTIONS = {"power": read_power}
