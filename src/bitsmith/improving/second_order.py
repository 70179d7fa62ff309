"""Rounds matrices of weights so that their products change least. Knows weights [groups, channels, terms], where codes lie, and moments."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from bitsmith.numerics.encoding import are_powers_of_two
from bitsmith.numerics.formats import Array, Format

DAMPING = 0.01                                          # of the mean of the diagonal, so that rare inputs do not rule (GPTQ's choice)
ROUNDING = 2.0**-17                                     # of all that was summed: more than float32 leaves of it where means cancel
UNDONE = 0.5                                            # of earlier errors; all of them would shrink weights: least squares mistrust noise
BLOCK = 64                                              # columns that are brought up to date one by one; all others once a block
FACTORS = (1.0, 0.925, 0.85, 0.775, 0.7, 0.6)           # of the scales, all tried
REFITS = 2
AT_ONCE = 2**23                                         # numbers: how much of all trials is held
MOST_WORK = 2**28                                       # numbers that descent may look at
LEAST_GAIN = 1e-9                                       # of a step's own error: below it rounding errors would make codes swing


@dataclass(frozen=True)
class Moments:
    """Sums over rows: of inputs x [groups, rows, terms], and of what the layer's results lack r [groups, rows, channels].

    count, x [groups, terms], r [groups, channels], xx [groups, terms, terms], rx [groups, channels, terms], in float64
    """

    count: int
    x: Array
    r: Array
    xx: Array
    rx: Array

    @classmethod
    def of(cls, x: Array, r: Array) -> "Moments":
        """Of one batch, float32: products are summed in float32, batches in float64."""
        sums = (x.sum(1, dtype=np.float64), r.sum(1, dtype=np.float64))
        return cls(x.shape[1], *sums, *((a.swapaxes(1, 2) @ x).astype(np.float64) for a in (x, r)))

    def merge(self, other: "Moments") -> "Moments":
        """Of both batches together."""
        return Moments(self.count + other.count, self.x + other.x, self.r + other.r, self.xx + other.xx, self.rx + other.rx)

    def centred(self) -> "Moments":
        """About the means: what is left to the weights where a bias takes the means."""
        x, r = self.x / self.count, self.r / self.count
        xx = self.xx - self.count * x[:, :, None] * x[:, None, :]
        return replace(self, xx=xx, rx=self.rx - self.count * r[:, :, None] * x[:, None, :])

    def hessian(self) -> Array:
        """Half the second derivatives of the squared error by the weights, damped: [groups, terms, terms], positive definite."""
        terms, trace = self.xx.shape[-1], np.trace(self.xx, axis1=1, axis2=2)
        summed = trace + np.square(self.x).sum(1) / self.count
        damping = np.maximum(DAMPING * (trace / terms), ROUNDING * summed)
        return np.asarray(self.xx + np.where(damping > 0, damping, DAMPING)[:, None, None] * np.eye(terms))

    def goal(self, weights: Array, hessian: Array) -> Array:
        """The real weights to round: on the way from those given to w + r x' h^-1, which come nearest to what is wanted."""
        return np.asarray(weights + UNDONE * np.linalg.solve(hessian, self.rx.swapaxes(1, 2)).swapaxes(1, 2))


@dataclass(frozen=True)
class Line:
    """Where codes lie: real = scale * (code - zero point); scale and zero point [groups, channels, terms].

    shares  the number of the scale that each weight has, likewise
    """

    format: Format
    scale: Array
    zero_point: Array
    shares: Array

    def nearest(self, real: Array) -> Array:
        """The real numbers of the nearest codes."""
        return self.steps(real) * self.scale

    def steps(self, real: Array) -> Array:
        return np.asarray(self.format.decode(self.format.encode(real / self.scale, self.zero_point)) - self.zero_point)

    def at(self, index: tuple[object, ...]) -> "Line":
        """The lines of some of the weights."""
        return Line(self.format, self.scale[index], self.zero_point[index], self.shares[index])     # type: ignore[index]

    def times(self, factors: Sequence[float]) -> "Line":
        """With scales times each factor, one below the other along the channels."""
        count = len(factors)
        zero_point, shares = (np.concatenate([a] * count, 1) for a in (self.zero_point, self.shares))
        return Line(self.format, np.concatenate([np.float32(f) * self.scale for f in factors], 1), zero_point, shares)

    @property
    def segments(self) -> list[slice]:
        """Columns along which every channel keeps its scale."""
        cuts = np.flatnonzero((np.diff(self.shares, axis=2) != 0).any((0, 1))) + 1
        return [slice(a, b) for a, b in zip([0, *cuts], [*cuts, self.shares.shape[2]], strict=True)]

    @property
    def movable(self) -> bool:
        """True where scales can be chosen: one for whole channels, or several for one channel alone; none a power of two on purpose."""
        firsts = np.stack([self.shares[..., s.start] for s in self.segments], -1)
        apart = len(self.segments) == 1 or len(np.unique(firsts)) == firsts.size
        return apart and not are_powers_of_two(self.scale)


@dataclass(frozen=True)
class Rounded:
    """weights  real numbers that codes have, [groups, channels, terms]
    line     where the codes lie now
    error, nearest_error   squared error of what is made, of these weights and of those rounded to nearest, over all channels
    """

    weights: Array
    line: Line
    error: float
    nearest_error: float


