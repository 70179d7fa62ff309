"""Where encodings are needed: which nodes run on codes, which values have codes, and which of them must share."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import onnx_ir as ir

from bitsmith.graph import constant, is_float, sole_consumer
from bitsmith.numerics import parse_format
from bitsmith.operators import Flow, Operator, is_clamp, operator_of
from bitsmith.operators.regions import table_source
from bitsmith.planning.accepts import Accepts
from bitsmith.planning.existing import KEPT, quantized_already
from bitsmith.planning.recipe import DYNAMIC, FLOAT, Recipe, Rule

MOVES = (Flow.INPUT_TO_OUTPUT, Flow.SHARED)


@dataclass
class Placement:
    """weighted   nodes whose weights are narrowed, each with what the recipe asks of it
    integer    nodes that run on codes
    dynamic    values whose range is found while the network runs
    reasons    by node or value name, for everything that stays float
    shared     value -> the value whose encoding it has; values that are not in it stay float
    ends       the first and last layers, where the recipe treats them apart
    """

    weighted: dict[ir.Node, Rule] = field(default_factory=dict)
    integer: dict[ir.Node, Rule] = field(default_factory=dict)
    dynamic: dict[str, Rule] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    shared: dict[ir.Value, ir.Value] = field(default_factory=dict)
    ends: set[ir.Node] = field(default_factory=set)

    def want(self, value: ir.Value) -> None:
        """The value gets codes."""
        self.shared.setdefault(value, value)

    def root(self, value: ir.Value) -> ir.Value:
        while self.shared[value] is not value:
            value = self.shared[value]
        return value

    def join(self, first: ir.Value, second: ir.Value) -> None:
        """Both values get codes, of one encoding."""
        self.want(first)
        self.want(second)
        self.shared[self.root(second)] = self.root(first)

    def groups(self) -> list[list[ir.Value]]:
        """Values that share an encoding, in the order in which they were wanted."""
        found: dict[ir.Value, list[ir.Value]] = {}
        for value in self.shared:
            found.setdefault(self.root(value), []).append(value)
        return list(found.values())


def place(graph: ir.Graph, recipe: Recipe, accepts: Accepts) -> Placement:
    """Decide what runs on codes.

    Products ask for codes at their inputs (and outputs, where their kernel ends in codes). Cheap operators between them
    join where all they read has codes already, or always, where the target has no float arithmetic.
    """
    placement = Placement(ends=end_layers(graph) if recipe.ends is not None else set())
    slow = {} if recipe.everything else accepts.faster_in_float(graph)
    existing = quantized_already(graph)
    for node in graph:
        if node in existing:
            placement.reasons[node.name or node.outputs[0].name or ""] = KEPT
        else:
            classify(placement, node, recipe, slow.get(node.name or "", "") or finer_in_float(node, accepts))
    for node in placement.integer:
        if asks_first(node):
            ask(placement, node, accepts)
    if not accepts.floats:
        want_ends(placement, graph, recipe)
    before = -1
    while before != len(placement.shared):
        before = len(placement.shared)
        spread_forward(placement, graph, accepts)
        spread_backward(placement, graph)
    drop_those_left_out(placement)
    return placement


def want_ends(placement: Placement, graph: ir.Graph, recipe: Recipe) -> None:
    """Where there is no float arithmetic, what an activation function at the end makes and what an arg-max searches need codes."""
    curves = [v for v in graph.outputs if (node := v.producer()) is not None and (operator := operator_of(node)) is not None
              and operator.flow is Flow.NONE and operator.pointwise]
    searched = [node.inputs[0] for node in graph if (operator := operator_of(node)) is not None and operator.flow is Flow.TO_PLACES]
    for value in (*curves, *searched):
        origin = None if value is None else value.producer()
        asked = recipe.settings([] if origin is None else [origin], "" if value is None else value.name or "")
        if value is not None and is_float(value) and asked.activations not in (FLOAT, DYNAMIC):
            placement.want(value)


def finer_in_float(node: ir.Node, accepts: Accepts) -> str:
    """Why a node stays in float where there is float arithmetic at all; "" where it does not."""
    operator = operator_of(node)
    stays = accepts.floats and operator is not None and operator.without_float(node)
    return f"{node.op_type} is integers only where there is no float arithmetic" if stays else ""


def want_what_is_searched(placement: Placement, graph: ir.Graph) -> None:
    """Where there is no float arithmetic, an arg-max needs codes to search."""
    for node in graph:
        operator, searched = operator_of(node), node.inputs[0] if node.inputs else None
        if operator is not None and operator.flow is Flow.TO_PLACES and searched is not None and is_float(searched):
            placement.want(searched)


def classify(placement: Placement, node: ir.Node, recipe: Recipe, slow: str) -> None:
    """Sort one node: on codes, weights only, dynamic or float, with the reason."""
    operator, name = operator_of(node), node.name or node.outputs[0].name or ""
    if operator is None or operator.flow in (Flow.NONE, Flow.TO_PLACES):
        if operator is None and any(is_float(v) for v in node.outputs):
            placement.reasons[name] = f"float: bitsmith knows no integer arithmetic for {node.op_type}"
        return
    asked = recipe.settings(chain_behind(node))
    if node in placement.ends:
        asked = with_ends(asked, recipe)
    has_weights = bool(operator.parameters(node)) and asked.weights != FLOAT
    if has_weights:
        placement.weighted[node] = asked
    obstacle = obstacle_of(node, operator, asked, slow)
    if not obstacle and asked.activations == DYNAMIC:
        if operator.parameters(node):
            placement.dynamic |= {v.name or "": asked for v in activation_operands(node, operator)}
    elif not obstacle:
        placement.integer[node] = asked
    elif all(is_float(v) for v in node.outputs):
        placement.reasons[name] = f"{'float arithmetic, narrow weights' if has_weights else 'float'}: {obstacle}"


def obstacle_of(node: ir.Node, operator: Operator, asked: Rule, slow: str) -> str:
    """Why the node does not run on codes; "" where it does."""
    if not all(is_float(v) for v in (*node.outputs[:1], *activation_operands(node, operator))):
        return "its values are not float32"
    if operator.weights_only:
        return f"{node.op_type} has no integer kernel"
    if asked.activations == FLOAT:
        return "the recipe keeps its activations in float"
    if operator.parameters(node) and asked.weights == FLOAT:
        return "the recipe keeps its weights in float"
    if isinstance(asked.activations, str) and asked.activations != DYNAMIC and not parse_format(asked.activations).integral:
        return ""               # arithmetic stays float, and what it reads and makes is rounded
    if operator.parameters(node) and isinstance(asked.weights, str) and not parse_format(asked.weights).integral:
        return f"its weights are {asked.weights}, which no integer arithmetic sums up"
    if operator.parameters(node) and str(asked.granularity).startswith("group"):
        return f"weights in {asked.granularity} have several scales in one sum"
    return operator.obstacle(node) or slow


def activation_operands(node: ir.Node, operator: Operator) -> list[ir.Value]:
    """The operands that carry activations: for movements the first, else all but weights and bias."""
    if operator.flow in (Flow.INPUT_TO_OUTPUT, Flow.OUTPUT_TO_INPUT) or operator.without_float(node):
        return [v for v in node.inputs[:1] if v is not None]
    apart = {p.index for p in operator.parameters(node)} | {operator.bias}
    operands = [v for i, v in enumerate(node.inputs) if v is not None and i not in apart]
    return [v for v in operands if is_float(v) or constant(v) is None]         # axes and sizes are no activations


def moves(node: ir.Node) -> bool:
    """True where the node's results have the encoding of what it reads.

    A Concat shares unless it joins what clamps bound with what they do not: one range for both would undo the saturation.
    """
    operator = operator_of(node)
    if operator is None or operator.flow not in MOVES:
        return False
    return operator.flow is Flow.INPUT_TO_OUTPUT or len({bounds(v) for v in node.inputs if v is not None}) == 1


def bounds(value: ir.Value) -> tuple[str, ...]:
    """Which clamp bounds a value, seen through movements: its operator and its operands' values; () for none."""
    while (node := value.producer()) is not None and (operator := operator_of(node)) is not None:
        if is_clamp(node):
            return (node.op_type, *(str(constant(v)) for v in node.inputs[1:]), *(str(a) for a in node.attributes.values()))
        if operator.flow is not Flow.INPUT_TO_OUTPUT or node.inputs[0] is None:
            break
        value = node.inputs[0]
    return ()


