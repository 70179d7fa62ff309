"""Every node of a network as a row: what it became, why, what that costs and what it loses."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

import onnx_ir as ir

from bitsmith.analysis.accumulators import look_at
from bitsmith.analysis.cost import multiply_accumulates, weight_arrays
from bitsmith.errors import LoweringError
from bitsmith.graph import constant, is_float
from bitsmith.integer.program import Program, made
from bitsmith.loading.data import Data
from bitsmith.lowering import lower
from bitsmith.numerics import Encoding
from bitsmith.planning.plan import Plan
from bitsmith.report.rows import Layer, State, Sums, Tensor

Lost = Mapping[str, Tensor]
MOST_SAMPLES = 64
MOST_MACS = 2**29       # that the program may do for a report: a second or a few
DYNAMIC_BITS = 8        # ranges found at run time are for codes of eight bits


def lower_if_possible(network: ir.Model, plan: Plan) -> Program | None:
    """The integer program; None where there is none, as with ranges found at run time."""
    try:
        return lower(network, plan)
    except LoweringError:
        return None


def describe_layers(network: ir.Model, plan: Plan, tensors: Iterable[Tensor], data: Data | None = None) -> Iterator[Layer]:
    """In the network's order. With data, accumulators are looked at on so many samples that it takes seconds."""
    program, rows = lower_if_possible(network, plan), {row.name: row for row in tensors}
    sums = {} if program is None else sums_of(program, network, plan, data)
    counted: set[str] = set()
    for node in network.graph:
        constants = [v for v in own_constants(node) if v.name not in counted]
        counted |= {v.name or "" for v in constants}
        state, reason = state_of(node, plan, program)
        yield layer_of(node, plan, constants, rows, (state, reason, sums.get(node.outputs[0].name or "")))


def layer_of(
    node: ir.Node, plan: Plan, constants: list[ir.Value], rows: Lost, found: tuple[State, str, Sums | None]
) -> Layer:
    """`found` is (state, reason, accumulators)."""
    output, (state, reason, sums) = node.outputs[0].name or "", found
    row = rows.get(output)
    weights = [plan.encodings.get(v.name or "") for v in weight_arrays(node)]
    return Layer(
        node.name or output, node.op_type, output, state, reason,
        ", ".join(describe_format(e) for e in weights),
        "dynamic" if output in plan.dynamic else describe_format(plan.encodings.get(output)) if output in plan.encodings else "",
        row.low if row else None, row.high if row else None, row.snr_db if row else None,
        row.clipped if row else None, row.underflow if row else None, sums,
        sum(stored_bytes(v, None) for v in constants), sum(stored_bytes(v, plan.encodings.get(v.name or "")) for v in constants),
        multiply_accumulates(node),
    )


def own_constants(node: ir.Node) -> list[ir.Value]:
    return [v for v in dict.fromkeys(node.inputs) if v is not None and constant(v) is not None]


def describe_format(encoding: Encoding | None) -> str:
    """int8, or int8 × 16 with so many scales."""
    if encoding is None:
        return "float"
    return encoding.format.name + (f" × {encoding.scale.size}" if encoding.scale.size > 1 else "")


def stored_bytes(value: ir.Value, encoding: Encoding | None) -> int:
    """Codes packed tight, and their scales and zero points."""
    array = constant(value)
    assert array is not None
    if encoding is None:
        return array.nbytes
    return -(-array.size * encoding.format.bits // 8) + encoding.scale.nbytes + -(-encoding.scale.size * encoding.format.bits // 8)


def state_of(node: ir.Node, plan: Plan, program: Program | None) -> tuple[State, str]:
    """What became of the node, and why."""
    output = node.outputs[0]
    reason = plan.reasons.get(node.name or "") or plan.reasons.get(output.name or "", "")
    if not is_float(output):
        return "other", reason or "its result is not a float number"
    if program is not None and (said := program.in_float.get(node.name or output.name or "")) is not None:
        return "float", plan.reasons.get(node.name or "") or said
    if output.name in plan.encodings:
        return "codes", reason
    if reads_codes(node, plan) and (program is None or makes(program, output.name or "")):
        return "codes", reason or "reads codes; its result is real numbers"
    absorbed = program is not None or reason.startswith("needs no codes")
    return ("inside", reason or "computed within the next codes") if absorbed else ("float", reason or "the plan gives no codes")


def makes(program: Program, name: str) -> bool:
    """Whether the value exists in the program, and not only in the bounds of another's codes."""
    return any(name in made(instruction) for instruction in program.instructions)


def reads_codes(node: ir.Node, plan: Plan) -> bool:
    """True for products of codes: of those that are stored, computed before, or found while the network runs."""
    if not multiply_accumulates(node) or node.name in plan.in_float:
        return False
    return all(width is not None for width in operand_bits(node, plan))


def operand_bits(node: ir.Node, plan: Plan) -> list[int | None]:
    """Widths of the codes of a product's two operands; None for one in float."""
    names = [v.name or "" for v in node.inputs[:2] if v is not None and is_float(v)]
    return [plan.encodings[n].format.bits if n in plan.encodings else DYNAMIC_BITS if n in plan.dynamic else None for n in names]


def sums_of(program: Program, network: ir.Model, plan: Plan, data: Data | None) -> dict[str, Sums]:
    """Accumulators by the node's own value."""
    macs = sum(multiply_accumulates(node) or 0 for node in network.graph)
    samples = min(MOST_SAMPLES, MOST_MACS // max(1, macs))
    found = look_at(program, network, plan, None if data is None or not samples else data.limit(samples))
    return {layer.sums.output: replace(layer.sums, samples=found.samples) for layer in found.layers}
