"""Pieces of a network between values through which everything passes: each can be computed again from one value."""

from collections.abc import Container, Iterator
from dataclasses import dataclass

import onnx_ir as ir

from bitsmith.graph import constant


@dataclass(frozen=True)
class Block:
    """nodes in order, the one computed value that they read from outside, and the one that is read outside."""

    nodes: tuple[ir.Node, ...]
    source: str
    result: str


def find_blocks(graph: ir.Graph, weights: Container[str]) -> Iterator[Block]:
    """The smallest pieces that read one of these weights at least; what lies behind the last belongs to none.

    Nodes before or between them without such weights belong to the next one.
    """
    last = {value: index for index, node in enumerate(graph) for value in node.inputs if value is not None}
    last |= dict.fromkeys(graph.outputs, len(graph))
    live = {value for value in graph.inputs if value in last}
    nodes: list[ir.Node] = []
    source = next(iter(live)) if len(live) == 1 else None
    for index, node in enumerate(graph):
        nodes.append(node)
        live |= {value for value in node.outputs if value in last}
        live = {value for value in live if last[value] > index and constant(value) is None}
        if len(live) == 1 and any(v is not None and v.name in weights for n in nodes for v in n.inputs):
            (result,) = live
            if source is not None:
                yield Block(tuple(nodes), source.name or "", result.name or "")
            nodes, source = [], result
