"""Normalization of rows of float32 numbers. Sums begin at 0 and go element by element, every operation is rounded once."""

from dataclasses import dataclass
from functools import reduce

import numpy as np

from bitsmith.numerics.formats import Array


@dataclass(frozen=True, eq=False)
class RealNormalize:
    """(x - mean) / sqrt(mean of (x - mean)**2 + epsilon) * gain + bias over the last axes (Ba, Kiros and Hinton 2016).

    gain, bias  float32, of the shape of those axes
    centred     whether the mean is taken off; else it counts as 0 (Zhang and Sennrich 2019)
    """

    inputs: tuple[str]
    output: str
    gain: Array
    bias: Array
    epsilon: float
    centred: bool = True

    def run(self, reals: Array) -> Array:
        rows = reals.reshape(-1, self.gain.size)
        with np.errstate(all="ignore"):
            deviations = rows - mean_of(rows) if self.centred else rows
            root = np.sqrt(mean_of(deviations * deviations) + np.float32(self.epsilon))
            found = deviations / root * self.gain.reshape(-1) + self.bias.reshape(-1)
        return np.asarray(found.reshape(reals.shape))


def mean_of(rows: Array) -> Array:
    """[rows, 1]."""
    total: Array = reduce(np.add, rows.T, np.zeros((), np.float32))
    return np.asarray(total[:, None] / np.float32(rows.shape[1]))
