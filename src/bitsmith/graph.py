"""Plain questions about an onnx_ir graph. Nothing here changes one."""

from collections.abc import Iterator
from typing import TypeVar

import numpy as np
import onnx_ir as ir

from bitsmith.numerics.formats import Array

T = TypeVar("T")


def constant(value: ir.Value | None) -> Array | None:
    """The array behind an initializer or folded constant; None where the value is computed, fed or absent."""
    if value is None or value.const_value is None or value.is_graph_input():
        return None
    return value.const_value.numpy()


def is_float(value: ir.Value) -> bool:
    """True for float32, the type that quantization replaces."""
    return value.dtype == ir.DataType.FLOAT


def rank(value: ir.Value) -> int | None:
    return None if value.shape is None else len(value.shape)


def consumers(value: ir.Value) -> list[ir.Node]:
    """Nodes that read the value, each once, those of subgraphs included."""
    return list(dict.fromkeys(value.consumers()))


def sole_consumer(value: ir.Value) -> ir.Node | None:
    """The only node that reads the value, where there is just one and the graph does not hand the value out."""
    readers = consumers(value)
    return readers[0] if len(readers) == 1 and not value.is_graph_output() else None


def attribute(node: ir.Node, name: str, default: T) -> T:
    """An attribute's plain value, or the default where the node does not say."""
    found = node.attributes.get(name)
    return default if found is None or found.value is None else found.value


def input_at(node: ir.Node, index: int) -> ir.Value | None:
    """The operand at an index; None where it was left out."""
    return node.inputs[index] if index < len(node.inputs) else None


def activations(graph: ir.Graph) -> Iterator[ir.Value]:
    """Values that change with the input: graph inputs first, then node outputs in order."""
    yield from (v for v in graph.inputs if not v.is_initializer())
    for node in graph:
        yield from (v for v in node.outputs if v.name and v.const_value is None)


def integers(value: ir.Value | None) -> list[int] | None:
    """A constant operand as a list of ints (axes, pads, shapes); None where it is absent or not constant."""
    array = constant(value)
    return None if array is None else [int(i) for i in np.ravel(array)]
