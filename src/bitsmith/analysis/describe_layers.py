"""Every node of a network as a row: what it became, why, what that costs and what it loses."""

from collections.abc import Iterable, Iterator, Mapping

import onnx_ir as ir

from bitsmith.analysis.cost import multiply_accumulates, weight_arrays
from bitsmith.errors import LoweringError
from bitsmith.graph import constant, input_at, is_float, sole_consumer
from bitsmith.integer.arithmetic import MultiplyRescaled
from bitsmith.integer.bounds import Bounds
from bitsmith.integer.products import Convolve, MatrixMultiply
from bitsmith.integer.program import Program, made
from bitsmith.lowering import lower
from bitsmith.numerics import Encoding
from bitsmith.planning.plan import Plan
from bitsmith.report.rows import Layer, State, Tensor

Lost = Mapping[str, Tensor]
DYNAMIC_BITS = 8        # ranges found at run time are for codes of eight bits


def lower_if_possible(network: ir.Model, plan: Plan) -> Program | None:
    """The integer program; None where there is none, as with ranges found at run time."""
    try:
        return lower(network, plan)
    except LoweringError:
        return None


def describe_layers(network: ir.Model, plan: Plan, tensors: Iterable[Tensor]) -> Iterator[Layer]:
    """In the network's order."""
    program, rows = lower_if_possible(network, plan), {row.name: row for row in tensors}
    widths = {} if program is None else accumulator_bits(program, network.graph)
    counted: set[str] = set()
    for node in network.graph:
        constants = [v for v in own_constants(node) if v.name not in counted]
        counted |= {v.name or "" for v in constants}
        state, reason = state_of(node, plan, program)
        yield layer_of(node, plan, constants, rows, (state, reason, widths.get(final_name(node, plan))))


def layer_of(
    node: ir.Node, plan: Plan, constants: list[ir.Value], rows: Lost, found: tuple[State, str, int | None]
) -> Layer:
    """`found` is (state, reason, accumulator bits)."""
    output, (state, reason, width) = node.outputs[0].name or "", found
    row = rows.get(output)
    weights = [plan.encodings.get(v.name or "") for v in weight_arrays(node)]
    return Layer(
        node.name or output, node.op_type, output, state, reason,
        ", ".join(describe_format(e) for e in weights),
        "dynamic" if output in plan.dynamic else describe_format(plan.encodings.get(output)) if output in plan.encodings else "",
        row.low if row else None, row.high if row else None, row.snr_db if row else None,
        row.clipped if row else None, row.underflow if row else None, width,
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


def final_name(node: ir.Node, plan: Plan) -> str:
    """The first value from the node's own on that has codes, along values that only one node reads."""
    value = node.outputs[0]
    while value.name not in plan.encodings and (reader := sole_consumer(value)) is not None and input_at(reader, 0) is value:
        value = reader.outputs[0]
    return value.name or "" if value.name in plan.encodings else node.outputs[0].name or ""


def accumulator_bits(program: Program, graph: ir.Graph) -> dict[str, int]:
    """Width of the accumulators by the value that an instruction makes."""
    shapes = {v.name or "": v.shape for node in graph for v in node.inputs if v is not None}
    widths: dict[str, int] = {}
    for instruction in program.instructions:
        if isinstance(instruction, Convolve | MultiplyRescaled):
            widths[instruction.output] = widest(instruction.bounds)
        elif isinstance(instruction, MatrixMultiply):
            shape = shapes.get(instruction.inputs[0])
            terms = shape[-1] if shape is not None and len(shape) else None
            if instruction.weights is not None or isinstance(terms, int):
                widths[instruction.output] = widest(instruction.bounds(terms if isinstance(terms, int) else 0))
    return widths


def widest(bounds: Bounds) -> int:
    return int(bounds.bits.max(initial=1))
