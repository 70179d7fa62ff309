"""Chains of pointwise operators that depend on one value only: on codes, each is one table."""

from collections.abc import Callable, Container
from dataclasses import dataclass

import onnx_ir as ir

from bitsmith.graph import constant, rank
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


@dataclass(frozen=True)
class Region:
    """A chain of pointwise nodes, in order, that depends on `source` only; its constants vary along `axis` (from the end), if at all."""

    source: ir.Value
    nodes: tuple[ir.Node, ...]
    axis: int | None


def find_region(value: ir.Value, stops: Container[ir.Value] = ()) -> Region | None:
    """The chain that makes `value` from one computed value; values in `stops` are not looked behind.

    None where there are several such values, or where no pointwise operator makes `value`.
    """
    sources: set[ir.Value] = set()
    nodes: set[ir.Node] = set()
    axes: set[int] = set()
    pending = [value]
    while pending:
        current = pending.pop()
        node = current.producer()
        axis = channel_axis(node) if node is not None and pointwise(node) and (current is value or current not in stops) else None
        if node is None or axis is None:
            sources.add(current)
        elif node not in nodes:
            nodes.add(node)
            axes |= {axis} - {0}
            pending += [v for v in node.inputs if v is not None and constant(v) is None]
    if len(sources) != 1 or len(axes) > 1 or value in sources or rank(next(iter(sources))) != rank(value):
        return None
    return Region(next(iter(sources)), tuple(sorted(nodes, key=place_of(value))), next(iter(axes), None))


def place_of(value: ir.Value) -> Callable[[ir.Node], int]:
    """A node's place in the graph that makes the value."""
    graph = value.graph
    order = {} if graph is None else {node: i for i, node in enumerate(graph)}
    return lambda node: order[node]


def table_source(value: ir.Value) -> ir.Value | None:
    """The one computed value that `value` is a pointwise function of; None where there is no such one."""
    region = find_region(value)
    return None if region is None else region.source
