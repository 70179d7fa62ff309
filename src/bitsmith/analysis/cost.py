"""What a network costs: multiply-accumulates and bytes, from shapes alone."""

from math import prod

import onnx_ir as ir

from bitsmith.graph import attribute, constant, input_at
from bitsmith.operators import operator_of


def dims(value: ir.Value | None, batch: int = 1) -> list[int] | None:
    """A value's shape with `batch` for every dimension that has a name only; None where it is unknown."""
    if value is None or value.shape is None:
        return None
    return [d if isinstance(d, int) else batch for d in value.shape]


def multiply_accumulates(node: ir.Node) -> int | None:
    """MACs of one sample; 0 for operators without products, None where shapes are unknown."""
    if node.domain or node.op_type not in COUNTED:
        return 0
    out, weight = dims(node.outputs[0]), dims(input_at(node, 1))
    if out is None or weight is None:
        return None
    if node.op_type == "Conv":
        return prod(out) * prod(weight[1:])
    if node.op_type == "ConvTranspose":
        source = dims(node.inputs[0])
        return None if source is None else prod(source) * prod(weight[1:])
    if node.op_type == "Gemm":
        return prod(out) * weight[1 if attribute(node, "transB", 0) else 0]
    return prod(out) * (weight[-2] if len(weight) > 1 else weight[0])


COUNTED = ("Conv", "ConvTranspose", "Gemm", "MatMul")


def weight_arrays(node: ir.Node) -> list[ir.Value]:
    """The constant operands of a node that are weights."""
    operator = operator_of(node)
    found = [] if operator is None else [input_at(node, p.index) for p in operator.parameters(node)]
    return [v for v in found if v is not None]


def float_bytes(graph: ir.Graph) -> int:
    """Bytes of all constants as they are stored."""
    return sum(v.const_value.nbytes for v in graph.initializers.values() if v.const_value is not None)


def parameter_count(node: ir.Node) -> int:
    """Numbers that a node owns: weights, bias and other constant operands of floating-point type."""
    arrays = [constant(v) for v in dict.fromkeys(node.inputs)]
    return sum(a.size for a in arrays if a is not None and a.dtype.kind == "f")
