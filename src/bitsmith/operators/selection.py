"""Operators that choose: what they make is places, or what lies there."""

from collections.abc import Sequence

import onnx_ir as ir

from bitsmith.errors import LoweringError
from bitsmith.graph import attribute, input_at, integers
from bitsmith.integer.instructions import ArgMax, Instruction, Pick, TopK
from bitsmith.operators.operator import Flow, Operator
from bitsmith.operators.site import Site, known


def lower_arg_max(site: Site) -> Sequence[Instruction]:
    """The order of codes is that of the numbers they stand for."""
    axis = attribute(site.node, "axis", 0) % len(site.dims(0))
    kept, last = (bool(attribute(site.node, name, default)) for name, default in (("keepdims", 1), ("select_last_index", 0)))
    return [ArgMax((site.input(0),), site.output, axis, kept, last)]


def top_obstacle(node: ir.Node) -> str:
    """Only the largest, of a known number, in their order."""
    if (count := integers(input_at(node, 1))) is None or len(count) != 1:
        return "how many it takes is computed while the network runs"
    return "" if attribute(node, "largest", 1) and attribute(node, "sorted", 1) else "it takes the smallest, or in no order"


def lower_top_k(site: Site) -> Sequence[Instruction]:
    """The places, and what lies there, where anybody reads it."""
    axis, (values, places) = attribute(site.node, "axis", -1) % len(site.dims(0)), site.node.outputs
    (count,), name = integers(input_at(site.node, 1)) or [0], places.name or f"{site.output} (places)"
    top, length = TopK((site.input(0),), name, axis, count), known(site.dims(0)[axis:axis + 1], site.name)[0]
    if not 0 < count <= length:
        raise LoweringError(f"{site.name} takes {count} of {length}.")
    return [top, Pick((site.input(0), name), site.output, axis)] if values.uses() or values.is_graph_output() else [top]


OPERATORS = {
    "ArgMax": Operator(flow=Flow.TO_PLACES, lower=lower_arg_max),
    "TopK": Operator(flow=Flow.INPUT_TO_OUTPUT, obstacle=top_obstacle, lower=lower_top_k),
}