def asks_first(node: ir.Node) -> bool:
    """True for products."""
    operator = operator_of(node)
    return operator is not None and operator.is_product


def ask(placement: Placement, node: ir.Node, accepts: Accepts) -> None:
    """The node runs on codes: its operands and, unless its kernel may end in float, its output need them."""
    operator = operator_of(node)
    assert operator is not None
    for value in activation_operands(node, operator):
        placement.want(value)
    if node.op_type not in accepts.ends_in_float:
        want_output(placement, node.outputs[0])


def want_output(placement: Placement, value: ir.Value) -> None:
    """Codes for a result; where a clamp follows, at once or behind moves, its output's encoding saturates as the clamp would."""
    path = path_to_clamp(placement, value)
    if not path:
        placement.want(value)
        return
    final = path[-1].outputs[0]
    placement.want(final)
    for node in path:
        moved = node.inputs[0]
        assert moved is not None
        if node is path[0] and is_clamp(node):
            placement.reasons[moved.name or ""] = f"needs no codes: those of '{final.name}' saturate as {path[-1].op_type} does"
        elif not is_clamp(node):
            placement.join(final, moved)
            placement.join(final, node.outputs[0])


def path_to_clamp(placement: Placement, value: ir.Value) -> list[ir.Node]:
    """The nodes from a value to the last clamp behind it, where each is its predecessor's only reader; else nothing."""
    path: list[ir.Node] = []
    last_clamp = 0
    while (node := sole_consumer(value)) is not None and node in placement.integer and node.inputs[0] is value:
        operator = operator_of(node)
        assert operator is not None
        if operator.flow not in (Flow.OUTPUT_TO_INPUT, Flow.INPUT_TO_OUTPUT) or len(node.outputs) != 1:
            break
        path.append(node)
        last_clamp = len(path) if is_clamp(node) else last_clamp
        value = node.outputs[0]
    return path[:last_clamp]


