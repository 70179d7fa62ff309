"""All that quantization knows of ONNX operators. A new one is an entry in one of these tables."""

from collections.abc import Mapping

import onnx_ir as ir

from bitsmith.operators import activations, arithmetic, movement, pooling, products
from bitsmith.operators.operator import Flow, Operator, Parameter

OPERATORS: Mapping[str, Operator] = {
    **products.OPERATORS, **arithmetic.OPERATORS, **pooling.OPERATORS, **movement.OPERATORS, **activations.OPERATORS,
}

__all__ = ["OPERATORS", "Flow", "Operator", "Parameter", "operator_of"]


def operator_of(node: ir.Node) -> Operator | None:
    """What is known of the node's operator; None for other domains and unknown names."""
    return OPERATORS.get(node.op_type) if node.domain in ("", "ai.onnx") else None
