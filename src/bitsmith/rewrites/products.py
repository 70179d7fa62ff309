"""Conv, ConvTranspose, Gemm and MatMul seen alike: sums of constant weights times inputs, plus a bias, channel by channel.

What multiplies or shifts a product's channels from outside goes into its weight and bias here, in float64, rounded once.
"""

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from bitsmith.graph import attribute, input_at, rank
from bitsmith.numerics.formats import Array
from bitsmith.rewrites.edits import absorb, add_constant, float_constant, is_standard, set_constant
from bitsmith.rewrites.normal import follow_line, note_normal


@dataclass(frozen=True)
class Product:
    """node     Conv, ConvTranspose, MatMul by a constant matrix, or Gemm whose alpha and beta are 1
    weight   as the node has it
    bias     one number for each output channel; None where there is none
    """

    node: ir.Node
    weight: Array
    bias: Array | None

    @property
    def rank(self) -> int | None:
        """Of the output."""
        return rank(input_at(self.node, 0) or ir.Value()) if self.node.op_type == "MatMul" else self.weight.ndim

    @property
    def channel_axis(self) -> int | None:
        """Of the output; None where its rank is not known."""
        return 1 if self.node.op_type != "MatMul" else None if self.rank is None else self.rank - 1

    @property
    def channels(self) -> int:
        """Of the output."""
        groups, outputs, _, _ = spread(self.node, self.weight).shape
        return int(groups * outputs)

    @property
    def input_channels(self) -> int:
        groups, _, inputs, _ = spread(self.node, self.weight).shape
        return int(groups * inputs)


def read_product(node: ir.Node) -> Product | None:
    """None where the node is no product, or its weight or bias is not constant, not float, or of another shape than usual."""
    factors = {attribute(node, "alpha", 1.0), attribute(node, "beta", 1.0)}
    if not is_standard(node, "Conv", "ConvTranspose", "Gemm", "MatMul") or factors != {1.0}:
        return None
    weight, bias = float_constant(input_at(node, 1)), float_constant(input_at(node, 2))
    if weight is None or not weight.size or not is_spreadable(node, weight) or (bias is None and input_at(node, 2) is not None):
        return None
    product = Product(node, weight, bias)
    return product if bias is None or bias.shape == (product.channels,) else None


def is_spreadable(node: ir.Node, weight: Array) -> bool:
    if node.op_type in ("Gemm", "MatMul"):
        return weight.ndim == 2
    groups = attribute(node, "group", 1)
    return weight.ndim > 2 and groups > 0 and weight.shape[0] % groups == 0


def spread(node: ir.Node, weight: Array) -> Array:
    """The weight, contiguous, viewed as [groups, outputs of a group, inputs of a group, taps]."""
    groups = attribute(node, "group", 1)
    if node.op_type == "Conv":
        return weight.reshape(groups, weight.shape[0] // groups, weight.shape[1], -1)
    if node.op_type == "ConvTranspose":
        return weight.reshape(groups, weight.shape[0] // groups, weight.shape[1], -1).swapaxes(1, 2)
    return (weight if attribute(node, "transB", 0) else weight.T)[None, :, :, None]


def scale_outputs(graph: ir.Graph, product: Product, multiply: Array, add: Array) -> bool:
    """Makes y into multiply * y + add, both [channels] in float64. False, and nothing done, where the product cannot hold it."""
    if not are_numbers(multiply, add):
        return False
    weight = np.array(product.weight, np.float64, order="C")
    channels = spread(product.node, weight)
    channels *= multiply.reshape(*channels.shape[:2], 1, 1)
    bias = add if product.bias is None else product.bias.astype(np.float64) * multiply + add
    result = product.node.outputs[0]
    known = follow_line(result, multiply, add)
    if not write(graph, product, weight, bias):
        note_normal(result, known)
        return False
    return True


def scale_inputs(graph: ir.Graph, product: Product, multiply: Array, add: Array) -> bool:
    """Lets the product take x where it took multiply * x + add, both [input channels] in float64. False as above."""
    if not are_numbers(multiply, add):
        return False
    weight = np.array(product.weight, np.float64, order="C")
    channels = spread(product.node, weight)
    groups, _, inputs, _ = channels.shape
    shift = np.sum(channels * add.reshape(groups, 1, inputs, 1), axis=(2, 3)).ravel()
    channels *= multiply.reshape(groups, 1, inputs, 1)
    return write(graph, product, weight, shift if product.bias is None else shift + product.bias)


def write(graph: ir.Graph, product: Product, weight: Array, bias: Array) -> bool:
    """The new numbers in the weight's own type; a bias of nothing but zeros is not added where there was none."""
    with np.errstate(over="ignore"):
        weight, bias = weight.astype(product.weight.dtype), bias.astype(product.weight.dtype)
    node, biased = product.node, product.bias is not None or bool(bias.any())
    if not are_numbers(weight, bias) or (biased and node.op_type == "MatMul" and product.rank != 2):
        return False
    set_constant(graph, node, 1, weight)
    if product.bias is not None:
        set_constant(graph, node, 2, bias)
    elif biased:
        add_bias(graph, node, bias)
    return True


def are_numbers(*arrays: Array) -> bool:
    """Neither infinite nor NaN."""
    return all(bool(np.isfinite(array).all()) for array in arrays)


def add_bias(graph: ir.Graph, node: ir.Node, bias: Array) -> None:
    weight = node.inputs[1]
    assert weight is not None
    value = add_constant(graph, f"{weight.name}_bias", bias)
    if node.op_type == "MatMul":
        to_gemm(graph, node, value)
    else:
        node.resize_inputs(3)
        node.replace_input_with(2, value)


def to_gemm(graph: ir.Graph, node: ir.Node, bias: ir.Value) -> ir.Value:
    """A Gemm takes the place of a MatMul of rank 2, its name and that of its output. Returns the new output."""
    made = ir.Value(type=node.outputs[0].type, shape=node.outputs[0].shape)
    graph.insert_after(node, ir.Node("", "Gemm", [*node.inputs, bias], outputs=[made], name=node.name))
    absorb(made, node)
    return made
