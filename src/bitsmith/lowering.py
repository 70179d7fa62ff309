"""From a network and its plan to the integer program. What has no integer meaning is called in float, and says so by its name."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import onnx_ir as ir

from bitsmith.errors import LoweringError
from bitsmith.graph import activations, constant, is_float, sole_consumer
from bitsmith.integer.codes import CodeRange
from bitsmith.integer.instructions import (
    FLOAT32,
    Arithmetic,
    CallFloat,
    Dequantize,
    Instruction,
    Interpolate,
    LookUp,
    Quantize,
    Reshape,
)
from bitsmith.integer.program import Program, made
from bitsmith.numerics.encoding import Encoding
from bitsmith.operators import Flow, Operator, is_clamp, operator_of
from bitsmith.operators.float_meaning import float_function, tabulate
from bitsmith.operators.raw import raw_encodings
from bitsmith.operators.regions import find_region
from bitsmith.operators.site import Site
from bitsmith.planning.plan import Plan


@dataclass
class Lowering:
    """The program so far.

    coded   the computed values that have encodings
    floats  nodes that the plan leaves in float
    made    names of the values that exist, clamped ones that exist nowhere included
    reals   name of a value that is codes -> name of the same in real numbers
    sites   name of a node that became integer instructions of its own -> how it was seen
    """

    encodings: Mapping[str, Encoding]
    arithmetic: Arithmetic
    coded: frozenset[ir.Value]
    floats: frozenset[str]
    made: set[str]
    instructions: list[Instruction | CallFloat] = field(default_factory=list)
    reals: dict[str, str] = field(default_factory=dict)
    sites: dict[str, Site] = field(default_factory=dict)

    def is_coded(self, value: ir.Value) -> bool:
        return value.name in self.encodings

    def add(self, instructions: Sequence[Instruction | CallFloat]) -> None:
        for instruction in instructions:
            names = set(made(instruction))
            if not names <= self.made:         # a constant may serve several nodes
                self.instructions.append(instruction)
                self.made |= names

    def real(self, value: ir.Value) -> str:
        """The name of a value as real numbers, dequantized where it is codes."""
        name = value.name or ""
        if name not in self.encodings or not is_float(value):       # raw numbers are what they are
            return name
        if name not in self.reals:
            self.reals[name] = f"{name} (real)"
            self.add([Dequantize((name,), self.reals[name], self.encodings[name])])
        return self.reals[name]


def lower(network: ir.Model, plan: Plan, *, arithmetic: Arithmetic = FLOAT32) -> Program:
    """The integer program of a quantized network. `Program.in_float` names the nodes without integer arithmetic.

    Raises LoweringError where the plan leaves ranges to be found at run time: integers need them beforehand.
    """
    lowering, graph = lower_nodes(network, plan, arithmetic), network.graph
    inputs = {v.name or "": lowering.encodings.get(v.name or "") for v in graph.inputs}
    codes = {name: e for name, e in lowering.encodings.items() if name in lowering.made}
    return Program(needed(lowering.instructions, graph), inputs, tuple(v.name or "" for v in graph.outputs), codes)


def integer_sites(network: ir.Model, plan: Plan) -> Mapping[str, Site]:
    """The nodes that the integer program has integer instructions for, tables excepted, by name. Raises LoweringError as `lower` does."""
    return lower_nodes(network, plan, FLOAT32).sites


def lower_nodes(network: ir.Model, plan: Plan, arithmetic: Arithmetic) -> Lowering:
    """Every node in turn."""
    if plan.dynamic:
        raise LoweringError(f"The range of '{min(plan.dynamic)}' is found at run time: there is no integer program; use a static recipe.")
    graph = network.graph
    encodings = {**plan.encodings, **raw_encodings(graph)}
    coded = frozenset(v for v in activations(graph) if v.name in encodings)
    lowering = Lowering(encodings, arithmetic, coded, plan.in_float, {v.name or "" for v in graph.inputs})
    for node in graph:
        if not already_made(lowering, node):
            lower_node(lowering, node)
    return lowering


def already_made(lowering: Lowering, node: ir.Node) -> bool:
    """True for clamps that are part of the instruction before them."""
    return all(not v.name or v.name in lowering.made for v in node.outputs)


def lower_node(lowering: Lowering, node: ir.Node) -> None:
    """As a table, as integer instructions, or, where neither can be, in float."""
    result, operator = node.outputs[0], operator_of(node)
    if operator is not None and operator.pointwise and lowering.is_coded(result) and lower_to_table(lowering, result):
        return
    reason = reason_for_float(lowering, node, operator)
    if operator is not None and operator.lower is not None and not reason:
        try:
            site = site_of(lowering, node)
            lowering.add(complete(node, operator.lower(site)))
            lowering.sites[node.name or ""] = site
            cover_clamps(lowering, result)
            return
        except LoweringError as problem:
            reason = str(problem)
    call_float(lowering, node, reason)


def complete(node: ir.Node, found: Sequence[Instruction]) -> Sequence[Instruction]:
    """Raises LoweringError where nothing makes what somebody reads beside the first result: a mask, indices."""
    names = {name for instruction in found for name in made(instruction)}
    missing = [v.name for v in node.outputs[1:] if v.name not in names and (v.uses() or v.is_graph_output())]
    if missing:
        raise LoweringError(f"there is no integer arithmetic for '{missing[0]}'")
    return found


def reason_for_float(lowering: Lowering, node: ir.Node, operator: Operator | None) -> str:
    """Why a node cannot run on the codes that the plan gives; "" where it can."""
    if operator is None or (operator.lower is None and not operator.pointwise):
        return f"there is no integer arithmetic for {node.op_type}"
    if node.name in lowering.floats:
        return "the plan leaves it in float"
    if operator.without_float(node) and lowering.arithmetic is FLOAT32:
        return f"{node.op_type} is integers only where all rounding is"
    moving, placing, result = operator.flow is Flow.INPUT_TO_OUTPUT, operator.flow is Flow.TO_PLACES, node.outputs[0]
    operands = [v for v in (node.inputs[:1] if moving or operator.without_float(node) else node.inputs) if v is not None and is_float(v)]
    in_float = [v.name for v in operands if not lowering.is_coded(v)]
    numbers = [v.name or "" for v in operands if lowering.is_coded(v) and not lowering.encodings[v.name or ""].format.integral]
    if numbers:
        return f"'{numbers[0]}' is {lowering.encodings[numbers[0]].format.name}, which no integer arithmetic sums up"
    final = final_value(lowering, result)
    if final is not None and not lowering.encodings[final.name or ""].format.integral:
        return f"'{final.name}' is {lowering.encodings[final.name or ''].format.name}, which no integer arithmetic ends in"
    if (not is_float(result) and not placing) or in_float:
        return f"'{in_float[0]}' stays float" if in_float else "its result is not float32"
    if obstacle := operator.obstacle(node):
        return obstacle
    if moving and not all(same_encoding(lowering, node.inputs[0], v) for v in node.outputs if is_float(v)):
        return f"'{result.name}' has not the encoding of what it moves"
    if not moving and not placing and not operator.is_product and final_value(lowering, result) is None:
        return f"'{result.name}' stays float"
    if operator.lower is None:
        return f"{node.op_type} is integers only where it becomes a table, and here it does not"
    return ""


def same_encoding(lowering: Lowering, first: ir.Value | None, second: ir.Value) -> bool:
    """True where codes can be moved as they are."""
    if first is None or not lowering.is_coded(first):
        return False
    return not second.name or lowering.encodings.get(second.name) == lowering.encodings[first.name or ""]


def final_value(lowering: Lowering, value: ir.Value) -> ir.Value | None:
    """The value itself or, behind clamps without codes between, the first that has codes; None where there is none."""
    while not lowering.is_coded(value):
        following = sole_consumer(value)
        if following is None or not is_clamp(following) or following.inputs[0] is not value:
            return None
        value = following.outputs[0]
    return value


def clamps_between(value: ir.Value, final: ir.Value) -> list[ir.Node]:
    """The clamps that lead from one value to the other."""
    path = []
    while value is not final:
        (node,) = value.consumers()
        path.append(node)
        value = node.outputs[0]
    return path


def site_of(lowering: Lowering, node: ir.Node) -> Site:
    """The node with its output's name and codes, clamps behind it included."""
    result = node.outputs[0]
    final = final_value(lowering, result)
    if final is None:
        return Site(node, lowering.encodings, result.name or "", None, lowering.arithmetic)
    encoding = lowering.encodings[final.name or ""]
    low, high = -np.inf, np.inf
    for clamp in clamps_between(result, final):
        at_least, at_most = clamp_bounds(clamp)
        low, high = min(max(low, at_least), at_most), max(min(high, at_most), at_least)
    first, last = (int(encoding.quantize(np.asarray(end, np.float32))) for end in (low, high))
    return Site(node, lowering.encodings, final.name or "", CodeRange.of(encoding, first, last), lowering.arithmetic)


