"""Chains of pointwise operators that depend on one value only: on codes, each is one table."""

import onnx_ir as ir

from bitsmith.graph import constant, consumers, rank
from bitsmith.operators import OPERATORS
from bitsmith.operators.operator import Operator


def pointwise(node: ir.Node | None) -> Operator | None:
    """The operator of a pointwise node with one output; else None."""
    if node is None or node.domain not in ("", "ai.onnx") or len(node.outputs) != 1:
        return None
    operator = OPERATORS.get(node.op_type)
    return operator if operator is not None and operator.pointwise else None


def channel_axis(node: ir.Node) -> int | None:
    """The axis, counted from the end (-1 is the last), along which the node's constants vary; 0 for none, None for several."""
    axes = set()
    for value in node.inputs:
        array = constant(value)
        if array is not None:
            axes |= {axis - array.ndim for axis, length in enumerate(array.shape) if length > 1}
    return None if len(axes) > 1 else next(iter(axes), 0)


def table_source(value: ir.Value) -> ir.Value | None:
    """The one computed value that `value` is a pointwise function of, through operators whose constants vary along one axis at most.

    None where there are several such values, or where no pointwise operator makes `value`.
    """
    found: set[ir.Value] = set()
    axes: set[int] = set()
    pending, seen = [value], set()
    while pending:
        current = pending.pop()
        if current in seen:
            continue
        seen.add(current)
        node = current.producer()
        axis = channel_axis(node) if node is not None and pointwise(node) else None
        if node is None or axis is None:
            found.add(current)
            continue
        axes |= {axis} - {0}
        pending += [v for v in node.inputs if v is not None and constant(v) is None]
        if len(axes) > 1:
            return None
    source = next(iter(found)) if len(found) == 1 else None
    return None if source is value or source is None or rank(source) != rank(value) else source


def inside_table(value: ir.Value) -> bool:
    """True where every reader of the value belongs to a chain that depends on the same one value."""
    source = table_source(value)
    readers = consumers(value)
    return source is not None and bool(readers) and not value.is_graph_output() and all(
        pointwise(n) is not None and table_source(n.outputs[0]) is source for n in readers
    )
