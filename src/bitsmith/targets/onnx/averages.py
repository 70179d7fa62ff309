"""Keeps ONNX Runtime from making a QLinearAveragePool of what that kernel refuses or computes wrongly."""

from collections.abc import Callable

import onnx_ir as ir

from bitsmith.graph import attribute
from bitsmith.operators.pooling import average_obstacle
from bitsmith.targets.onnx.set_apart import reads_codes, set_apart


def write_averages(graph: ir.Graph, fresh: Callable[[str], str]) -> None:
    """AveragePool nodes in a form that the runtime takes: it knows no `dilations`, not even those of 1. `fresh` makes names unique."""
    for node in list(graph):
        if node.op_type == "AveragePool" and not node.domain:
            if all(step == 1 for step in attribute(node, "dilations", [1])):
                node.attributes.pop("dilations", None)
            if average_obstacle(node) and is_between_codes(node):
                set_apart(graph, node, fresh(f"{node.outputs[0].name}_operand"))


def is_between_codes(node: ir.Node) -> bool:
    """True where the runtime would fuse the node."""
    return reads_codes(node) and any(reader.op_type == "QuantizeLinear" for reader in node.outputs[0].consumers())
