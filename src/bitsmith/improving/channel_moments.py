"""What single channels of values do on data: ranges, means and variances."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from bitsmith.calibration.collect import pieces, samples_at_once
from bitsmith.loading.data import Data
from bitsmith.numerics.formats import Array
from bitsmith.running.session import Session


@dataclass
class Moments:
    """Of one value, all float64 [channels]: smallest, largest, sum and sum of squares; and how many numbers a channel had."""

    low: Array
    high: Array
    total: Array
    squares: Array
    count: int

    @classmethod
    def of(cls, values: Array, axis: int) -> "Moments":
        """Of one batch."""
        rows = np.moveaxis(values, axis, 0).reshape(values.shape[axis], -1)
        squares = np.einsum("cn,cn->c", rows, rows, dtype=np.float64)
        return cls(rows.min(1).astype(np.float64), rows.max(1).astype(np.float64), rows.sum(1, dtype=np.float64), squares, rows.shape[1])

    def merge(self, other: "Moments") -> "Moments":
        """Of both batches."""
        return Moments(np.minimum(self.low, other.low), np.maximum(self.high, other.high), self.total + other.total,
                       self.squares + other.squares, self.count + other.count)

    @property
    def mean(self) -> Array:
        return np.asarray(self.total / self.count)

    @property
    def variance(self) -> Array:
        return np.asarray(np.maximum(self.squares / self.count - self.mean**2, 0.0))


def measure_channels(network: ir.Model, axes: Mapping[str, int], data: Data) -> dict[str, Moments]:
    """One pass over the data.

    axes  name of each value and the axis along which its channels run
    """
    session, found = Session(network, list(axes)), dict[str, Moments]()
    for batch in pieces(data, samples_at_once(network.graph, list(axes)), None):
        for name, values in session.run(batch).items():
            part = Moments.of(values, axes[name])
            found[name] = found[name].merge(part) if name in found else part
    return found
