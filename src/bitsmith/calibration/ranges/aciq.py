"""Clipping where a Gaussian or Laplace distribution has its least mean squared error: no search, two moments."""

from functools import cache
from math import erf, erfc, exp, pi, sqrt
from typing import NamedTuple

import numpy as np

from bitsmith.calibration.loss import Spread, spread_numbers
from bitsmith.calibration.ranges import Placing, Range
from bitsmith.calibration.statistics import Statistics
from bitsmith.numerics.formats import Array

DISTRIBUTIONS = ("gauss", "laplace")
HALVINGS = 60
ENOUGH = 500        # edges at which shares are compared


class Shape(NamedTuple):
    """A distribution about `centre`: its standard deviation and mean distance; `half`: all numbers are on one side of 0."""

    centre: float
    deviation: float
    distance: float
    half: bool


def aciq(statistics: Statistics, placing: Placing, *, distribution: str = "fit") -> Range:
    """Centre minus and plus alpha, where clipping and rounding errors of the distribution together are least; no wider than what was seen.

    distribution  'gauss', 'laplace', or 'fit': the one whose cumulative shares are the nearer to the tensor's

    Numbers of one sign are one half of a distribution about 0, as after a Relu, with all codes on one side; zeros, which cost nothing,
    do not count. Raises StatisticsError where no number was counted.
    Source: Banner 2019, *Post-training 4-bit quantization of convolution networks for rapid-deployment*, equations 2 to 6.
    """
    minimum, maximum = statistics.minimum, statistics.maximum
    if minimum == maximum:
        return Range(minimum, maximum)
    spread = spread_numbers(statistics)
    shape = shape_of(spread, placing.symmetric)
    chosen = fitting(spread, shape) if distribution == "fit" else distribution
    reach = alpha(chosen, 2**placing.format.bits * (2 if one_sided_codes(placing, shape) else 1))
    reach *= spread.unit * (shape.deviation if chosen == "gauss" else shape.distance)
    centre = spread.unit * shape.centre
    return Range(min(max(minimum, centre - reach), maximum), max(min(maximum, centre + reach), minimum))


def one_sided_codes(placing: Placing, shape: Shape) -> bool:
    """True where a half distribution has all codes: not where they are signed and symmetric."""
    return shape.half and not (placing.symmetric and placing.format.lowest < 0)


def shape_of(spread: Spread, symmetric: bool) -> Shape:
    """About the mean; about 0 for numbers of one sign, and where codes are symmetric about it."""
    middle = (spread.low + spread.high) / 2
    half = bool(spread.low[0] >= 0 or spread.high[-1] <= 0)
    share = np.where((spread.low == 0) & (spread.high == 0), 0, spread.shares) if half else spread.shares
    share = share / share.sum()
    centre = 0.0 if half or symmetric else float(middle @ share)
    return Shape(centre, sqrt(float((middle - centre) ** 2 @ share)), float(np.abs(middle - centre) @ share), half)


def fitting(spread: Spread, shape: Shape) -> str:
    """The distribution whose cumulative shares stay nearer to those of the numbers (the statistic of Kolmogorov and Smirnov)."""
    share = np.where((spread.low == 0) & (spread.high == 0), 0, spread.shares) if shape.half else spread.shares
    after = np.cumsum(share)
    found = np.concatenate([after - share, after]) / after[-1]
    edges = np.concatenate([spread.low, spread.high]) - shape.centre
    some = slice(None, None, max(1, edges.size // ENOUGH))
    edges, found = edges[some], found[some]
    if shape.half:      # the share up to |x| of one half is twice the share between 0 and x of the whole
        found = found if spread.high[-1] > 0 else found - 1

    def distance(below: Array) -> float:
        return float(np.abs((2 * below - 1 if shape.half else below) - found).max())

    size = np.exp(-np.abs(edges) / shape.distance) / 2
    laplace = np.where(edges < 0, size, 1 - size)
    gauss = np.array([(1 + erf(edge)) / 2 for edge in (edges / (shape.deviation * sqrt(2))).tolist()])
    return "gauss" if distance(gauss) <= distance(laplace) else "laplace"


@cache
def alpha(distribution: str, codes: int) -> float:
    """Where to clip, in deviations (gauss) or mean distances (laplace), with so many codes from -alpha to alpha.

    The least of 2 * integral over x > alpha of (x - alpha)^2 p(x), which is clipped, + alpha^2 / (3 codes^2), which is rounded.
    """
    clipped = clipped_slope_of_gauss if distribution == "gauss" else clipped_slope_of_laplace
    low, high = 0.0, 100.0
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if 2 * middle / (3 * codes**2) < clipped(middle) else (low, middle)
    return high


def clipped_slope_of_laplace(a: float) -> float:
    """How fast the clipped error falls: -d/da 2 exp(-a)."""
    return 2 * exp(-a)


def clipped_slope_of_gauss(a: float) -> float:
    """4 (density(a) - a share beyond a)."""
    return 4 * (exp(-a * a / 2) / sqrt(2 * pi) - a * erfc(a / sqrt(2)) / 2)


def read_distribution(text: str) -> str:
    if text not in (*DISTRIBUTIONS, "fit"):
        raise ValueError(f"needs gauss, laplace or fit, not {text}")
    return text


OPTIONS = {"distribution": read_distribution}
