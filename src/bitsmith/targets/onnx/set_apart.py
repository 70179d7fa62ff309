"""Keeps ONNX Runtime from taking a float layer between codes for an integer one."""

from collections.abc import Collection

import onnx_ir as ir

from bitsmith.graph import constant, input_at
from bitsmith.targets.onnx.speed import PRODUCTS


def keep_products_apart(model: ir.Model, in_float: Collection[str]) -> bool:
    """Set products apart that read codes but have float weights; True where there were any.

    Between DequantizeLinear and QuantizeLinear onnxruntime quantizes float weights by itself, whatever the file says (seen with 1.31.1).
    """
    found = [node for node in model.graph if node.op_type in PRODUCTS and not node.domain and reads_codes(node) and has_float_weight(node)]
    for node in found:
        set_apart(model.graph, node, f"{node.outputs[0].name}_operand")
    return bool(found)


def reads_codes(node: ir.Node) -> bool:
    """True where the first operand is a dequantized computed value."""
    before = None if node.inputs[0] is None else node.inputs[0].producer()
    return before is not None and before.op_type == "DequantizeLinear" and constant(before.inputs[0]) is None


def has_float_weight(node: ir.Node) -> bool:
    weight = input_at(node, 1)
    before = None if weight is None else weight.producer()
    return before is None or before.op_type != "DequantizeLinear"


def set_apart(graph: ir.Graph, node: ir.Node, name: str) -> None:
    """A sum of one operand in front: it changes nothing, and unlike Identity the runtime leaves it where it is."""
    source = node.inputs[0]
    assert source is not None
    same = ir.Value(name=name, type=source.type, shape=source.shape)
    graph.insert_before(node, ir.Node("", "Sum", [source], outputs=[same], name=name))
    node.replace_input_with(0, same)
