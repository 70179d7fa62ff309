"""What a search looks for, and a search on its way: what was measured, and where that is kept."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import monotonic

from bitsmith.analysis.pareto import Assignment, Problem
from bitsmith.analysis.search_bench import Bench
from bitsmith.analysis.search_costs import COSTS
from bitsmith.analysis.search_points import Point, Search
from bitsmith.analysis.search_problem import ROLES_OF
from bitsmith.analysis.sensitivity import SensitivitySettings
from bitsmith.errors import RecipeError
from bitsmith.improving.draft import Draft
from bitsmith.planning.recipe import Recipe

Progress = Callable[[int, int | None], None]
MOST_HELD = 3
CLOSE = 0.01                # of the logarithm of noise: looking closer would measure the same assignment again
STRIDE = 4.0                # times more or less noise, until one point is within the tolerance and one is not


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
        return point.searched.at_most(1) <= self.goal.tolerance or point.searched.drop <= 0

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


def allowed(problem: Problem, assignment: Assignment) -> bool:
    return all(bill.total(assignment) <= end for bill, end in problem.limits)


def key_of(assignment: Mapping[tuple[str, str], int]) -> str:
    return json.dumps(sorted((layer, role, bits) for (layer, role), bits in assignment.items()))
