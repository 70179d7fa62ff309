"""The few ways in which rewrites change a graph: a value takes another's place, a node goes, an operand gets new numbers."""

from itertools import count

import numpy as np
import onnx_ir as ir

from bitsmith.graph import constant
from bitsmith.numerics.formats import Array

FLOATS = (np.dtype(np.float32), np.dtype(np.float64))


def is_standard(node: ir.Node, *kinds: str) -> bool:
    """One of these operators of ONNX itself."""
    return node.op_type in kinds and node.domain == ""


def sole_reader(value: ir.Value, graph: ir.Graph) -> ir.Node | None:
    """The node of this graph itself that alone reads the value, once; None where another reads it too, or the graph hands it out."""
    uses = value.uses()
    if len(uses) != 1 or value.is_graph_output():
        return None
    (use,) = uses
    return use.node if use.node.graph is graph else None


def float_constant(value: ir.Value | None) -> Array | None:
    """The array of a constant of type float32 or float64; None for all else."""
    array = constant(value)
    return array if array is not None and array.dtype in FLOATS else None


def absorb(kept: ir.Value, node: ir.Node) -> None:
    """The kept value, whose meaning has become that of the node's output, takes its readers, name and notes; the node goes."""
    gone = node.outputs[0]
    name, shape, kind = gone.name, gone.shape, gone.type
    replace(gone, kept)
    discard(node)
    kept.name = name
    kept.shape = kept.shape if shape is None else shape
    kept.type = kept.type if kind is None else kind
    kept.meta.update(gone.meta)


def bypass(node: ir.Node, kept: ir.Value) -> bool:
    """Readers of the node's output read the equal, kept value; the node goes. False, and nothing done, if a result would lose its name."""
    if not node.outputs[0].is_graph_output():
        kept.shape = node.outputs[0].shape if kept.shape is None else kept.shape
        replace(node.outputs[0], kept)
        discard(node)
        return True
    if kept.producer() is None or kept.is_graph_output() or kept.graph is not node.graph:
        return False
    absorb(kept, node)
    return True


def replace(gone: ir.Value, kept: ir.Value) -> None:
    gone.replace_all_uses_with(kept, replace_graph_outputs=True)


def discard(node: ir.Node) -> None:
    """Removes a node whose outputs nobody reads, and before it what then serves nobody: constants and nodes."""
    operands = dict.fromkeys(value for value in node.inputs if value is not None)
    if node.graph is not None:
        node.graph.remove(node, safe=True)
    for value in operands:
        drop_unread(value)


def drop_unread(value: ir.Value) -> None:
    if value.uses() or value.is_graph_output() or value.is_graph_input():
        return
    node = value.producer()
    if value.is_initializer() and value.graph is not None and value.name is not None:
        value.graph.initializers.pop(value.name)
    elif node is not None and node.graph is not None and is_idle(node):
        discard(node)


def is_idle(node: ir.Node) -> bool:
    """Nobody reads any output, and no subgraph reads on the node's behalf."""
    return not holds_graph(node) and not any(value.uses() or value.is_graph_output() for value in node.outputs)


def holds_graph(node: ir.Node) -> bool:
    return any(held.type in (ir.AttributeType.GRAPH, ir.AttributeType.GRAPHS) for held in node.attributes.values())


def set_constant(graph: ir.Graph, node: ir.Node, index: int, array: Array) -> None:
    """New numbers for a constant operand: under its own name where this node alone reads it, else in a copy named after it."""
    value = node.inputs[index]
    assert value is not None
    if len(value.uses()) == 1 and value.is_initializer() and value.graph is graph and not value.is_graph_output():
        store(value, array)
    else:
        node.replace_input_with(index, add_constant(graph, value.name or node.outputs[0].name or "constant", array))


def add_constant(graph: ir.Graph, wished: str, array: Array) -> ir.Value:
    """A new initializer, named as wished or nearly so."""
    value = ir.Value(name=unique_name(graph, wished))
    store(value, array)
    graph.register_initializer(value)
    return value


def store(value: ir.Value, array: Array) -> None:
    tensor = ir.Tensor(array, name=value.name)
    value.const_value, value.type, value.shape = tensor, ir.TensorType(tensor.dtype), ir.Shape(array.shape)


def unique_name(graph: ir.Graph, wished: str) -> str:
    """The wished name, or the first of wished_1, wished_2, ... that no value has, in subgraphs either."""
    taken = {value.name for inner in (graph, *graph.subgraphs()) for value in (*inner.inputs, *inner.initializers.values())}
    taken.update(value.name for node in graph.all_nodes() for value in node.outputs)
    return wished if wished not in taken else next(name for i in count(1) if (name := f"{wished}_{i}") not in taken)
