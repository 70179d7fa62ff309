"""How many numbers of each tensor have their leading one at which power of two: the rows behind the pictures of dynamic range."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import onnx_ir as ir

from bitsmith.analysis.fingerprint import fingerprint
from bitsmith.analysis.tensors import counted_values, parameters
from bitsmith.calibration.collection import Collection
from bitsmith.calibration.loss import ZERO_BIN
from bitsmith.calibration.statistics import Statistics
from bitsmith.numerics.formats import Array

FAR = 2000      # beyond every power of two in float64


@dataclass(frozen=True)
class SignificantBits:
    """Counts of one tensor's finite numbers.

    exponents            ascending, as np.frexp has them: 2^(exponent - 1) <= |number| < 2^exponent
    negative, positive   how many numbers there are of each exponent
    zeros                how many have no leading one; of an activation also those under 2^-133
    """

    name: str
    kind: str
    exponents: tuple[int, ...]
    negative: tuple[int, ...]
    positive: tuple[int, ...]
    zeros: int

    @property
    def count(self) -> int:
        return sum(self.negative) + sum(self.positive) + self.zeros

    def to_dict(self) -> dict[str, Any]:
        """As plain data for JSON."""
        return asdict(self)


def count_significant_bits(network: ir.Model, statistics: Collection | None = None) -> tuple[SignificantBits, ...]:
    """Of every parameter, from its numbers, and of every activation, from statistics: exactly, without a second pass over data.

    Raises StatisticsError for statistics of another network.
    """
    if statistics is not None:
        statistics.check_network(fingerprint(network))
    held = [bits_of_array(name, array) for name, array in parameters(network.graph)]
    return (*held, *(bits_of_statistics(name, s) for name, s in counted_values(network.graph, statistics or Collection({}))))


def bits_of_array(name: str, array: Array) -> SignificantBits:
    numbers = array[np.isfinite(array)]
    found = numbers[numbers != 0]
    return collect(name, "parameter", found, None, numbers.size - found.size)


def bits_of_statistics(name: str, statistics: Statistics) -> SignificantBits:
    """A bin never reaches over a power of two, so that its edge nearer to zero speaks for all numbers in it."""
    low, high, counts = statistics.bins()
    near = np.where(low < 0, high, low)
    counted = np.maximum(np.abs(low), np.abs(high)) > ZERO_BIN
    return collect(name, "activation", near[counted], counts[counted], int(counts[~counted].sum()))


def collect(name: str, kind: str, numbers: Array, counts: Array | None, zeros: int) -> SignificantBits:
    """Rows from numbers that are not zero, each there so many times, or once."""
    exponents = np.frexp(numbers)[1]
    first = int(exponents.min(initial=FAR))
    length = max(0, int(exponents.max(initial=-FAR)) - first + 1)
    sides = (numbers < 0, numbers > 0)
    signs = [np.bincount(exponents[s] - first, None if counts is None else counts[s], length).astype(int) for s in sides]
    there = np.flatnonzero(signs[0] + signs[1])
    negative, positive = (tuple(totals[there].tolist()) for totals in signs)
    return SignificantBits(name, kind, tuple((there + first).tolist()), negative, positive, zeros)
