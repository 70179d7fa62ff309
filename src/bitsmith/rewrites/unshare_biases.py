"""A vector of floats that several nodes read becomes one for each, so that each can have a scale of its own."""

import onnx_ir as ir

from bitsmith.rewrites.edits import add_constant, float_constant

NO_BIAS = {"QuantizeLinear", "DequantizeLinear", "Resize", "Upsample"}     # they read scales, which are settings


def unshare_biases(graph: ir.Graph) -> bool:
    """The first node keeps the constant itself, unless a subgraph or the outside reads it too; the numbers stay in memory once."""
    changed = False
    for value in list(graph.initializers.values()):
        if value.shape is not None and len(value.shape) == 1 and len(value.uses()) > 1:
            changed |= unshare(graph, value)
    return changed


def unshare(graph: ir.Graph, value: ir.Value) -> bool:
    array = float_constant(value)
    readers = [node for node in value.consumers() if node.graph is graph and node.op_type not in NO_BIAS]
    held = value.is_graph_output() or len(readers) < len(value.consumers())
    copied = readers if held else readers[1:]
    if array is None or not value.name or not copied:
        return False
    for node in copied:
        copy = add_constant(graph, value.name, array)
        for index in [i for i, operand in enumerate(node.inputs) if operand is value]:
            node.replace_input_with(index, copy)
    return True
