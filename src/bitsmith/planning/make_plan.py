"""From statistics and a recipe to a plan: an encoding for every value that needs one, each with its reason."""

from collections.abc import Callable, Container, Iterable, Mapping
from functools import reduce
from typing import Any

import onnx_ir as ir

from bitsmith.calibration.ranges import Placing, Range, parse_estimator
from bitsmith.calibration.statistics import Statistics
from bitsmith.errors import StatisticsError
from bitsmith.graph import constant
from bitsmith.numerics import Format, Integer
from bitsmith.numerics.encoding import Encoding, are_powers_of_two, spanning
from bitsmith.operators import is_clamp, operator_of
from bitsmith.operators.raw import as_it_comes
from bitsmith.planning.accepts import Accepts
from bitsmith.planning.placement import Placement, activation_operands, chain_behind, moves, place
from bitsmith.planning.plan import Plan
from bitsmith.planning.recipe import DYNAMIC, FLOAT, Recipe, Rule, to_mapping, usual_estimator
from bitsmith.planning.weights import plan_weights


def make_plan(
    graph: ir.Graph, statistics: Mapping[str, Statistics], recipe: Recipe, accepts: Accepts, made_with: Mapping[str, Any] | None = None
) -> Plan:
    """Decide every encoding of a network.

    Raises StatisticsError where a value that needs an encoding was not calibrated, TargetError where the target has no such format.
    """
    placement = place(graph, recipe, accepts)
    reasons = dict(placement.reasons)
    encodings: dict[str, Encoding] = {}
    for group in placement.groups():
        encoding, reason = encode_group(group, placement, recipe, accepts, statistics)
        leader = sources(group)[0]
        for value in group:
            name = value.name or ""
            encodings[name] = encoding
            reasons[name] = reason if value is leader else f"shares the encoding of '{leader.name}'"
    plan_weights(placement, accepts, encodings, reasons)
    dynamic = frozenset(placement.dynamic) - encodings.keys()
    reasons |= dict.fromkeys(sorted(dynamic), "its range is found while the network runs")
    origin = {"recipe": to_mapping(recipe), "target": accepts.target, **(made_with or {})}
    numbers = {name for name, e in encodings.items() if not e.format.integral}
    rounded = [node for node in placement.weighted if node in placement.integer and (reads(node, numbers) or makes(node, numbers))]
    reasons |= {node.name or "": "float arithmetic: it reads or makes floating point of fewer bits" for node in rounded}
    apart = [node for node in placement.weighted if node not in placement.integer and not reads(node, dynamic)]
    in_float = frozenset(node.name or "" for node in (*apart, *rounded))
    return Plan(in_graph_order(graph, encodings), reasons, dynamic, in_float, origin)


def reads(node: ir.Node, names: Container[str]) -> bool:
    return any(v is not None and v.name in names for v in node.inputs)


def makes(node: ir.Node, names: Container[str]) -> bool:
    """True where the node's result, or that of the clamps behind it, is among the names."""
    return any(n.outputs[0].name in names for n in chain_behind(node))


def values_to_watch(graph: ir.Graph, recipe: Recipe, accepts: Accepts) -> list[str]:
    """The values whose statistics `make_plan` will ask for."""
    groups = place(graph, recipe, accepts).groups()
    return [v.name or "" for group in groups for v in sources(group) if constant(v) is None]


def sources(group: list[ir.Value]) -> list[ir.Value]:
    """The values of a group that are not moved from another one in it: their ranges hold all the group's values.

    What a clamp lets through is a source and what goes into the clamp is not, since the clamp's range is the narrower one.
    """
    inside = set(group)
    clamped = [v for v in group if (node := v.producer()) is not None and is_clamp(node) and node.inputs[0] in inside]
    return clamped or [v for v in group if not moved_within(v, inside)]


def moved_within(value: ir.Value, inside: set[ir.Value]) -> bool:
    node = value.producer()
    operator = None if node is None else operator_of(node)
    if node is None or operator is None or not moves(node):
        return False
    return all(v in inside for v in activation_operands(node, operator))


