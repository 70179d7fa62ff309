"""What a format loses of a set of numbers: the share beyond its range, the share too small for it, and the bits of each number."""

from collections.abc import Callable

import numpy as np

from bitsmith.analysis.significant_bits import bits_of_statistics
from bitsmith.calibration.statistics import Statistics
from bitsmith.numerics import Encoding
from bitsmith.numerics.formats import Array
from bitsmith.report.rows import Distribution, Significant

MOST_PARTS = 64         # of a distribution
ERROR_PARTS = 40
BEYOND = 0.5            # how far, in spans of the codes, a distribution is shown beyond them


def significant_bits(statistics: Statistics) -> Significant:
    """The most significant bit of every number, by sign. Exact."""
    found = bits_of_statistics("", statistics)
    return Significant(found.exponents, found.positive, found.negative, found.zeros)


def lost_of_counted(statistics: Statistics, encoding: Encoding) -> tuple[float, float]:
    """(clipped, underflow): shares of all numbers that saturate, more than half a step beyond the codes, and of those not 0 that become 0.

    One scale. Numbers of a bin (under 0.8 % wide) that holds such a limit count as spread evenly over it.
    """
    half = float(encoding.scale.reshape(())) / 2
    below = shares_below(statistics)
    lowest, highest = float(encoding.lowest.reshape(())), float(encoding.highest.reshape(()))
    under, over = below(np.asarray([lowest - half, highest + half]))
    inner = below(np.asarray([-half, half]))
    return float(under + 1 - over), max(0.0, float(inner[1] - inner[0]) - statistics.zeros / statistics.count)


def shares_below(statistics: Statistics) -> Callable[[Array], Array]:
    """limit -> the share of numbers below it; linear within a bin, and bins cut at the exact extremes."""
    low, high, counts = statistics.bins()
    low[0], high[-1] = max(low[0], statistics.minimum), min(high[-1], max(statistics.maximum, low[-1]))
    edges = np.stack([low, high], 1).ravel()
    shares = np.repeat(np.concatenate([[0], np.cumsum(counts)]), 2)[1:-1] / counts.sum()
    return lambda limits: np.interp(limits, edges, shares, 0.0, 1.0)


def lost_of_array(array: Array, encoding: Encoding) -> tuple[Array, Array]:
    """(clipped, underflow) of an array, bool of its shape: number by number, whatever its blocks."""
    scale, zero = (encoding.blocks.spread(part, array.shape).astype(np.float64) for part in (encoding.scale, encoding.zero_point))
    steps, (low, high) = array / scale, encoding.format.limits          # float64
    clipped = (steps < low - zero) | (steps > high - zero)
    return clipped, (array != 0) & (encoding.simulate(array) == 0) & ~clipped


def parts_of(low: float, high: float, encoding: Encoding | None) -> Array:
    """Edges of equal parts of a range. With one scale they lie between codes, so that each part holds equally many of them.

    Not so for floating point, whose codes are no equal steps.
    """
    if not high > low:
        low, high = low - 0.5, high + 0.5
    if encoding is None or encoding.scale.size != 1 or not encoding.format.integral:
        return np.linspace(low, high, MOST_PARTS + 1)
    step, lowest, highest = (float(x.reshape(())) for x in (encoding.scale, encoding.lowest, encoding.highest))
    beyond = BEYOND * max(highest - lowest, step)
    first, last = (np.rint(min(max(end, lowest - beyond), highest + beyond) / step) for end in (min(low, lowest), max(high, highest)))
    codes = int(last - first) + 1
    each = -(-codes // MOST_PARTS)                          # codes in a part
    cuts = 1 if each > 1 else max(1, (MOST_PARTS // codes - 1) // 2 * 2 + 1)      # odd, so that a code lies in the middle of its part
    count = -(-codes // each) * cuts
    return np.asarray((first - 0.5 + np.arange(count + 1) * (each / cuts)) * step)


def distribution_of_counted(statistics: Statistics, encoding: Encoding | None, codes: Array | None) -> Distribution:
    """Of a computed value: float numbers, and how often each code was given."""
    edges = parts_of(statistics.minimum, statistics.maximum, encoding)
    below = shares_below(statistics)(edges)
    below[0], below[-1] = 0, 1                              # what lies outside is in the last parts
    quantized = None
    if encoding is not None and codes is not None:
        every = np.arange(encoding.format.lowest, encoding.format.highest + 1)
        reals = (every - int(encoding.zero_point.reshape(()))) * float(encoding.scale.reshape(()))
        quantized = pooled(reals, edges, codes)
    return Distribution(float(edges[0]), float(edges[-1]), tuple(np.diff(below).tolist()), quantized)


def distribution_of_array(array: Array, encoding: Encoding | None) -> Distribution:
    edges = parts_of(float(array.min()), float(array.max()), encoding)
    quantized = None if encoding is None else pooled(encoding.simulate(array).ravel(), edges, None)
    return Distribution(float(edges[0]), float(edges[-1]), pooled(array.ravel(), edges, None), quantized)


def errors_of_counted(statistics: Statistics) -> Distribution | None:
    """Of differences; None where all are 0."""
    low, high = statistics.minimum, statistics.maximum
    if not low < high:
        return None
    below = shares_below(statistics)(np.linspace(low, high, ERROR_PARTS + 1))
    below[0], below[-1] = 0, 1
    return Distribution(low, high, tuple(np.diff(below).tolist()))


def errors_of_array(errors: Array) -> Distribution | None:
    """Of differences; None where all are 0."""
    low, high = float(errors.min()), float(errors.max())
    return Distribution(low, high, pooled(errors.ravel(), np.linspace(low, high, ERROR_PARTS + 1), None)) if low < high else None


def pooled(numbers: Array, edges: Array, counts: Array | None) -> tuple[float, ...]:
    """Shares by part; numbers outside are in the last parts."""
    found = np.histogram(np.clip(numbers, edges[0], edges[-1]), edges, weights=counts)[0]
    return tuple((found / max(1, found.sum())).tolist())
