"""The cheapest formats that a tolerance allows: integer programming over sensitivities, and every answer measured."""

import math
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from time import monotonic
from typing import Any

import onnx_ir as ir

from bitsmith.analysis.fingerprint import fingerprint
from bitsmith.analysis.pareto import Assignment, Problem, cheapest
from bitsmith.analysis.search_bench import Bench
from bitsmith.analysis.search_confirm import confirmed
from bitsmith.analysis.search_costs import Bill, costs_of
from bitsmith.analysis.search_hunt import CLOSE, STRIDE, Goal, Hunt, Progress, allowed, key_of
from bitsmith.analysis.search_points import Search, resume
from bitsmith.analysis.search_problem import moves, problem_for
from bitsmith.analysis.search_samples import check_apart, halves
from bitsmith.analysis.sensitivity import (
    Offered,
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
from bitsmith.errors import BitsmithError
from bitsmith.improving import check_refinements
from bitsmith.loading.data import open_data
from bitsmith.loading.draw import spread
from bitsmith.planning.plan import Plan
from bitsmith.planning.recipe import load_recipe
from bitsmith.targets import target_named
from bitsmith.version import VERSION

Steps = Callable[[str], AbstractContextManager[Progress | None]]
FOR_SENSITIVITY = 0.3       # of the time
FOR_MEASURING = 0.9         # of the time, sensitivities included; the rest is for confirming
BISECTIONS = 9
FIRST_NOISE = 0.03          # a share of the outputs' power that often costs about a point: bisecting begins here
TRIES = 12                  # greedy steps in vain, one after the other, before the search ends
REPAIRS = 4


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
    near = [p for p in hunt.found.points if hunt.goal.tolerance < p.searched.at_most(1) <= 2 * hunt.goal.tolerance]
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
