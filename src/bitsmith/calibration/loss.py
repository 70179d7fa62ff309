"""What the codes of an encoding lose of numbers of which only counts are left: exact integrals over bins, many encodings at once."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np

from bitsmith.calibration.statistics import Statistics
from bitsmith.numerics import Encoding, Integer
from bitsmith.numerics.formats import Array

ZERO_BIN = 2.0**-133    # the edge of the bin that zero is in; whatever else is in it might as well be zero
ON_EDGES = 1e-12        # of a sum of squares; numbers that are not on edges add some thousandths


class Divided(NamedTuple):
    """A spread as a sum over edges: sum(F(edges) slopes) is the sum over bins of share (F(high) - F(low)) / (high - low); points beside it.

    All float64: edges, slopes [m], ascending; points, shares [k].
    """

    edges: Array
    slopes: Array
    points: Array
    shares: Array


@dataclass(frozen=True, eq=False)
class Spread:
    """Numbers as bins over which they lie evenly, and as single points (zeros always, and numbers of eight significant bits).

    Everything is in units of the largest magnitude, so that a tensor times a power of two has the same spread.

    unit      that magnitude, not 0
    low, high, shares   float64 [n]   of each bin, from the lowest on: edges, and how many of all numbers are in it; low == high for points
    """

    unit: float
    low: Array
    high: Array
    shares: Array

    @cached_property
    def divided(self) -> Divided:
        """Computed once for all encodings that are tried."""
        point = self.low == self.high
        low, high, shares = self.low[~point], self.high[~point], self.shares[~point]
        density = shares / (high - low)
        edges, slopes = np.stack([low, high], 1).ravel(), np.stack([-density, density], 1).ravel()
        starts = np.flatnonzero(np.diff(edges, prepend=-np.inf))        # neighbours share an edge
        return Divided(edges[starts], np.add.reduceat(slopes, starts) if starts.size else slopes, self.low[point], self.shares[point])


def spread_numbers(statistics: Statistics) -> Spread:
    """The numbers of a tensor that is not all zero. No bin is wider than the exact extremes allow."""
    low, high, counts = statistics.bins()
    minimum, maximum = statistics.minimum, statistics.maximum
    low, high = (np.clip(np.where(abs(edge) <= ZERO_BIN, 0, edge), minimum, maximum) for edge in (low, high))
    shares, near = counts / statistics.count, np.where(low < 0, high, low)
    if abs(float(near**2 @ shares) - statistics.mean_square) <= ON_EDGES * statistics.mean_square:
        low = high = near       # no number is nearer to zero than the inner edge of its bin: so all are on it
    unit = max(-minimum, maximum)
    return Spread(unit, low / unit, high / unit, shares)


def losses(spread: Spread, encodings: Encoding, power: float) -> Array:
    """Mean of |real - decoded|^power under each of many encodings (one block each), float64 [n], in units of the spread's.

    In steps, the error of t is |t - code|. Its integral from 0 is that of `code` whole steps and the rest r = t - code, clipped or not:
    (code 2^-power + sign(r) |r|^(power + 1)) / (power + 1).
    """
    if not isinstance(encodings.format, Integer):
        return losses_of_centres(spread, encodings, power)
    scale = encodings.scale.astype(np.float64)[:, None] / spread.unit
    zero_point = encodings.zero_point[:, None].astype(np.float64)
    ends = encodings.format.lowest - zero_point, encodings.format.highest - zero_point
    edges, slopes, points, shares = spread.divided
    far = np.abs(edges) > scale.min() / 2       # what is nearer becomes 0 whatever the scale
    near = np.copysign(raised(edges[~far], power + 1), edges[~far]) @ slopes[~far]
    steps = edges[far] / scale
    codes = np.clip(np.rint(steps), *ends)
    rest = steps - codes
    integrals = (codes * 0.5**power + np.copysign(raised(rest, power + 1), rest)) @ slopes[far]
    steps = points / scale
    exact = raised(steps - np.clip(np.rint(steps), *ends), power) @ shares
    lost = (near + integrals * scale[:, 0] ** (power + 1)) / (power + 1) + exact * scale[:, 0] ** power
    return np.asarray(lost)


def losses_of_centres(spread: Spread, encodings: Encoding, power: float) -> Array:
    """The same for any format, as if all numbers of a bin were in its middle."""
    real = ((spread.low + spread.high) / 2)[None] * spread.unit
    one_a_row = replace(encodings, scale=encodings.scale[:, None], zero_point=encodings.zero_point[:, None])
    decoded = one_a_row.simulate(np.repeat(real.astype(np.float32), encodings.scale.size, 0))
    return np.asarray(raised((real - decoded) / spread.unit, power) @ spread.shares)


def raised(numbers: Array, power: float) -> Array:
    """|numbers|^power. (Products are ten times as quick as numpy's power.)"""
    size = np.abs(numbers)
    if power in (2, 3):
        return np.asarray(size * size if power == 2 else size * size * size)
    return np.asarray(size**power)
