"""All but the rarest numbers at either end."""

import numpy as np

from bitsmith.calibration.loss import ZERO_BIN
from bitsmith.calibration.ranges import Placing, Range
from bitsmith.calibration.statistics import Statistics
from bitsmith.numerics.formats import Array


def percentile(statistics: Statistics, placing: Placing, *, percent: float = 99.99) -> Range:
    """The range from the (100 - percent)th to the percent-th percentile of all numbers; both are within a bin, 0.8 %, of the true ones.

    Raises StatisticsError where none was counted.
    """
    low, high, counts = statistics.bins()
    minimum, maximum = statistics.minimum, statistics.maximum
    low, high = (np.clip(np.where(abs(edge) <= ZERO_BIN, 0, edge), minimum, maximum) for edge in (low, high))
    low[0], high[-1] = minimum, maximum
    rank = statistics.count * ((100 - percent) / 100)
    bottom = number_at(rank, low, high, counts)
    top = 0 - number_at(rank, -high[::-1], -low[::-1], counts[::-1])
    return Range(bottom, max(bottom, top))


def number_at(rank: float, low: Array, high: Array, counts: Array) -> float:
    """The number below which so many lie, were those of a bin spread evenly over it."""
    before = np.concatenate([[0], np.cumsum(counts)])
    bin = min(int(np.searchsorted(before, rank, side="right")) - 1, len(counts) - 1)
    return float(low[bin] + (high[bin] - low[bin]) * min(1.0, (rank - before[bin]) / counts[bin]))


def read_percent(text: str) -> float:
    try:
        percent = float(text)
    except ValueError:
        percent = -1
    if not 50 <= percent <= 100:
        raise ValueError(f"needs 50 to 100, not {text}")
    return percent


OPTIONS = {"percent": read_percent}
