"""What was decided: which value of the network has which encoding, and why."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bitsmith.errors import PlanError
from bitsmith.files import write_atomically
from bitsmith.numerics.encoding import Encoding, from_dict, to_dict

VERSION = 1


@dataclass(frozen=True, eq=False)
class Plan:
    """encodings  by ONNX value name: activations, weights and biases; absent means float
    reasons    why, by value name or, for nodes that stay float, by node name
    dynamic    values whose encoding is found while the network runs
    in_float   nodes with narrow weights that compute in float all the same
    made_with  recipe, target, versions, data: what it takes to make the plan again
    """

    encodings: Mapping[str, Encoding]
    reasons: Mapping[str, str] = field(default_factory=dict)
    dynamic: frozenset[str] = frozenset()
    in_float: frozenset[str] = frozenset()
    made_with: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> str:
        """As a file holds it; the same plan gives the same text."""
        data = {
            "bitsmith_plan": VERSION,
            "made_with": dict(self.made_with),
            "encodings": {name: to_dict(e) for name, e in self.encodings.items()},
            "dynamic": sorted(self.dynamic),
            "in_float": sorted(self.in_float),
            "reasons": dict(self.reasons),
        }
        return json.dumps(data, indent=1) + "\n"

    def save(self, path: str | Path) -> None:
        """Write as JSON; the same plan gives the same bytes."""
        write_atomically(Path(path), self.to_json().encode())


def load_plan(path: str | Path) -> Plan:
    """Read a plan. Raises PlanError when the file is not one, or not there."""
    if not Path(path).exists():
        raise PlanError(f"There is no file '{path}'. Plans are the .plan.json files that 'bitsmith quantize' writes.")
    if Path(path).is_dir():
        raise PlanError(f"'{path}' is not a plan but a folder. Plans are the .plan.json files that 'bitsmith quantize' writes.")
    try:
        data = json.loads(Path(path).read_bytes())
        if data["bitsmith_plan"] != VERSION:
            raise PlanError(f"it has version {data['bitsmith_plan']}, and this bitsmith reads {VERSION}; make it again")
        return Plan(
            {str(name): from_dict(e) for name, e in data["encodings"].items()},
            {str(name): str(reason) for name, reason in data["reasons"].items()},
            names_in(data["dynamic"]),
            names_in(data["in_float"]),
            origin_of(data["made_with"]),
        )
    except OSError as problem:
        raise PlanError(f"'{path}' cannot be read: {problem.strerror or problem}.") from problem
    except (PlanError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as problem:
        raise PlanError(f"'{path}' is not a plan: {problem}. Plans are the .plan.json files that 'bitsmith quantize' writes.") from problem


def origin_of(made_with: Any) -> dict[str, Any]:
    """What a plan says of its making; what others read of it has the form that they expect."""
    found = {str(key): value for key, value in made_with.items()}
    steps = all(isinstance(one["step"], str) and isinstance(one["kept"], bool) and isinstance(one["seconds"], int | float)
                and isinstance(one["gain_db"], int | float | None) for one in found.get("tried", []))
    chosen = {"samples": 0, "held_out": True, "seconds": 0.0, "budget": 0.0} | found.get("chosen_on", {})
    numbers = all(isinstance(chosen[key], int | float) for key in ("samples", "seconds", "budget"))
    if not steps or not numbers or not all(isinstance(found.get(key, {}), dict) for key in ("left_out", "recipe")):
        raise PlanError("what it says of its making is no list of steps")
    return found


def names_in(listed: Any) -> frozenset[str]:
    if not isinstance(listed, list) or not all(isinstance(name, str) for name in listed):
        raise PlanError(f"it needs a list of names, not {str(listed)[:40]}")
    return frozenset(listed)


@dataclass(frozen=True)
class Difference:
    """One value that two plans treat differently."""

    name: str
    first: str
    second: str


def describe(encoding: Encoding | None) -> str:
    """One line: format, granularity, range."""
    if encoding is None:
        return "float"
    blocks = "" if not encoding.blocks.sizes else f" x {encoding.scale.size}"
    return f"{encoding.format.name}{blocks} [{encoding.lowest.min():.6g}, {encoding.highest.max():.6g}]"


def compare_plans(first: Plan, second: Plan) -> list[Difference]:
    """Every value that the plans treat differently, in the first plan's order."""
    names = dict.fromkeys((*first.encodings, *second.encodings, *sorted(first.dynamic | second.dynamic)))

    def treatment(plan: Plan, name: str) -> str:
        return "dynamic" if name in plan.dynamic else describe(plan.encodings.get(name))

    return [Difference(n, treatment(first, n), treatment(second, n)) for n in names
            if first.encodings.get(n) != second.encodings.get(n) or (n in first.dynamic) != (n in second.dynamic)]
