"""What of a network one may give formats to, layer by layer, and what a recipe must say to do so."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from glob import escape

import onnx_ir as ir

from bitsmith.analysis.cost import multiply_accumulates, weight_arrays
from bitsmith.calibration.statistics import Statistics
from bitsmith.errors import TargetError
from bitsmith.graph import activations, constant
from bitsmith.numerics.encoding import Encoding
from bitsmith.operators import is_clamp
from bitsmith.planning.accepts import Accepts
from bitsmith.planning.make_plan import make_plan, sources
from bitsmith.planning.placement import Placement, chain_behind, place
from bitsmith.planning.recipe import DYNAMIC, FLOAT, Recipe, Rule
from bitsmith.planning.weights import numbers

WEIGHTS, ACTIVATIONS = "weights", "activations"


@dataclass
class Adjustable:
    """One layer, or an input of the network: what of it may be given formats.

    name     the user's own
    weights  names of its weights, whose format the rules that match `weight_rules` say
    values   names of the values that decide the range of its result, likewise with `value_rules`: several where values share codes
    size     how many weights
    macs     multiply-accumulates of one sample
    reads    name of the value it multiplies its weights with, where that has codes and so has its arithmetic; else ''
    shared   names of all values that have its result's codes
    """

    name: str
    operator: str
    weights: list[str] = field(default_factory=list)
    weight_rules: list[str] = field(default_factory=list)
    values: list[str] = field(default_factory=list)
    value_rules: list[str] = field(default_factory=list)
    size: int = 0
    macs: int = 0
    reads: str = ""
    shared: list[str] = field(default_factory=list)

    def names(self, role: str) -> list[str]:
        return self.weights if role == WEIGHTS else self.values

    def rules(self, role: str, bits: int) -> list[Rule]:
        """What makes a recipe give this part of it so many bits."""
        if role == WEIGHTS:
            return [Rule(match, weights=bits) for match in self.weight_rules]
        return [Rule(match, activations=bits) for match in self.value_rules]


@dataclass(frozen=True, eq=False)
class Choices:
    """A network whose layers await their widths.

    recipe   what is asked of all else; rules for layers go behind its own
    """

    graph: ir.Graph
    statistics: Mapping[str, Statistics]
    recipe: Recipe
    accepts: Accepts

    @cached_property
    def layers(self) -> list[Adjustable]:
        return layers_of(self.graph, self.recipe, self.accepts)

    def encodings(self, role: str, bits: int) -> Mapping[str, Encoding]:
        """Every encoding where all layers have so many bits in this role. Raises TargetError where the target has no such format."""
        asked = self.recipe.with_rules(*(rule for layer in self.layers for rule in layer.rules(role, bits)))
        return make_plan(self.graph, self.statistics, asked, self.accepts).encodings

    def offered(self, role: str, widths: Iterable[int]) -> tuple[dict[int, Mapping[str, Encoding]], list[str]]:
        """(bits -> encodings, what the target refused), for those of the widths that the target can take."""
        found, refused = {}, []
        for bits in widths:
            try:
                found[bits] = self.encodings(role, bits)
            except TargetError:
                refused.append(f"{bits}-bit {role}: target '{self.accepts.target}' has none, so they are left out")
        return found, refused


def without_ends(recipe: Recipe) -> Recipe:
    """The recipe without what it says of the first and last layers: their widths are to be found, too."""
    return replace(recipe, ends=None)


def layers_of(graph: ir.Graph, recipe: Recipe, accepts: Accepts) -> list[Adjustable]:
    """Everything that may be given a format, in the network's order."""
    placement, matching = place(graph, recipe, accepts), Matching(graph)
    found: dict[ir.Node | ir.Value, Adjustable] = {}
    add_results(placement, recipe, matching, found)
    add_weights(placement, matching, found)
    order: dict[ir.Node | ir.Value, int] = {part: place for place, part in enumerate([*activations(graph), *graph])}
    return [found[part] for part in sorted(found, key=order.__getitem__)]


def add_results(placement: Placement, recipe: Recipe, matching: "Matching", found: dict[ir.Node | ir.Value, Adjustable]) -> None:
    """Values that share codes belong to the layer that makes the first of them. What the recipe keeps in float stays so."""
    for group in placement.groups():
        computed = [value for value in sources(group) if constant(value) is None]
        makers = [maker_of(value, placement) for value in computed]
        asked = [recipe.settings(parts_of(maker), name_of(maker)).activations for maker in makers]
        if computed and not {FLOAT, DYNAMIC} & set(map(str, asked)):
            layer = entry(found, makers[0])
            layer.values += [value.name or "" for value in computed]
            layer.shared += [value.name or "" for value in group]
            layer.value_rules += [match for maker in makers if (match := matching.of(maker)) not in layer.value_rules]


def add_weights(placement: Placement, matching: "Matching", found: dict[ir.Node | ir.Value, Adjustable]) -> None:
    """A weight that serves several layers belongs to the first; rules speak of them all."""
    owners: dict[ir.Value, Adjustable] = {}
    for node in placement.weighted:
        for weight in weight_arrays(node):
            if weight not in owners:
                owners[weight] = entry(found, node)
                owners[weight].weights.append(weight.name or "")
                owners[weight].size += numbers(weight).size
            if (match := matching.of(node)) not in owners[weight].weight_rules:
                owners[weight].weight_rules.append(match)
                owners[weight].macs += multiply_accumulates(node) or 0
                owners[weight].reads = operand_of(node) if node in placement.integer else ""


def operand_of(node: ir.Node) -> str:
    """The computed value that a product reads; '' where there are none or several."""
    names = [v.name or "" for v in node.inputs[:2] if v is not None and constant(v) is None]
    return names[0] if len(names) == 1 else ""


def entry(found: dict[ir.Node | ir.Value, Adjustable], part: ir.Node | ir.Value) -> Adjustable:
    """The layer of a node or of an input, new where it is not there yet."""
    if part not in found:
        found[part] = Adjustable(name_of(part), part.op_type if isinstance(part, ir.Node) else "input")
    return found[part]


def maker_of(value: ir.Value, placement: Placement) -> ir.Node | ir.Value:
    """The node whose rule gives a value its format: the one before its clamps; the value itself where it is fed."""
    node = value.producer()
    while node is not None and is_clamp(node) and (before := node.inputs[0]) is not None and before not in placement.shared:
        if before.producer() is None:
            break
        node = before.producer()
    return value if node is None else node


def parts_of(maker: ir.Node | ir.Value) -> Sequence[ir.Node]:
    return chain_behind(maker) if isinstance(maker, ir.Node) else []


def name_of(part: ir.Node | ir.Value) -> str:
    return part.name or (part.outputs[0].name if isinstance(part, ir.Node) else "") or ""


class Matching:
    """Finds words by which a rule speaks of one node, and of no other."""

    def __init__(self, graph: ir.Graph) -> None:
        self.nodes = list(graph)
        self.known: dict[str, int] = {}
        for node in self.nodes:
            for name in {node.name, node.op_type, *(v.name for v in (*node.outputs, *weights_read(node)))}:
                self.known[name or ""] = self.known.get(name or "", 0) + 1

    def of(self, part: ir.Node | ir.Value) -> str:
        """The node's name where that is nobody else's; else its output's."""
        if isinstance(part, ir.Node) and not (part.name and self.known[part.name] == 1):
            return escape(part.outputs[0].name or "")
        return escape(part.name or "")


def weights_read(node: ir.Node) -> list[ir.Value]:
    return [v for v in node.inputs if v is not None and v.const_value is not None]
