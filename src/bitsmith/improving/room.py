"""Rounds matrices of weights so that no accumulator can leave a width, and their products change least all the same."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from bitsmith.improving.second_order import Line, descend, round_in_order, squared_error, summed
from bitsmith.numerics.formats import Array

SHARE = 4                           # of what must go goes at once
TRIED = (1.0, 0.5, 0.25, 0.125)     # of the scales at which nothing must be trimmed
LARGEST = 2.0**40


@dataclass(frozen=True)
class Room:
    """What accumulators may hold: signed integers of `bits` bits.

    low, high   of the inputs' codes, counted from their zero point, which is among them
    bias        real biases over the inputs' scale, [groups, channels]; None where there are none
    """

    bits: int
    low: int
    high: int
    bias: Array | None

    def excess(self, steps: Array, scale: Array) -> tuple[Array, Array]:
        """By how much the highest and the lowest accumulator of a channel leave the room; steps [..., terms], scale and bias [...].

        The bias counts one step more than it is, whichever way it will be rounded.
        """
        up, down = np.maximum(steps, 0).sum(-1), np.minimum(steps, 0).sum(-1)
        bias, spare = (0.0, 0) if self.bias is None else (self.bias / scale, 1)
        highest, lowest = bias + up * self.high + down * self.low, bias + up * self.low + down * self.high
        return highest + spare - (2.0**(self.bits - 1) - 1), -(2.0**(self.bits - 1)) - lowest + spare

    def fits(self, steps: Array, scale: Array) -> Array:
        """Which channels can never overflow."""
        over, under = self.excess(steps, scale)
        return np.asarray((over <= 0) & (under <= 0))

    def relief(self, steps: Array, over: Array, under: Array) -> Array:
        """How much of what is too much goes, where a step comes one nearer to 0; [..., terms]."""
        reach = np.where(steps > 0, self.high, -self.low), np.where(steps > 0, -self.low, self.high)
        gone = reach[0] * (over > 0)[..., None] + reach[1] * (under > 0)[..., None]
        return np.where(steps != 0, gone, 0)

    def allows(self, steps: Array, change: Array, index: tuple[Array, Array], scale: Array) -> Array:
        """Which changes of single steps keep the channels [groups, channels] at `index` within the room."""
        here = self if self.bias is None else replace(self, bias=self.bias[index])
        over, under = (side[:, None] for side in here.excess(steps, scale))
        after = steps + change
        up, down = (np.maximum(after, 0) - np.maximum(steps, 0)), (np.minimum(after, 0) - np.minimum(steps, 0))
        return np.asarray((over + up * self.high + down * self.low <= 0) & (under - up * self.low - down * self.high <= 0))


def round_within(weights: Array, goal: Array, line: Line, hessian: Array, room: Room) -> tuple[Array, Line]:
    """Real weights that codes have and whose sums fit, and where their codes lie: at the scale that loses least.

    Each scale is tried with codes rounded in order (GPTQ) and brought nearer to 0 where that costs least; at the best one, codes move
    where that gains. Room is always found: codes of 0 need none, and the larger the scale, the less a bias takes.
    """
    owner = line.shares[..., 0]
    best, found = np.zeros_like(weights), line.scale.copy()
    least = np.full(int(owner.max(initial=0)) + 1, np.inf)
    for tried in lines_for(line, weights, room):
        rounded = trim(goal, round_in_order(goal, tried, hessian), tried, hessian, room)
        fits = room.fits(rounded / tried.scale, tried.scale[..., 0])
        errors = summed(np.where(fits, squared_error(rounded - goal, hessian), np.inf), owner)
        wins = (errors < least)[owner][..., None]
        best, found = np.where(wins, rounded, best), np.where(wins, tried.scale, found)
        least = np.minimum(errors, least)
    line = replace(line, scale=found)
    return descend(goal, best, line, hessian, room), line


def lines_for(line: Line, weights: Array, room: Room) -> Iterator[Line]:
    """For each scale, the smallest doubling of it at which the nearest codes fit, then finer ones, which must be trimmed."""
    owner = line.shares[..., 0]
    factor = np.ones(int(owner.max(initial=0)) + 1)
    while (bad := misfits(line, weights, room, factor)).any() and factor.max() < LARGEST:
        factor[bad] *= 2
    for share in TRIED:
        yield scaled(line, np.maximum(1.0, factor * share))


def misfits(line: Line, weights: Array, room: Room, factor: Array) -> Array:
    """By number of scale, whether the nearest codes of the weights leave the room at these factors."""
    tried, owner = scaled(line, factor), line.shares[..., 0]
    return np.asarray(summed(~room.fits(tried.steps(weights), tried.scale[..., 0]), owner) > 0)


def scaled(line: Line, factor: Array) -> Line:
    """Each scale times the factor of its number."""
    return replace(line, scale=(line.scale * factor[line.shares]).astype(np.float32).astype(np.float64))


def trim(goal: Array, rounded: Array, line: Line, hessian: Array, room: Room) -> Array:
    """Steps nearer to 0, those first that cost least for the room they give, until every channel fits or is 0."""
    steps, steepness = np.rint(rounded / line.scale), np.diagonal(hessian, axis1=1, axis2=2)[:, None]
    while True:
        over, under = room.excess(steps, line.scale[..., 0])
        relief = room.relief(steps, over, under)
        wanted = np.maximum(over, under)
        late = (wanted > 0) & (relief > 0).any(-1)
        if not late.any():
            return np.asarray(steps * line.scale)
        change = -np.sign(steps) * line.scale
        cost = (2 * ((steps * line.scale - goal) @ hessian) + steepness * change) * change
        price = np.where(relief > 0, cost / np.maximum(relief, 1), np.inf)
        count = np.ceil(wanted / np.maximum(relief.max(-1), 1) / SHARE).clip(1, price.shape[-1]).astype(int)
        dearest = np.take_along_axis(np.sort(price, -1), count[..., None] - 1, -1)
        steps -= np.where(late[..., None] & (relief > 0) & (price <= dearest), np.sign(steps), 0)
