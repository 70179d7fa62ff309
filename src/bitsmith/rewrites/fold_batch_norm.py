"""BatchNormalization becomes part of the product before it, or else of the product behind it."""

import numpy as np
import onnx_ir as ir

from bitsmith.graph import attribute, rank
from bitsmith.numerics.formats import Array
from bitsmith.rewrites.edits import absorb, bypass, float_constant, is_standard, sole_reader
from bitsmith.rewrites.normal import Normal, note_normal
from bitsmith.rewrites.products import Product, read_product, scale_inputs, scale_outputs


def fold_batch_norm(graph: ir.Graph) -> bool:
    """Inference: y = (x - mean) / sqrt(variance + epsilon) * scale + bias, channel by channel (Ioffe and Szegedy 2015, algorithm 2).

    One that stands between other operators (behind a Concat, before a Relu) stays.
    """
    folded = False
    for node in list(graph):
        if is_standard(node, "BatchNormalization") and node.graph is graph and (line := read_line(node)) is not None:
            folded |= fold_backwards(graph, node, *line) or fold_forwards(graph, node, *line)
    return folded


def read_line(node: ir.Node) -> tuple[Array, Array] | None:
    """The two vectors [channels] of y = multiply * x + add in float64; None where they are not constant, or it is training."""
    held = [float_constant(value) for value in node.inputs[1:]]
    found = [array.astype(np.float64) for array in held if array is not None]
    if attribute(node, "training_mode", 0) or len(found) != 4 or not all(vector.shape == found[0].shape for vector in found):
        return None
    scale, bias, mean, variance = found
    with np.errstate(invalid="ignore", divide="ignore"):
        multiply = scale / np.sqrt(variance + attribute(node, "epsilon", 1e-5))
        return multiply, bias - mean * multiply


def fold_backwards(graph: ir.Graph, node: ir.Node, multiply: Array, add: Array) -> bool:
    """Into the product that feeds it, if none but the normalization reads that."""
    source = node.inputs[0]
    maker = None if source is None else source.producer()
    if source is None or maker is None or sole_reader(source, graph) is not node or (product := read_product(maker)) is None:
        return False
    if product.channels != multiply.size or product.channel_axis != 1 or not scale_outputs(graph, product, multiply, add):
        return False
    kept = node.inputs[0]       # not `source`: a MatMul has become a Gemm
    assert kept is not None
    note_normal(node.outputs[0], read_normal(node))
    absorb(kept, node)
    return True


def read_normal(node: ir.Node, *, results: bool = True) -> Normal:
    """What its results are distributed like, or what it reads: of that it holds mean and variance, which become `bias` and `scale`."""
    scale, bias, mean, variance = (np.asarray(float_constant(value), np.float64) for value in node.inputs[1:])
    return Normal(bias, scale**2) if results else Normal(mean, variance)


def fold_forwards(graph: ir.Graph, node: ir.Node, multiply: Array, add: Array) -> bool:
    """Into the only product that reads it, if no zero padding of that takes part."""
    reader, source = sole_reader(node.outputs[0], graph), node.inputs[0]
    product = None if reader is None or source is None else read_product(reader)
    if source is None or product is None or not sees_channels(product) or product.input_channels != multiply.size:
        return False
    read = read_normal(node, results=False)
    if not scale_inputs(graph, product, multiply, add) or not bypass(node, source):
        return False
    note_normal(source, read)
    return True


def sees_channels(product: Product) -> bool:
    """Each output is a sum over all taps of whole input channels, which are axis 1."""
    node = product.node
    if node.op_type == "Conv":
        return attribute(node, "auto_pad", "NOTSET") in ("NOTSET", "VALID") and not any(attribute(node, "pads", ()))
    source = node.inputs[0]
    return node.op_type in ("Gemm", "MatMul") and not attribute(node, "transA", 0) and source is not None and rank(source) == 2
