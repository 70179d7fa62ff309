"""The end of a search: the cheapest point that keeps the tolerance on samples that the search never saw, and what there is to say."""

import math
from collections.abc import Iterator
from dataclasses import replace
from time import monotonic

from bitsmith.analysis.pareto import cheapest
from bitsmith.analysis.search_hunt import CLOSE, STRIDE, Hunt, allowed
from bitsmith.analysis.search_points import Search

MOST_CONFIRMED = 5          # points that are looked at on the samples held out


def confirmed(hunt: Hunt) -> Search:
    """The cheapest point found that keeps the tolerance on the samples held out, too."""
    chosen, lost, looks = step_back(hunt)
    if chosen is not None:
        chosen = narrow(hunt, chosen, lost, MOST_CONFIRMED + 1 - looks)
    hunt.keep(replace(hunt.found, chosen=chosen, notes=(*hunt.found.notes, *last_words(hunt, chosen))))
    return hunt.found


def step_back(hunt: Hunt) -> tuple[int | None, float, int]:
    """The cheapest point; after each that loses too much, one by a margin of twice as many standard errors and of less noise, since points
    beside it would fail likewise; there a quarter of the noise is measured first.

    Also the least noise of a point that lost too much, and how many points were looked at.
    """
    lost = math.inf
    for looks in range(MOST_CONFIRMED + 1):
        measure_at(hunt, lost / STRIDE)
        number = cheapest_within(hunt, lost * (1 - CLOSE) if looks < MOST_CONFIRMED else 0.0, 2.0**looks)
        if number is None or keeps(hunt, number):
            return number, lost, looks + 1
        lost = min(lost, hunt.noise(hunt.found.points[number]))
    return None, lost, MOST_CONFIRMED + 1


def narrow(hunt: Hunt, chosen: int, lost: float, looks: int) -> int:
    """Cheaper points, half way in noise to what loses too much, as long as there are looks left and time to measure."""
    kept = hunt.noise(hunt.found.points[chosen])
    while looks and monotonic() < hunt.ends and kept * (1 + CLOSE) < lost < math.inf:
        between, best = math.sqrt(lost * kept), hunt.found.points[chosen]
        tried = cheapest(hunt.problem, between)
        if tried is None or hunt.problem.cost.total(tried) >= hunt.problem.cost.total(best.assignment()):
            kept = between
            continue
        hunt.measure(tried)
        number = cheapest_within(hunt, between, 1.0)
        if number is None or hunt.cost(hunt.found.points[number]) >= hunt.cost(best):
            lost = between
            continue
        looks -= 1
        if keeps(hunt, number):
            chosen, kept = number, hunt.noise(hunt.found.points[number])
        else:
            lost = hunt.noise(hunt.found.points[number])
    return chosen


def measure_at(hunt: Hunt, noise: float) -> None:
    """The cheapest assignment for so much noise, if there is time."""
    tried = cheapest(hunt.problem, noise) if noise < math.inf and monotonic() < hunt.ends else None
    if tried is not None:
        hunt.measure(tried)


def keeps(hunt: Hunt, number: int) -> bool:
    """Does the point keep the tolerance on the samples held out?"""
    confirmed = hunt.confirm(number).confirmed
    return confirmed is not None and confirmed.drop <= hunt.goal.tolerance


def cheapest_within(hunt: Hunt, noise: float, margin: float) -> int | None:
    """The cheapest point within the tolerance by so many standard errors that has at most so much noise; where there is none, the
    quietest that may still do."""
    fit = [n for n, p in enumerate(hunt.found.points) if hunt.within(p) and allowed(hunt.problem, p.assignment())]
    sure = [n for n in fit if margin == 1 or hunt.found.points[n].searched.at_most(margin) <= hunt.goal.tolerance]
    quiet = [n for n in sure if hunt.noise(hunt.found.points[n]) <= noise]
    if quiet:
        return min(quiet, key=lambda n: hunt.cost(hunt.found.points[n]))
    left = [n for n in fit if (c := hunt.found.points[n].confirmed) is None or c.drop <= hunt.goal.tolerance]
    return min(left, key=lambda n: hunt.noise(hunt.found.points[n]), default=None)


def last_words(hunt: Hunt, chosen: int | None) -> Iterator[str]:
    """How the search ended."""
    looked = sum(p.confirmed is not None for p in hunt.found.points)
    if chosen is None:
        best = min(hunt.found.points, key=lambda p: (p.searched.drop, hunt.cost(p)))
        yield (f"nothing keeps the tolerance of {100 * hunt.goal.tolerance:g} points; the best that was measured loses "
               f"{100 * best.searched.drop:.2f} points on {best.searched.samples:,} samples"
               + (f", and {looked} points lost more on the samples held out" if looked else ""))
        if best.searched.drop - best.searched.error <= hunt.goal.tolerance < best.searched.drop:
            yield (f"so few samples tell a loss to {100 * best.searched.error:.2f} points only, and this one may be chance: "
                   "give more test samples, or a larger tolerance")
    elif looked > 1:
        yield f"{looked} points were looked at on the samples held out, so that the last one may flatter by chance"
    if hunt.late:
        yield "time was over before the search was; with more of it something cheaper may be found"
