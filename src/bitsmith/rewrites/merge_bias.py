"""MatMul and the Add of a constant vector behind it become one Gemm, whose bias joins the accumulator."""

import onnx_ir as ir

from bitsmith.graph import rank
from bitsmith.rewrites.edits import absorb, float_constant, is_standard, sole_reader
from bitsmith.rewrites.products import to_gemm


def merge_bias(graph: ir.Graph) -> bool:
    """Rank-2 products only, as Gemm has no others. The Gemm keeps the MatMul's name and the Add's output."""
    merged = False
    for product in list(graph):
        if not is_standard(product, "MatMul") or (addition := sole_reader(product.outputs[0], graph)) is None:
            continue
        bias = next((value for value in addition.inputs if value is not product.outputs[0]), None)
        if bias is not None and is_standard(addition, "Add") and fits(product, bias):
            absorb(to_gemm(graph, product, bias), addition)
            merged = True
    return merged


def fits(product: ir.Node, bias: ir.Value) -> bool:
    """x [n, k] times a constant [k, m] plus m numbers, or one for all."""
    left, right = product.inputs
    weight, addend = float_constant(right), float_constant(bias)
    if left is None or rank(left) != 2 or weight is None or weight.ndim != 2 or addend is None or addend.dtype != weight.dtype:
        return False
    columns = weight.shape[1]
    return addend.shape in [(), (1,), (columns,), (1, 1), (1, columns)]
