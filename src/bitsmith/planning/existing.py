"""Which parts of a network its file has quantized already: they stay as they are."""

import onnx_ir as ir

from bitsmith.graph import constant
from bitsmith.operators import Flow, is_clamp, operator_of

KEPT = "kept: the file has its own quantization here"
ENDS = ("QuantizeLinear", "DynamicQuantizeLinear", "DequantizeLinear")


def quantized_already(graph: ir.Graph) -> set[ir.Node]:
    """Nodes that read or make a value on which a QuantizeLinear or DequantizeLinear stands, movements and clamps between included."""
    values = {v for node in graph if node.op_type in ENDS for v in (*node.inputs[:1], *node.outputs[:1]) if v is not None}
    for node in (*graph, *reversed(list(graph))) if values else ():
        if passes(node) and not values.isdisjoint((node.inputs[0], *node.outputs)):
            values |= {v for v in (node.inputs[0], *node.outputs) if v is not None}
    return {node for node in graph if not values.isdisjoint((*node.inputs, *node.outputs))}


def passes(node: ir.Node) -> bool:
    """True where what comes out has the codes of what goes in."""
    operator = operator_of(node)
    moved = operator is not None and operator.flow is Flow.INPUT_TO_OUTPUT and constant(node.inputs[0]) is None
    return moved or is_clamp(node)
