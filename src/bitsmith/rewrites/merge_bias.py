"""MatMul and the Add of a constant vector behind it become one Gemm, whose bias joins the accumulator."""

import onnx_ir as ir

from bitsmith.graph import constant, rank, sole_consumer
from bitsmith.numerics.formats import Array


def merge_bias(graph: ir.Graph) -> bool:
    """Rank-2 products only, as Gemm has no others. The Gemm keeps the MatMul's name and the Add's output."""
    merged = False
    for product in list(graph):
        addition = sole_consumer(product.outputs[0]) if product.op_type == "MatMul" and not product.domain else None
        if addition is None or addition.op_type != "Add" or addition.domain:
            continue
        bias = next((v for v in addition.inputs if v is not product.outputs[0]), None)
        if bias is not None and fits(product, constant(bias)):
            replace(graph, product, addition, bias)
            merged = True
    return merged


def fits(product: ir.Node, bias: Array | None) -> bool:
    """x [n, k] times a constant [k, m] plus a vector of m numbers."""
    left, right = product.inputs
    if left is None or right is None or bias is None or rank(left) != 2 or rank(right) != 2:
        return False
    weight = constant(right)
    return weight is not None and constant(left) is None and bias.shape == (weight.shape[1],) and bias.dtype == weight.dtype


def replace(graph: ir.Graph, product: ir.Node, addition: ir.Node, bias: ir.Value) -> None:
    """The Gemm takes the place of the Add."""
    result = addition.outputs[0]
    made = ir.Value(name=result.name, type=result.type, shape=result.shape)
    gemm = ir.Node("", "Gemm", [*product.inputs, bias], outputs=[made], name=product.name)
    graph.insert_after(addition, gemm)
    result.replace_all_uses_with(made, replace_graph_outputs=True)
    graph.remove([addition, product], safe=True)
