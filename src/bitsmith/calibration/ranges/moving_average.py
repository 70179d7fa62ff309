"""What samples of late reach."""

from bitsmith.calibration.ranges import Placing, Range
from bitsmith.calibration.statistics import Statistics

LARGEST = 0.99      # with which what is forgotten would weigh 3e-5; see latest.py


def moving_average(statistics: Statistics, placing: Placing, *, decay: float = 0.99) -> Range:
    """The smallest and the largest number of each sample, averaged with weights that fall by `decay` from one sample to that before it.

    Weights add to 1, so that the first samples are not favoured. The last 1,024 samples are looked at; with the largest decay, 0.99, all
    earlier ones together would weigh 0.99^1024 = 3e-5. Samples follow each other as in the data, however many threads or shards count
    them. Statistics of separate runs that all began at 0 merge as if the runs were side by side: the i-th samples of all are one sample.

    Raises StatisticsError where no number was counted, and where the order of samples is not known: in files of before version 3.
    Source: Jacob 2018, *Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference*, section 3.1.
    """
    return Range(*statistics.moving_extremes(decay))


def read_decay(text: str) -> float:
    """More than 0, at most 0.99; ValueError for any other."""
    try:
        decay = float(text)
    except ValueError:
        decay = 0
    if not 0 < decay <= LARGEST:
        raise ValueError(f"needs more than 0 and at most {LARGEST}, not {text}")
    return decay


OPTIONS = {"decay": read_decay}
