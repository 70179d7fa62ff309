"""The cheapest formats that a tolerance allows: integer programming over sensitivities, and every answer measured."""

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import monotonic
from typing import Any

import onnx_ir as ir

from bitsmith.analysis.fingerprint import fingerprint
from bitsmith.analysis.pareto import Assignment, Problem, cheapest
from bitsmith.analysis.search_bench import Bench
from bitsmith.analysis.search_costs import COSTS, Bill, costs_of
from bitsmith.analysis.search_points import Point, Search, resume
from bitsmith.analysis.search_problem import ROLES_OF, moves, problem_for
from bitsmith.analysis.search_samples import check_apart, halves
from bitsmith.analysis.sensitivity import (
    Offered,
    SensitivitySettings,
    Work,
    choices_for,
    complete,
    described,
    float_accuracy,
    offers,
    opened,
)
from bitsmith.analysis.sensitivity_fast import estimate
from bitsmith.analysis.sensitivity_file import LayerSize, Sensitivity
from bitsmith.analysis.sensitivity_samples import Samples
from bitsmith.calibration.collection import Collection
from bitsmith.errors import BitsmithError, RecipeError
from bitsmith.improving import check_refinements
from bitsmith.improving.draft import Draft
from bitsmith.loading.data import open_data
from bitsmith.loading.draw import spread
from bitsmith.planning.plan import Plan
from bitsmith.planning.recipe import Recipe, load_recipe
from bitsmith.targets import target_named
from bitsmith.version import VERSION

Progress = Callable[[int, int | None], None]
Steps = Callable[[str], AbstractContextManager[Progress | None]]
FOR_SENSITIVITY = 0.3       # of the time
FOR_MEASURING = 0.9         # of the time, sensitivities included; the rest is for confirming
BISECTIONS = 9
FIRST_NOISE = 0.03          # a share of the outputs' power that often costs about a point: bisecting begins here
STRIDE = 4.0                # times more or less noise, until one point is within the tolerance and one is not
MOST_HELD = 3
CLOSE = 0.01                # of the logarithm of noise: bisecting further would measure the same assignment again
TRIES = 12                  # greedy steps in vain, one after the other, before the search ends
REPAIRS = 4
MOST_CONFIRMED = 5          # points that are looked at on the samples held out


@dataclass(frozen=True)
class Goal:
    """What is looked for, and where.

    tolerance   of accuracy, 0..1; without labels of the share of answers that change
    cost        what is to be small: 'bytes', 'bitops' (multiply-accumulates times both widths) or 'energy'
    max_bytes, max_bitops  what may not be passed besides
    widths      bits to choose among; for weights, and for results where the cost depends on them
    recipe      how encodings are found, what stays in float, and refinements, which every point is measured with
    seconds     time for all: 30 % at most goes into sensitivities
    samples     that sensitivities are measured with
    fast        estimate sensitivities in one pass
    """

    tolerance: float = 0.01
    cost: str = "bytes"
    max_bytes: float | None = None
    max_bitops: float | None = None
    widths: Sequence[int] = (16, 8, 6, 4, 3, 2)
    recipe: str | Path | Recipe = "int8"
    target: str = "onnxruntime"
    seconds: float = 600.0
    samples: int = 512
    fast: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.tolerance < 1:
            raise RecipeError(f"A tolerance is a share of accuracy such as 0.01 for one point, not {self.tolerance}.")
        if self.cost not in COSTS:
            raise RecipeError(f"No cost is called {self.cost!r}; there are {', '.join(COSTS)}.")
        if not self.seconds > 0:
            raise RecipeError("A search needs some time; write for instance 10m or 90s.")

    @property
    def roles(self) -> Sequence[str]:
        """What gets widths: weights, and results where anything asked depends on them."""
        return ROLES_OF["bitops" if self.max_bitops is not None else self.cost]

    @property
    def settings(self) -> SensitivitySettings:
        return SensitivitySettings(self.widths, self.roles, self.recipe, self.target, self.fast, self.samples)