def encode_group(
    group: list[ir.Value], placement: Placement, recipe: Recipe, accepts: Accepts, statistics: Mapping[str, Statistics]
) -> tuple[Encoding, str]:
    """One encoding for values that share, and the reason for it."""
    leaders = sources(group)
    asked = widest((settings_of(v, placement, recipe) for v in leaders), accepts, leaders[0].name or "")
    negative = not accepts.zero_points and find_range(leaders, statistics, lambda s: Range(s.minimum, s.maximum)).low < 0
    format = accepts.choose(asked.activations or 8, "activations", f"Value '{leaders[0].name}'", negative=negative)
    raw = as_it_comes(leaders[0]) if len(leaders) == 1 else None
    if raw is not None and raw.format == format and suits(raw, asked, accepts):
        return raw, f"{format.name}: the raw input as it comes"
    if (known := known_beforehand(leaders, format)) is not None and suits(known, asked, accepts):
        return known, f"{format.name}: all that it can be, 0 to 1"
    symmetric = bool(asked.symmetric_activations) or not accepts.zero_points
    placing, estimator = Placing(format, symmetric, bool(asked.power_of_two)), asked.estimator or usual_estimator(format.bits)
    found = find_range(leaders, statistics, lambda s: parse_estimator(estimator)(s, placing))
    encoding = spanning(found.low, found.high, format, symmetric=symmetric, power_of_two=placing.power_of_two)
    if not format.scaled:
        return encoding, f"{format.name}: numbers as they are, without a scale, in [{found.low:.6g}, {found.high:.6g}]"
    summed = "; this target adds up codes of more than 8 bits in float32" if accepts.floats and format.bits > 8 else ""
    return encoding, f"{format.name}: {estimator} range [{found.low:.6g}, {found.high:.6g}]{summed}"


def known_beforehand(leaders: list[ir.Value], format: Format) -> Encoding | None:
    """The encoding that an operator's results have whatever the data; None for all others, and for numbers that are not integers."""
    node = leaders[0].producer() if len(leaders) == 1 and isinstance(format, Integer) else None
    operator = None if node is None else operator_of(node)
    return None if operator is None or operator.encode is None else operator.encode(format)


def suits(encoding: Encoding, asked: Rule, accepts: Accepts) -> bool:
    """True where a rule leaves it open that an activation is encoded so."""
    symmetric = bool(asked.symmetric_activations) or not accepts.zero_points
    fine = not asked.power_of_two or are_powers_of_two(encoding.scale)
    return asked.estimator is None and fine and (not symmetric or not encoding.zero_point)


def find_range(leaders: list[ir.Value], statistics: Mapping[str, Statistics], estimate: Callable[[Statistics], Range]) -> Range:
    """The range of all sources together: constants exactly, computed values by the estimator."""
    ranges = [Range(float(array.min(initial=0)), float(array.max(initial=0))) for v in leaders if (array := constant(v)) is not None]
    computed = [v.name or "" for v in leaders if constant(v) is None]
    missing = [name for name in computed if name not in statistics]
    if missing:
        raise StatisticsError(
            f"There are no statistics for '{missing[0]}' (and {len(missing) - 1} more of its group); "
            "calibrate this network again, or with this recipe."
        )
    if computed:
        ranges.append(estimate(reduce(lambda a, b: a.merge(b), (statistics[name] for name in computed))))
    return Range(min(r.low for r in ranges), max(r.high for r in ranges))


def settings_of(value: ir.Value, placement: Placement, recipe: Recipe) -> list[Rule]:
    """What the recipe asks of a value: of the node that makes it, or, for inputs and where that node is kept in float, of its readers."""
    origin = value.producer()
    while origin is not None and is_clamp(origin) and (before := origin.inputs[0]) is not None and before not in placement.shared:
        if before.producer() is None:
            break
        origin = before.producer()
    readers = [placement.integer[n] for n in value.consumers() if n in placement.integer]
    at_ends = [placement.integer[n] for n in value.consumers() if n in placement.ends and n in placement.integer]
    if origin in placement.integer:
        return [placement.integer[origin], *at_ends]
    own = recipe.settings([origin] if origin is not None else [], value.name or "")
    return [own, *at_ends] if own.activations not in (FLOAT, DYNAMIC) and not at_ends else at_ends or readers or [own]


def widest(asked: Iterable[list[Rule]], accepts: Accepts, name: str) -> Rule:
    """Of several rules, the one with the most bits."""
    return max((rule for rules in asked for rule in rules),
               key=lambda r: accepts.choose(r.activations or 8, "activations", f"Value '{name}'").bits)


def in_graph_order(graph: ir.Graph, encodings: Mapping[str, Encoding]) -> dict[str, Encoding]:
    """The same encodings in the order in which the network meets their values."""
    names = [v.name or "" for v in graph.inputs]
    for node in graph:
        names += [v.name or "" for v in (*node.inputs, *node.outputs) if v is not None]
    return {name: encodings[name] for name in dict.fromkeys(names) if name in encodings}
