"""Operators whose result is places, not numbers of the network's own kind."""

from collections.abc import Sequence

from bitsmith.graph import attribute
from bitsmith.integer.instructions import ArgMax, Instruction
from bitsmith.operators.operator import Flow, Operator
from bitsmith.operators.site import Site


def lower_arg_max(site: Site) -> Sequence[Instruction]:
    """The order of codes is that of the numbers they stand for."""
    axis = attribute(site.node, "axis", 0) % len(site.dims(0))
    kept, last = (bool(attribute(site.node, name, default)) for name, default in (("keepdims", 1), ("select_last_index", 0)))
    return [ArgMax((site.input(0),), site.output, axis, kept, last)]


OPERATORS = {"ArgMax": Operator(flow=Flow.TO_PLACES, lower=lower_arg_max)}
