"""What a search measured: points, each an assignment of widths with its costs and losses; and the file in which they come together."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from bitsmith.analysis.pareto import Assignment, front
from bitsmith.analysis.report_rows import ReportExtras
from bitsmith.analysis.search_costs import Costs
from bitsmith.analysis.sensitivity_file import Effect, LayerSize, Sensitivity
from bitsmith.calibration.collection import Collection
from bitsmith.errors import BitsmithError
from bitsmith.files import write_atomically
from bitsmith.planning.recipe import Recipe, from_mapping, to_mapping
from bitsmith.planning.recipe_text import to_toml
from bitsmith.report.rows import Tried

VERSION = 1
KEY = "bitsmith_search"


@dataclass(frozen=True)
class Loss:
    """What was measured on samples that are not for calibration.

    top1       with labels
    agreement  share of samples with the float network's answer
    drop       of accuracy against the float network; without labels the share of other answers
    error      standard error of the drop: how far chance in the choice of samples may have moved it
    """

    samples: int
    top1: float | None
    agreement: float
    drop: float
    error: float

    def at_most(self, errors: float) -> float:
        """The drop and so many standard errors more."""
        return self.drop + errors * self.error


@dataclass(frozen=True)
class Point:
    """An assignment that was measured.

    widths     layer -> role -> bits
    recipe     that makes it again
    searched   loss on the samples for searching
    confirmed  on those held out; None where nobody looked
    """

    widths: Mapping[str, Mapping[str, int]]
    recipe: Recipe
    costs: Costs
    searched: Loss
    confirmed: Loss | None = None

    def words(self, cost: str) -> list[str]:
        """What was measured, in a few lines."""
        measured = [("the samples for searching", self.searched), ("the samples held out", self.confirmed)]
        return [f"{self.costs.weight_bits:.2f} bits a weight, {cost}: {self.costs.of(cost):,.0f}",
                *(f"loses {100 * loss.drop:.2f} points of accuracy on {name} ({loss.samples:,})" for name, loss in measured if loss)]

    def assignment(self) -> Assignment:
        return {(layer, role): bits for layer, roles in self.widths.items() for role, bits in roles.items()}


def widths_of(assignment: Mapping[tuple[str, str], int]) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    for (layer, role), bits in assignment.items():
        found.setdefault(layer, {})[role] = bits
    return found


@dataclass(frozen=True)
class Search:
    """What a search found.

    made       what it was made with
    cost       what was to be small: bytes, bitops or energy
    tolerance  the most that may be lost
    before     the float network's costs
    float_top1  accuracy of the float network on the samples for searching and on those held out, with labels
    points     everything measured, in this order
    chosen     the number of the point that was chosen; None where none is within the tolerance
    notes      what else is worth knowing
    """

    made: Mapping[str, Any]
    cost: str
    tolerance: float
    before: Costs | None = None
    float_top1: tuple[float | None, float | None] = (None, None)
    sensitivity: Sensitivity = field(default_factory=lambda: Sensitivity({}))
    points: tuple[Point, ...] = ()
    chosen: int | None = None
    notes: tuple[str, ...] = ()

    @property
    def best(self) -> Point | None:
        """The point that was chosen."""
        return None if self.chosen is None else self.points[self.chosen]

    def front(self) -> list[Point]:
        """The points that none beats, from cheap to dear."""
        return front(self.points, lambda p: p.costs.of(self.cost), lambda p: p.searched.drop)

    def shown(self) -> list[Point]:
        """The front, and the choice where that is not on it; these have numbers, from 1."""
        points, best = self.front(), self.best
        return sorted(points if best is None or best in points else [*points, best], key=lambda p: p.costs.of(self.cost))

    def rows(self) -> list[Tried]:
        """Everything that was measured, as a report shows it: from cheap to dear."""
        edge, numbers = self.front(), {id(point): f"{number:02d}" for number, point in enumerate(self.shown(), 1)}
        return [Tried(numbers.get(id(p), ""), p.costs.weight_bits, p.costs.of(self.cost), p.searched.drop, p.searched.error,
                      None if p.confirmed is None else p.confirmed.drop, p in edge, p is self.best)
                for p in sorted(self.points, key=lambda p: p.costs.of(self.cost))]

    def extras(self, statistics: Collection, latency: bool = False) -> ReportExtras:
        """What a report shows of it."""
        return ReportExtras(statistics, latency, self.sensitivity.rows(), self.rows(), self.cost, self.tolerance)

    def write_recipes(self, folder: Path) -> list[Path]:
        """Every point that is shown as a recipe, 01.toml and on, for people to read and change."""
        folder.mkdir(exist_ok=True)
        written = []
        for number, point in enumerate(self.shown(), 1):
            path = folder / f"{number:02d}.toml"
            write_atomically(path, to_toml(point.recipe, point.words(self.cost)).encode())
            written.append(path)
        return written

    def to_dict(self) -> dict[str, Any]:
        """As plain data, which the file holds."""
        points = [{**asdict(replace(p, recipe=Recipe(""))), "recipe": to_mapping(p.recipe)} for p in self.points]
        return {KEY: VERSION, **{k: v for k, v in vars(self).items() if k not in ("sensitivity", "points", "before")},
                "before": None if self.before is None else asdict(self.before), "sensitivity": self.sensitivity.to_dict(), "points": points}

    def save(self, path: Path) -> None:
        """Write beside, then rename."""
        write_atomically(path, (json.dumps(self.to_dict(), indent=1, default=list) + "\n").encode())


def load_search(path: str | Path) -> Search:
    """Read what `bitsmith search` keeps. Raises BitsmithError where the file is something else."""
    try:
        data = json.loads(Path(path).read_bytes())
        if data[KEY] != VERSION:
            raise ValueError(f"it has version {data[KEY]}, and this bitsmith reads {VERSION}")
        return Search(
            dict(data["made"]), str(data["cost"]), float(data["tolerance"]), None if data["before"] is None else Costs(**data["before"]),
            (data["float_top1"][0], data["float_top1"][1]), sensitivity_of(data["sensitivity"]), tuple(map(point_of, data["points"])),
            data["chosen"], tuple(map(str, data["notes"])),
        )
    except (BitsmithError, OSError, ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError) as problem:
        raise BitsmithError(f"'{path}' holds no search ({problem}); choose another output, or move the file away.") from problem


def point_of(data: Mapping[str, Any]) -> Point:
    confirmed = None if data["confirmed"] is None else Loss(**data["confirmed"])
    return Point(data["widths"], from_mapping(data["recipe"], "found"), Costs(**data["costs"]), Loss(**data["searched"]), confirmed)


def sensitivity_of(data: Mapping[str, Any]) -> Sensitivity:
    return Sensitivity(dict(data["made"]), tuple(LayerSize(**x) for x in data["layers"]), tuple(Effect(**e) for e in data["effects"]),
                       int(data["samples"]), data["top1"], tuple(data["left_out"]))


def resume(path: Path | None, fresh: Search) -> Search:
    """The points and sensitivities that the file holds already of the same search; `fresh` where there is none.

    Another tolerance, cost or limit is no other search: measured points stay what they are. Raises BitsmithError where the file is
    of another network, other data or other widths.
    """
    if path is None or not path.exists():
        return fresh
    found = load_search(path)
    if differing := [key for key, value in fresh.made.items() if found.made.get(key) != value]:
        raise BitsmithError(
            f"'{path}' holds a search with other {' and '.join(differing)} (first: {str(found.made.get(differing[0]))[:60]}, "
            f"now {str(fresh.made[differing[0]])[:60]}); choose another output, or move the file away."
        )
    return replace(fresh, points=found.points, sensitivity=found.sensitivity)
