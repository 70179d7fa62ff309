"""The two numbers by which a Gemm multiplies go into its constants, and its bias becomes a vector."""

import numpy as np
import onnx_ir as ir

from bitsmith.graph import attribute, input_at
from bitsmith.rewrites.edits import drop_unread, float_constant, is_standard, set_constant


def unscale_gemm(graph: ir.Graph) -> bool:
    """y = alpha A B + beta C, for B and C that are constant, becomes y = A B + C with C [columns of B]."""
    changed = False
    for node in list(graph):
        if is_standard(node, "Gemm"):
            changed |= drop_bias(node)
            changed |= scale_operand(graph, node, 1, "alpha")
            changed |= scale_operand(graph, node, 2, "beta")
            changed |= flatten_bias(graph, node)
    return changed


def drop_bias(node: ir.Node) -> bool:
    """A bias that is multiplied by zero, computed or not; and the factor of none at all."""
    bias, factor = input_at(node, 2), attribute(node, "beta", 1.0)
    if factor == 1 or (bias is not None and factor != 0):
        return False
    node.resize_inputs(2)
    node.attributes.pop("beta")
    if bias is not None:
        drop_unread(bias)
    return True


def scale_operand(graph: ir.Graph, node: ir.Node, index: int, name: str) -> bool:
    factor, array = attribute(node, name, 1.0), float_constant(input_at(node, index))
    if factor == 1 or array is None:
        return False
    with np.errstate(over="ignore"):
        scaled = (array.astype(np.float64) * factor).astype(array.dtype)
    if not np.isfinite(scaled).all():
        return False
    set_constant(graph, node, index, scaled)
    node.attributes.pop(name)
    return True


def flatten_bias(graph: ir.Graph, node: ir.Node) -> bool:
    """One number for all columns, or one row of them, is written as a vector."""
    weight, bias = float_constant(input_at(node, 1)), float_constant(input_at(node, 2))
    if weight is None or bias is None:
        return False
    columns = weight.shape[0 if attribute(node, "transB", 0) else 1]
    if bias.shape not in [(), (1,), (1, 1), (1, columns)] or bias.shape == (columns,):
        return False
    set_constant(graph, node, 2, np.broadcast_to(bias.ravel(), (columns,)).copy())
    return True