def round_weights_of(weights: Array, line: Line, moments: Moments, *, keep_scales: bool = False) -> Rounded:
    """Weights with codes, and the scales that suit them, so that the squared error of what they make is small.

    By the quadratic error of every channel never worse than the nearest codes of the weights: these are where descent may begin, too.
    """
    hessian = moments.hessian()
    goal, kept = moments.goal(weights, hessian), keep_scales or not line.movable
    nearest = line.nearest(weights)
    rounded, found = choose(goal, nearest, line, hessian, FACTORS[:1] if kept else FACTORS)
    rounded = descend(goal, rounded, found, hessian)
    for _ in range(0 if kept else REFITS):
        better = refit(goal, rounded, found, hessian)
        rounded, found = descend(goal, better.scale * (rounded / found.scale), better, hessian), better
    errors = (float(squared_error(w - goal, hessian).sum()) for w in (rounded, nearest))
    return Rounded(rounded, found, *errors)


def squared_error(difference: Array, hessian: Array) -> Array:
    """d h d' of each channel: [groups, channels]."""
    return np.asarray(((difference @ hessian) * difference).sum(2))


def choose(goal: Array, nearest: Array, line: Line, hessian: Array, factors: Sequence[float]) -> tuple[Array, Line]:
    """Of the nearest codes and of those rounded in order at each factor, the best for all channels that share a scale."""
    owner = line.shares[..., 0]
    best, found = nearest.copy(), line.scale.copy()
    least = summed(squared_error(nearest - goal, hessian), owner)
    for some in pieces(factors, max(1, AT_ONCE // max(1, goal.size))):
        lines = line.times(some)
        tried = round_in_order(np.concatenate([goal] * len(some), 1), lines, hessian)
        for weights, scale in zip(np.split(tried, len(some), 1), np.split(lines.scale, len(some), 1), strict=True):
            errors = summed(squared_error(weights - goal, hessian), owner)
            wins = (errors < least)[owner][..., None]
            best, found = np.where(wins, weights, best), np.where(wins, scale, found)
            least = np.minimum(errors, least)
    return best, replace(line, scale=found)


def pieces(items: Sequence[float], size: int) -> Iterator[Sequence[float]]:
    return (items[start:start + size] for start in range(0, len(items), size))


def summed(values: Array, owner: Array) -> Array:
    """Sums by number of owner."""
    return np.bincount(owner.ravel(), values.ravel(), minlength=int(owner.max(initial=0)) + 1)


def round_in_order(weights: Array, line: Line, hessian: Array) -> Array:
    """Column after column to the nearest code, each error made good by the columns still to come (Frantar 2022, algorithm 1)."""
    upper = np.linalg.cholesky(np.linalg.inv(hessian)).swapaxes(1, 2)
    left, rounded, terms = weights.copy(), np.empty_like(weights), weights.shape[2]
    for begin in range(0, terms, BLOCK):
        end = min(begin + BLOCK, terms)
        errors = np.empty((*weights.shape[:2], end - begin))
        for j in range(begin, end):
            rounded[..., j] = line.at((..., j)).nearest(left[..., j])
            errors[..., j - begin] = (left[..., j] - rounded[..., j]) / upper[:, None, j, j]
            left[..., j + 1:end] -= errors[..., j - begin, None] * upper[:, None, j, j + 1:end]
        left[..., end:] -= errors @ upper[:, begin:end, end:]
    return rounded


class Allows(Protocol):
    """Which changes of codes may be made."""

    def allows(self, steps: Array, change: Array, index: tuple[Array, Array], scale: Array) -> Array: ...


def descend(goal: Array, rounded: Array, line: Line, hessian: Array, limit: Allows | None = None) -> Array:
    """In each channel, again and again, the one change of a code that gains most and is allowed, until none gains."""
    rounded = rounded.copy()
    groups, channels, terms = goal.shape
    slopes, steepness = (rounded - goal) @ hessian, np.diagonal(hessian, axis1=1, axis2=2)
    group, channel = (a.ravel() for a in np.indices((groups, channels)))
    for _ in range(min(terms, max(1, MOST_WORK // max(1, goal.size)))):
        now, slope, steep = rounded[group, channel], slopes[group, channel], steepness[group]
        lines = line.at((group, channel))
        change = lines.nearest(now - slope / steep) - now
        gain = -(2 * slope + steep * change) * change
        if limit is not None:
            scale = lines.scale
            gain = np.where(limit.allows(np.rint(now / scale), np.rint(change / scale), (group, channel), scale[:, 0]), gain, -np.inf)
        rows, best = np.arange(len(gain)), gain.argmax(1)
        gains = gain[rows, best] > LEAST_GAIN * steep[rows, best] * lines.scale[rows, best] ** 2
        if not gains.any():
            break
        group, channel, best, step = group[gains], channel[gains], best[gains], change[rows, best][gains]
        rounded[group, channel, best] += step
        slopes[group, channel] += step[:, None] * hessian[group, best]
    return rounded


def refit(goal: Array, rounded: Array, line: Line, hessian: Array) -> Line:
    """The scales at which the same codes do best: least squares, one segment of columns after the other."""
    scale, steps = line.scale.copy(), rounded / line.scale
    for segment in line.segments:
        along = steps[..., segment]
        slope = ((goal - steps * scale) @ hessian[..., segment] * along).sum(2)
        steep = (along @ hessian[:, segment, segment] * along).sum(2)
        owner = line.shares[..., segment.start]
        wanted, given = summed(slope, owner), summed(steep, owner)
        change = np.divide(wanted, given, out=np.zeros_like(wanted), where=given > 0)[owner][..., None]
        moved = np.float32(scale[..., segment] + change).astype(np.float64)
        scale[..., segment] = np.where(moved > scale[..., segment] / 4, moved, scale[..., segment])
    return replace(line, scale=scale)
