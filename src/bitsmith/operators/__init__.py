"""All that quantization knows of ONNX operators. A new one is an entry in one of these tables."""

from collections.abc import Mapping

import onnx_ir as ir

from bitsmith.operators import activations, arithmetic, movement, normalization, pooling, products, selection
from bitsmith.operators.operator import Flow, Operator, Parameter

OPERATORS: Mapping[str, Operator] = {
    **products.OPERATORS, **arithmetic.OPERATORS, **pooling.OPERATORS, **movement.OPERATORS, **activations.OPERATORS,
    **selection.OPERATORS, **normalization.OPERATORS,
}

__all__ = ["OPERATORS", "Flow", "Operator", "Parameter", "is_clamp", "operator_of"]


def operator_of(node: ir.Node) -> Operator | None:
    """What is known of the node's operator; None for other domains and unknown names."""
    return OPERATORS.get(node.op_type) if node.domain in ("", "ai.onnx") else None


def is_clamp(node: ir.Node) -> bool:
    """True where the saturation of the result's encoding does the node's work."""
    operator = operator_of(node)
    return operator is not None and operator.flow is Flow.OUTPUT_TO_INPUT and not operator.obstacle(node)