def clamp_bounds(node: ir.Node) -> tuple[float, float]:
    """(least, most) that a Relu or Clip lets through."""
    if node.op_type == "Relu":
        return 0.0, np.inf
    ends = [constant(v) if v is not None else None for v in (*node.inputs[1:], None, None)][:2]
    low, high = ends
    return -np.inf if low is None else float(low.reshape(())), np.inf if high is None else float(high.reshape(()))


def cover_clamps(lowering: Lowering, result: ir.Value) -> None:
    """Clamps that the instruction does are made with it; the values between exist nowhere."""
    final = final_value(lowering, result)
    if final is not None:
        lowering.made |= {v.name or "" for n in clamps_between(result, final) for v in n.outputs}


def lower_to_table(lowering: Lowering, result: ir.Value) -> bool:
    """One table for the chain of pointwise nodes that makes the value from one that has codes."""
    region = find_region(result, lowering.coded)
    if region is None or region.source not in lowering.coded:
        return False
    if not all(lowering.encodings[v.name or ""].format.integral for v in (region.source, result)):
        return False
    axis = None
    if region.axis is not None and region.source.shape is not None:
        axis = len(region.source.shape) + region.axis
        if axis == 0 or not isinstance(region.source.shape[axis], int):
            return False
    short = lowering.arithmetic is not FLOAT32
    table = tabulate(region.nodes, region.source, result, axis, lowering.encodings, short=short)
    lowering.add([same_codes(table, region.source) or table])
    return True