def chain_behind(node: ir.Node) -> list[ir.Node]:
    """The node and the clamps that follow it with nothing between: rules for any of them speak of all."""
    chain = [node]
    while (following := sole_consumer(chain[-1].outputs[0])) is not None and is_clamp(following):
        chain.append(following)
    return chain


def spread_forward(placement: Placement, graph: ir.Graph, accepts: Accepts) -> None:
    """Cheap operators join where everything that they read has codes."""
    for node in graph:
        if node not in placement.integer or asks_first(node):
            continue
        operator = operator_of(node)
        assert operator is not None
        inputs = activation_operands(node, operator)
        computed = [v for v in inputs if constant(v) is None] or inputs
        ready = all(v in placement.shared for v in computed) or (moves(node) and any(constant(v) is not None for v in computed))
        if is_clamp(node) or (operator.pointwise and table_source(node.outputs[0]) is not None):
            continue
        if ready or not accepts.floats:
            connect(placement, node, operator, inputs)


def connect(placement: Placement, node: ir.Node, operator: Operator, inputs: Sequence[ir.Value]) -> None:
    """Give the node's operands and results codes: of one encoding for movements, of their own otherwise."""
    for value in inputs:
        placement.want(value)
    if moves(node):
        for value in (*inputs[1:], *(o for o in node.outputs if is_float(o))):
            if value not in placement.shared or placement.root(value) is not placement.root(inputs[0]):
                placement.join(inputs[0], value)
    elif not any(n.outputs[0] in placement.shared for n in chain_behind(node)):
        want_output(placement, node.outputs[0])


def spread_backward(placement: Placement, graph: ir.Graph) -> None:
    """A movement whose result needs codes moves codes, where nobody else reads what it moves."""
    for node in reversed(graph):
        operator = operator_of(node)
        if node not in placement.integer or operator is None or not moves(node) or len(node.outputs) != 1:
            continue
        inputs = activation_operands(node, operator)
        if node.outputs[0] in placement.shared and all(sole_consumer(v) is node or v in placement.shared for v in inputs):
            connect(placement, node, operator, inputs)


def drop_those_left_out(placement: Placement) -> None:
    """Cheap operators that nothing with codes led to stay float; that is no loss, so no reason is owed beyond a word."""
    for node in list(placement.integer):
        if not asks_first(node) and not is_clamp(node) and node.outputs[0] not in placement.shared:
            behind = chain_behind(node)[-1].outputs[0]
            if behind not in placement.shared:
                del placement.integer[node]


def end_layers(graph: ir.Graph) -> set[ir.Node]:
    """The first and the last node with weights."""
    layers = [n for n in graph if (o := operator_of(n)) is not None and o.parameters(n) and n.op_type != "Gather"]
    return {*layers[:1], *layers[-1:]}


def with_ends(asked: Rule, recipe: Recipe) -> Rule:
    """What is asked of a first or last layer: the recipe's `ends`, unless the recipe keeps the layer in float anyway."""
    keep_float = asked.activations in (FLOAT, DYNAMIC)
    return Rule(**{**vars(asked), "weights": recipe.ends, **({} if keep_float else {"activations": recipe.ends})})