@dataclass
class Hunt:
    """A search on its way: what is known, and where it is kept."""

    bench: Bench
    goal: Goal
    problem: Problem
    found: Search
    path: Path | None
    until: float
    ends: float
    advance: Progress | None
    known: dict[str, int] = field(default_factory=dict)
    refused: set[str] = field(default_factory=set)
    held: list[tuple[float, str, Draft]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.known = {key_of(point.assignment()): number for number, point in enumerate(self.found.points)}

    @property
    def late(self) -> bool:
        return monotonic() > self.until

    def measure(self, assignment: Assignment) -> Point:
        """A point, measured now or before."""
        key = key_of(assignment)
        if key not in self.known:
            self.known[key] = len(self.found.points)
            point, draft = self.bench.measure(assignment)
            self.keep(replace(self.found, points=(*self.found.points, point)))
            self.hold(point, draft)
            if self.advance is not None:
                self.advance(len(self.found.points), None)
        return self.found.points[self.known[key]]

    def hold(self, point: Point, draft: Draft) -> None:
        """Keep the networks of the cheapest points within the tolerance, for confirming: refinements take long."""
        if self.within(point):
            self.held = sorted([*self.held, (self.cost(point), key_of(point.assignment()), draft)], key=lambda h: h[:2])[:MOST_HELD]

    def keep(self, found: Search) -> None:
        self.found = found
        if self.path is not None:
            found.save(self.path)

    def within(self, point: Point) -> bool:
        """Within the tolerance, and so by one standard error: the samples held out are others."""
        return point.searched.drop + point.searched.error <= self.goal.tolerance or point.searched.drop <= 0

    def confirm(self, number: int) -> Point:
        """A point on the samples held out, looked at now or before."""
        if (point := self.found.points[number]).confirmed is None:
            key = key_of(point.assignment())
            point = self.bench.confirm(point, next((draft for _, held, draft in self.held if held == key), None))
            self.keep(replace(self.found, points=(*self.found.points[:number], point, *self.found.points[number + 1:])))
        return point

    def cost(self, point: Point) -> float:
        return point.costs.of(self.goal.cost)

    def noise(self, point: Point) -> float:
        return self.problem.noise_of(point.assignment())


def search(
    source: Any, data: Any, *, test: Any, confirm: Any = None, goal: Goal | None = None, path: str | Path | None = None,
) -> Search:
    """See `search_with_progress`, which also shows how far it is."""
    return search_with_progress(source, data, (test, confirm), goal or Goal(), path)


def search_with_progress(
    source: Any, data: Any, tested: tuple[Any, Any], goal: Goal, path: str | Path | None = None, progress: Steps | None = None
) -> Search:
    """The cheapest assignment of widths whose measured loss stays within the tolerance.

    source   a network in normal form, or what `load` takes
    data     to calibrate with, or statistics
    tested   samples to search with and samples to confirm with, best with labels; without the second, every other one of the first
             is held out
    path     file that keeps what was measured; where it exists, nothing is measured again

    Sensitivities, measured on the samples for searching, make a multiple-choice knapsack; its solutions for various amounts of noise are
    measured with all refinements, by bisection; then layers are narrowed one by one as long as the tolerance allows. What comes out
    is confirmed on the samples held out, from the cheapest on.

    Raises DataError where data do not fit, or the test samples are the calibration samples; BitsmithError where `path` holds another
    search, or where scipy is not installed.
    """
    steps, kept = progress or (lambda title: nullcontext()), None if path is None else Path(path)
    started = monotonic()
    until, ends = started + FOR_MEASURING * goal.seconds, started + goal.seconds
    network = opened(source)
    check_refinements(load_recipe(goal.recipe).refine)
    bench, notes = bench_for(network, data, tested, goal, steps)
    few = Samples.of(spread(bench.searched.data, goal.samples), network)
    offered, refused = offers(bench.choices, goal.settings)
    unmeasured = Sensitivity(described(network, few, offered, goal.settings), sizes_of(bench), (), few.count, float_accuracy(few))
    fresh = Search(
        made_with(network, few, bench, offered, goal), goal.cost, goal.tolerance, costs_of(network.graph, Plan({})), bench.float_top1(),
        unmeasured, notes=(*notes, *refused),
    )
    found = resume(kept, fresh)
    with steps("layers") as advance:
        work = Work(offered, goal.settings, keeper(found, kept), advance, started + FOR_SENSITIVITY * goal.seconds)
        found = replace(found, sensitivity=sensitivities(found.sensitivity, bench, few, work))
    problem = problem_for(bench.choices, found.sensitivity, goal.cost, goal.max_bytes, goal.max_bitops)
    with steps("measuring") as advance:
        return choose(Hunt(bench, goal, problem, found, kept, until, ends, advance))


def bench_for(network: ir.Model, data: Any, tested: tuple[Any, Any], goal: Goal, steps: Steps) -> tuple[Bench, list[str]]:
    """What assignments are measured with, and what is worth knowing about it."""
    opened_data = None if data is None or isinstance(data, Collection) else open_data(data, network)
    test, apart = open_data(tested[0], network), None if tested[1] is None else open_data(tested[1], network)
    first, second = halves(test) if apart is None else (test, apart)
    notes = [check_apart(opened_data, test)] if opened_data is not None else []
    choices = choices_for(network, data if opened_data is None else opened_data, goal.settings, steps)
    with steps("float"):
        searched, confirmed = Samples.of(first, network), Samples.of(second, network)
    if not (searched.labelled and confirmed.labelled):
        notes.append("the test samples have no labels: a loss is the share of answers that differ from the float network's")
    origin = {"bitsmith": VERSION, "network": fingerprint(network)}
    return Bench(network, choices, target_named(goal.target), opened_data, searched, confirmed, origin), [note for note in notes if note]


def made_with(network: ir.Model, few: Samples, bench: Bench, offered: Offered, goal: Goal) -> dict[str, Any]:
    """What must be the same for points to be the same."""
    return {
        **described(network, few, offered, goal.settings), "searched": bench.searched.digest, "confirmed": bench.confirmed.digest,
        "recipe": repr(bench.choices.recipe),
    }


def sizes_of(bench: Bench) -> tuple[LayerSize, ...]:
    return tuple(LayerSize(x.name, x.operator, x.size, x.macs) for x in bench.choices.layers)


def keeper(found: Search, path: Path | None) -> Callable[[Sensitivity], None] | None:
    return None if path is None else lambda sensitivity: replace(found, sensitivity=sensitivity).save(path)


def sensitivities(known: Sensitivity, bench: Bench, few: Samples, work: Work) -> Sensitivity:
    """Measured as far as there is time, estimated in one pass where there was none."""
    if not work.settings.fast:
        measured = replace(known, effects=tuple(e for e in known.effects if e.agreement is not None))
        known = complete(measured, bench.network, bench.choices, few, work)
    have = {(e.layer, e.role, e.bits) for e in known.effects}
    wanted = {(x.name, role, bits) for x in bench.choices.layers for role, bits, _ in work.settings_of(x)}
    if not wanted - have:
        return known
    rest = estimate(bench.network, bench.choices, few, work.offered, work.settings.roles)
    return known.with_effects([e for e in rest if (e.layer, e.role, e.bits) in wanted - have])


def choose(hunt: Hunt) -> Search:
    """The search itself. What it tries depends on measurements alone, so that a search that was killed goes the same way again."""
    quietest = cheapest(replace(hunt.problem, cost=Bill(0.0, hunt.problem.noise, {})), math.inf)
    narrowest = cheapest(hunt.problem, math.inf)
    if quietest is None or narrowest is None:
        raise BitsmithError(impossible(hunt))
    if hunt.measure(quietest).searched.drop <= hunt.goal.tolerance and not hunt.late:
        best = bisect(hunt, quietest, narrowest)
        descend(hunt, repair(hunt, best))
    return confirmed(hunt)


def impossible(hunt: Hunt) -> str:
    """What the limits would have to be at least."""
    least = [cheapest(Problem(hunt.problem.noise, bill), math.inf) for bill, _ in hunt.problem.limits]
    said = [f"at most {end:,.0f} where {bill.total(found):,.0f} is the least that these widths allow"
            for (bill, end), found in zip(hunt.problem.limits, least, strict=True) if found is not None]
    return f"No assignment stays within the limits: {'; '.join(said)}. Allow more, or narrower widths."


def bisect(hunt: Hunt, quietest: Assignment, narrowest: Assignment) -> Assignment:
    """The cheapest assignment for the most noise that keeps the tolerance."""
    if hunt.within(hunt.measure(narrowest)):
        return narrowest
    best, low, high = quietest, max(hunt.problem.noise_of(quietest), 1e-12), hunt.problem.noise_of(narrowest)
    guess = FIRST_NOISE
    for _ in range(BISECTIONS):
        if hunt.late or high <= low * (1 + CLOSE):
            break
        middle = guess if low < guess < high else math.sqrt(low * high)
        tried = cheapest(hunt.problem, middle)
        if tried is not None and hunt.within(hunt.measure(tried)):
            best, low, guess = tried, middle, middle * STRIDE
        else:
            high, guess = middle, middle / STRIDE
    return best


def repair(hunt: Hunt, best: Assignment) -> Assignment:
    """From the cheapest point that loses at most twice what it may: wider where that saves most noise, as long as it stays cheaper."""
    limit = hunt.cost(hunt.measure(best))
    near = [p for p in hunt.found.points if hunt.goal.tolerance < p.searched.drop + p.searched.error <= 2 * hunt.goal.tolerance]
    near = sorted((p for p in near if hunt.cost(p) < limit), key=hunt.cost)
    current = near[0].assignment() if near else best
    for _ in range(REPAIRS if near else 0):
        steps = moves(hunt.problem.noise, current, -1)
        if hunt.late or not steps:
            break
        current = {**current, **dict([max(steps, key=lambda step: gain(hunt, current, step))])}
        point = hunt.measure(current)
        if hunt.cost(point) >= limit:
            break
        if hunt.within(point):
            return current
    return best


def descend(hunt: Hunt, current: Assignment) -> Assignment:
    """Narrower, one layer at a time, the most saving for the least noise first, until nothing more is within the tolerance."""
    vain = 0
    while vain < TRIES and not hunt.late:
        steps = [{**current, choice: bits} for choice, bits in moves(hunt.problem.noise, current, 1)]
        steps = [step for step in steps if key_of(step) not in hunt.refused and allowed(hunt.problem, step)]
        if not steps:
            break
        tried = min(steps, key=lambda step: noise_for_saving(hunt.problem, current, step))
        if hunt.within(hunt.measure(tried)):
            current, vain = tried, 0
        else:
            hunt.refused.add(key_of(tried))
            vain += 1
    return current


def gain(hunt: Hunt, current: Assignment, step: tuple[tuple[str, str], int]) -> float:
    """Noise saved for each unit of cost that a wider layer takes."""
    wider = {**current, step[0]: step[1]}
    paid = hunt.problem.cost.total(wider) - hunt.problem.cost.total(current)
    return (hunt.problem.noise_of(current) - hunt.problem.noise_of(wider)) / max(paid, 1e-12)


def noise_for_saving(problem: Problem, current: Assignment, narrower: Assignment) -> float:
    saved = problem.cost.total(current) - problem.cost.total(narrower)
    return math.inf if saved <= 0 else (problem.noise_of(narrower) - problem.noise_of(current)) / saved


def allowed(problem: Problem, assignment: Assignment) -> bool:
    return all(bill.total(assignment) <= end for bill, end in problem.limits)


def confirmed(hunt: Hunt) -> Search:
    """The cheapest point that keeps the tolerance on the samples held out, too.

    Where one does not, the next is to have a quarter of its noise, and is measured, if there is time: points beside it would fail likewise.
    """
    limit, chosen = math.inf, None
    for looks in range(MOST_CONFIRMED + 1):
        number = cheapest_within(hunt, limit if looks < MOST_CONFIRMED else 0.0)
        if number is None or hunt.confirm(number).confirmed.drop <= hunt.goal.tolerance:       # type: ignore[union-attr]
            chosen = number
            break
        limit = hunt.noise(hunt.found.points[number]) / STRIDE
        less = cheapest(hunt.problem, limit) if monotonic() < hunt.ends else None
        if less is not None:
            hunt.measure(less)
    hunt.keep(replace(hunt.found, chosen=chosen, notes=(*hunt.found.notes, *last_words(hunt, chosen))))
    return hunt.found


def cheapest_within(hunt: Hunt, noise: float) -> int | None:
    """The cheapest point within the tolerance that has at most so much noise; where there is none, the quietest that may still do."""
    fit = [n for n, p in enumerate(hunt.found.points) if hunt.within(p) and allowed(hunt.problem, p.assignment())]
    quiet = [n for n in fit if hunt.noise(hunt.found.points[n]) <= noise]
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


def key_of(assignment: Mapping[tuple[str, str], int]) -> str:
    return json.dumps(sorted((layer, role, bits) for (layer, role), bits in assignment.items()))