def same_codes(table: LookUp | Interpolate, source: ir.Value) -> Reshape | None:
    """A table that changes no code as the instruction that does nothing; None for others."""
    dims = [] if source.shape is None else [d if isinstance(d, int) else None for d in source.shape][1:]
    if isinstance(table, Interpolate) or table.axis is not None or None in dims or table.table.dtype != table.source.storage:
        return None
    if not np.array_equal(table.table, np.arange(table.source.low, table.source.high + 1)):
        return None
    return Reshape(table.inputs, table.output, tuple(d for d in dims if d is not None))


def call_float(lowering: Lowering, node: ir.Node, reason: str) -> None:
    """Real numbers in, the node as onnxruntime computes it, and codes again where the plan wants them."""
    read, results, function = float_function(node, lowering.encodings)
    inputs = tuple(lowering.real(v) for v in read)
    names = tuple(f"{v.name} (unrounded)" if lowering.is_coded(v) else v.name or "" for v in results)
    lowering.add([CallFloat(node.name or names[0], inputs, names, function, reason)])
    for value, name in zip(results, names, strict=True):
        if lowering.is_coded(value):
            lowering.add([Quantize((name,), value.name or "", lowering.encodings[value.name or ""])])


def needed(instructions: Sequence[Instruction | CallFloat], graph: ir.Graph) -> tuple[Instruction | CallFloat, ...]:
    """The instructions that lead to an output or to codes of the network's own values: float copies that nothing reads go."""
    kept: list[Instruction | CallFloat] = []
    wanted = {v.name or "" for v in graph.outputs}
    for instruction in reversed(instructions):
        if wanted & set(made(instruction)):
            kept.append(instruction)
            wanted |= set(instruction.inputs)
    return tuple(reversed(kept))
