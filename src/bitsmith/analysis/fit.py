"""How well a number type holds the numbers of a tensor: from the numbers themselves, or from what was counted of them."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from math import sqrt
from typing import Any, Protocol

import numpy as np

from bitsmith.analysis.evaluate import decibels
from bitsmith.calibration.loss import ZERO_BIN
from bitsmith.calibration.statistics import Statistics
from bitsmith.numerics.formats import Array

CHUNK = 2**20
ROUNDING = 1e-12        # of a sum of squares; numbers that are not on edges add some thousandths


class NumberType(Protocol):
    """What FixedPointType and FloatType have in common."""

    @property
    def name(self) -> str: ...
    @property
    def minimum(self) -> float: ...
    @property
    def maximum(self) -> float: ...
    @property
    def step(self) -> float: ...
    @property
    def limits(self) -> tuple[float, float]: ...
    def steps_at(self, magnitudes: Array) -> Array: ...
    def represent(self, values: Array) -> Array: ...
    def is_beyond(self, values: Array) -> Array: ...


@dataclass(frozen=True)
class Fit:
    """How well a type holds numbers.

    below_precision   share of all numbers that are not zero and become zero
    beyond_range      share that are saturated
    rms_error, maximum_error   of what becomes of the numbers
    rms               of the numbers themselves
    """

    type: NumberType
    below_precision: float
    beyond_range: float
    rms_error: float
    maximum_error: float
    rms: float

    @property
    def relative_error(self) -> float:
        """rms error / rms of the numbers."""
        return self.rms_error / self.rms if self.rms else 0.0

    @property
    def snr_db(self) -> float:
        """Signal to noise in dB: 20 dB for a relative rms error of a tenth, 40 for a hundredth; infinite without error."""
        return decibels(self.rms, self.rms_error) * 2

    def to_dict(self) -> dict[str, Any]:
        """As plain data for JSON."""
        figures = ("below_precision", "beyond_range", "rms_error", "maximum_error", "relative_error", "snr_db")
        named = {"type": self.type.name, "type_minimum": self.type.minimum, "type_maximum": self.type.maximum}
        return {**named, **{figure: getattr(self, figure) for figure in figures}}


class Numbers(Protocol):
    """The numbers of a tensor, as far as a type for them needs to know them."""

    @property
    def count(self) -> int: ...
    @property
    def minimum(self) -> float: ...
    @property
    def maximum(self) -> float: ...
    def measure(self, type: NumberType) -> Fit: ...


@dataclass(frozen=True, eq=False)
class Held:
    """Numbers that are there, at least one of them finite; infinite ones (of masks) are left out. Every figure is exact."""

    values: Array

    @cached_property
    def count(self) -> int:
        return sum(part.size for part in self.chunks())

    @cached_property
    def minimum(self) -> float:
        return min(float(part.min()) for part in self.chunks())

    @cached_property
    def maximum(self) -> float:
        return max(float(part.max()) for part in self.chunks())

    @cached_property
    def rms(self) -> float:
        return sqrt(sum(float(part @ part) for part in self.chunks()) / self.count)

    def chunks(self) -> Iterator[Array]:
        """The finite numbers in parts, float64."""
        flat = np.ravel(self.values)
        for start in range(0, flat.size, CHUNK):
            part = flat[start:start + CHUNK].astype(np.float64)
            if (finite := part[np.isfinite(part)]).size:
                yield finite

    def measure(self, type: NumberType) -> Fit:
        lost = saturated = 0
        squares = largest = 0.0
        for part in self.chunks():
            real, beyond = type.represent(part), type.is_beyond(part)
            errors = real - part
            lost += int(((real == 0) & (part != 0) & ~beyond).sum())
            saturated += int(beyond.sum())
            squares, largest = squares + float(errors @ errors), max(largest, float(np.abs(errors).max()))
        return Fit(type, lost / self.count, saturated / self.count, sqrt(squares / self.count), largest, self.rms)


@dataclass(frozen=True, eq=False)
class Counted:
    """Numbers of which only statistics are left: counts in bins that are less than 0.8 % wide.

    The share below precision is exact, for half a step is a power of two and so an edge of bins (ties going away from zero). The share
    beyond range is exact where the limit is an edge, which has eight significant bits at most (127.5 steps, not 128.5), and where nothing
    saturates; else the count of the one bin that holds the limit is divided as if its numbers were spread evenly. The rms error takes
    the numbers of every bin as spread evenly. The maximum error is an upper bound, never more than half a step too large, and exact where
    saturation makes it. Minimum, maximum and rms are exact.

    Numbers of eight significant bits, as of pixels from 0 to 255, lie on the edges of their bins: then all figures are exact.
    """

    statistics: Statistics

    @property
    def count(self) -> int:
        return self.statistics.count

    @property
    def minimum(self) -> float:
        return self.statistics.minimum

    @property
    def maximum(self) -> float:
        return self.statistics.maximum

    @cached_property
    def rms(self) -> float:
        return sqrt(self.statistics.mean_square)

    @cached_property
    def bins(self) -> tuple[Array, Array, Array]:
        """(low, high, share), float64 [n]: no wider than the extremes allow, zero where zero is, and points where all lie on edges.

        No number is less in magnitude than the edge of its bin nearer to zero; so all are on it where their squares sum up to no more.
        """
        low, high, counts = self.statistics.bins()
        low, high = (np.clip(np.where(abs(edge) <= ZERO_BIN, 0, edge), self.minimum, self.maximum) for edge in (low, high))
        share, near = counts / self.count, np.where(low < 0, high, low)
        on_edges = abs(float(near**2 @ share) - self.statistics.mean_square) <= ROUNDING * self.statistics.mean_square
        return (near, near, share) if on_edges else (low, high, share)

    def measure(self, type: NumberType) -> Fit:
        low, high, share = self.bins
        points, ends = low == high, np.array([self.minimum, self.maximum])
        below = np.where(points, (type.represent(low) == 0) & (low != 0) & ~type.is_beyond(low), is_within(low, high, type.step / 2))
        beyond = np.where(points, type.is_beyond(low), share_beyond(low, high, type.limits))
        if not type.is_beyond(ends).any():
            beyond = np.zeros_like(beyond)
        squares = np.where(points, (type.represent(low) - low) ** 2, mean_squared_error(low, high, type))
        rms_error, at_ends = sqrt(float(squares @ share)), float(np.abs(type.represent(ends) - ends).max())
        reach = float(np.abs(np.clip(ends, *type.limits)).max())
        at_points = float(np.abs(type.represent(low) - low).max())
        inside = at_points if points.all() else min(float(type.steps_at(np.asarray(reach))) / 2, reach)
        return Fit(type, float(below @ share), float(beyond @ share), rms_error, max(at_ends, inside), self.rms)


def is_within(low: Array, high: Array, magnitude: float) -> Array:
    """Whether bins hold only numbers of less than a magnitude, which is no number inside of a bin."""
    return np.asarray((low >= -magnitude) & (high <= magnitude))


def share_beyond(low: Array, high: Array, limits: tuple[float, float]) -> Array:
    """The part of each bin that lies outside of the limits."""
    width = np.where(high > low, high - low, 1)
    return np.asarray(np.clip((limits[0] - low) / width, 0, 1) + np.clip((high - limits[1]) / width, 0, 1))


def mean_squared_error(low: Array, high: Array, type: NumberType) -> Array:
    """Of numbers spread evenly in each bin, within which steps are equal."""
    step = type.steps_at(np.minimum(np.abs(low), np.abs(high)))
    limits = [limit / step for limit in type.limits]
    ends = [integrate_squared_error(edge / step, limits[0], limits[1]) for edge in (low, high)]
    return np.asarray((ends[1] - ends[0]) / np.where(high > low, (high - low) / step, 1) * step**2)


def integrate_squared_error(steps: Array, lowest: Array, highest: Array) -> Array:
    """The integral from 0 of (round(t) - t)^2, and beyond the limits of the growing distance from the last code, in steps.

    Each whole step gives 1/12, the rest r gives r^3/3; u beyond a limit, where half a step is missing already, ((u + 1/2)^3 - 1/8)/3.
    """
    inside = np.clip(steps, lowest, highest)
    whole = np.rint(inside)
    outside = steps - inside
    excess = np.copysign((np.abs(outside) + 0.5) ** 3 - 0.125, outside) / 3
    return np.asarray(whole / 12 + (inside - whole) ** 3 / 3 + np.where(outside == 0, 0, excess))
