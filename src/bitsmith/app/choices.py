"""What the user chose: a recipe for the whole network, and formats for single layers. Plain data in, a recipe out."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from glob import escape
from typing import Any, Literal

import onnx_ir as ir

from bitsmith.errors import RecipeError
from bitsmith.graph import is_float
from bitsmith.improving import REFINEMENTS, check_refinements
from bitsmith.numerics import Integer, parse_format
from bitsmith.operators import Flow, operator_of
from bitsmith.planning.accepts import Accepts
from bitsmith.planning.placement import chain_behind, end_layers
from bitsmith.planning.recipe import DYNAMIC, FLOAT, Recipe, Rule, check_choice, load_recipe
from bitsmith.targets import TARGETS, target_named
from bitsmith.targets.c.flavours import FLAVOURS

Role = Literal["weights", "activations"]
WIDTHS = (16, 8, 4)
PLACES_TO_RUN = (*TARGETS, *(f"c:{name}" for name in FLAVOURS if name != "portable"))      # targets that are offered


@dataclass(frozen=True)
class Place:
    """Something to choose formats for: a node with the clamps behind it, or an input of the network.

    key     name of the value that it computes first, or of the input
    match   glob that fits it and, where names allow, nothing else
    name, operator   for people
    values  what it computes, in order; `chosen` of them has the format of its results
    roles   what can be chosen
    """

    key: str
    match: str
    name: str
    operator: str
    values: tuple[str, ...]
    roles: tuple[Role, ...]
    is_end: bool = False

    @property
    def chosen(self) -> str:
        return self.values[-1]


def places_of(graph: ir.Graph) -> dict[str, Place]:
    """By key: inputs, then nodes in order, clamps with the node that they follow."""
    found = {v.name or "": Place(v.name or "", escape(v.name or ""), v.name or "", "Input", (v.name or "",), ("activations",))
             for v in graph.inputs if is_float(v) and not v.is_initializer()}
    behind: set[ir.Node] = set()
    ends = end_layers(graph)
    for node in (node for node in graph if node not in behind):
        chain = chain_behind(node)
        behind.update(chain)
        place = place_of(graph, chain, node in ends)
        found[place.key] = place
    return found


def place_of(graph: ir.Graph, chain: list[ir.Node], is_end: bool) -> Place:
    head, operator = chain[0], operator_of(chain[0])
    key = head.outputs[0].name or ""
    roles: list[Role] = ["weights"] if operator is not None and operator.parameters(head) else []
    if operator is not None and operator.flow is Flow.FREE and is_float(head.outputs[0]) and not operator.weights_only:
        roles.append("activations")
    fitting = (name for name in (head.name, key) if name and fits_only(graph, name, chain))
    values = (*(o.name or "" for o in head.outputs[1:]), *(node.outputs[0].name or "" for node in chain))
    return Place(key, escape(next(fitting, key)), head.name or key, " + ".join(n.op_type for n in chain), values, tuple(roles), is_end)


def fits_only(graph: ir.Graph, name: str, chain: list[ir.Node]) -> bool:
    """True where a rule with this name speaks of the chain alone."""
    rule = Rule(match=escape(name))
    return {n for n in graph if rule.fits(n)} <= set(chain) and all(v.name != name for v in graph.inputs)


@dataclass(frozen=True)
class Choices:
    """recipe, target   names
    ends             format of the first and last layers; '' as the recipe says
    everything       quantize also what the target runs faster in float
    refine           refinements, in their order
    weights, activations   key of a place -> '8' (a width), 'float8_e4m3' (a format) or 'float'; what is absent is as the recipe says
    """

    recipe: str = "int8"
    target: str = "onnxruntime"
    ends: str = ""
    everything: bool = False
    refine: tuple[str, ...] = ()
    weights: Mapping[str, str] = field(default_factory=dict)
    activations: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        load_recipe(self.recipe)
        target_named(self.target)
        check_refinements(self.refine)
        for format in (self.ends, *self.weights.values(), *self.activations.values()):
            check_choice(as_choice(format), "formats")

    def with_format(self, place: Place, role: Role, format: str) -> "Choices":
        """Another format for one place; '' for that of the recipe. Raises RecipeError where there is nothing to choose."""
        if role not in place.roles:
            raise RecipeError(f"'{place.name}' has no {role} to choose a format for.")
        others = {key: value for key, value in getattr(self, role).items() if key != place.key}
        chosen = {**others, place.key: format} if format else others
        return replace(self, weights=chosen) if role == "weights" else replace(self, activations=chosen)

    @property
    def changed(self) -> int:
        """How many formats were chosen by hand."""
        return len(self.weights) + len(self.activations)

    @property
    def title(self) -> str:
        """In a few words."""
        said = [self.recipe, *([] if self.target == "onnxruntime" else [f"for {self.target}"]), *self.refine]
        said += [f"ends {self.ends}"] if self.ends else []
        said += ["everything"] if self.everything else []
        return ", ".join(said + ([f"{self.changed} changed"] if self.changed else []))

    def as_recipe(self, places: Mapping[str, Place]) -> Recipe:
        """The recipe with a rule for each place that differs from it.

        A recipe's `ends` outranks its rules; so where the user chose a format for an end, that of the other end becomes a rule.
        """
        recipe = load_recipe(self.recipe)
        recipe = recipe.with_ends(self.ends) if self.ends else recipe
        recipe = recipe.with_everything() if self.everything else recipe
        recipe = recipe.with_refinements(*(name for name in REFINEMENTS if name in {*recipe.refine, *self.refine}))
        known = [p for p in places.values() if p.key in self.weights or p.key in self.activations]
        if recipe.ends is not None and any(p.is_end for p in known):
            recipe = replace(recipe, ends=None).with_rules(*end_rules(recipe, places))
        return recipe.with_rules(*(self.rule_for(place) for place in known))

    def rule_for(self, place: Place) -> Rule:
        return Rule(place.match, as_choice(self.weights.get(place.key, "")), as_choice(self.activations.get(place.key, "")))

    def to_dict(self) -> dict[str, Any]:
        """As plain data for JSON."""
        return asdict(self) | {"refine": list(self.refine)}


def end_rules(recipe: Recipe, places: Mapping[str, Place]) -> list[Rule]:
    """What `ends` says, in rules."""
    floats = any(rule.activations in (FLOAT, DYNAMIC) for rule in recipe.rules)
    return [Rule(p.match, recipe.ends, None if floats else recipe.ends) for p in places.values() if p.is_end]


def as_choice(format: str) -> str | int | None:
    """'8' is a width, '' nothing."""
    return int(format) if format.isdecimal() else format or None


def choices_from(data: object) -> Choices:
    """The inverse of `to_dict`. Raises RecipeError for anything else."""
    try:
        given: Mapping[str, Any] = dict(data)  # type: ignore[call-overload]
        weights, activations = ({str(key): str(v) for key, v in dict(given[role]).items()} for role in ("weights", "activations"))
        return Choices(
            str(given["recipe"]), str(given["target"]), str(given["ends"]), given["everything"] is True,
            tuple(map(str, given["refine"])), weights, activations,
        )
    except (TypeError, ValueError, KeyError) as problem:
        raise RecipeError(f"These are no choices of formats: {problem!r}.") from problem


def formats_for(place: Place, role: Role, accepts: Accepts) -> list[tuple[str, str]]:
    """(value, words) of what can be chosen: widths that the target has, its formats that are no integers, and float."""
    offered = [(str(width), f"{width} bits") for width in WIDTHS if takes(accepts, width, role)]
    others = [(name, name) for name in getattr(accepts, role) if not isinstance(parse_format(name), Integer)]
    return [("", "as the recipe"), *offered, *others, *([(FLOAT, FLOAT)] if accepts.floats and place.operator != "Input" else [])]


def takes(accepts: Accepts, width: int, role: Role) -> bool:
    return any(name.lstrip("uint") == str(width) for name in getattr(accepts, role))
