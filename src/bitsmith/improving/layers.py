"""Layers whose weights can be rounded together, in the order in which data meet them, and what each one is to make."""

from collections.abc import Mapping
from dataclasses import dataclass

import onnx_ir as ir

from bitsmith.graph import constant, consumers, input_at, sole_consumer
from bitsmith.improving.as_matrices import Product, product_of
from bitsmith.numerics.encoding import Encoding
from bitsmith.operators import operator_of


@dataclass(frozen=True)
class Layer:
    """node     of the network in float
    product  its matrices
    weight   name of its weight
    bias     name of a bias that is this layer's alone; None where there is none
    made     name of the value that is to be met: the node's result, or, where that only joins a sum, the sum
    sum      the Add of that sum, and which operand is the other one; None where there is none
    """

    node: ir.Node
    product: Product
    weight: str
    bias: str | None
    made: str
    sum: tuple[ir.Node, int] | None


def find_layers(graph: ir.Graph, encodings: Mapping[str, Encoding]) -> tuple[list[Layer], dict[str, str]]:
    """The layers with encoded weights, and by weight why others are left out."""
    layers, left_out = [], {}
    for node in graph:
        operator = operator_of(node)
        weights = [node.inputs[p.index] for p in (() if operator is None else operator.parameters(node))]
        for weight in (w for w in weights if w is not None and w.name in encodings):
            found = product_of(node) if len(consumers(weight)) == 1 else f"'{weight.name}' serves several nodes"
            if isinstance(found, str):
                left_out[weight.name or ""] = found
            else:
                layers.append(layer_of(node, weight, found))
    return layers, left_out


def layer_of(node: ir.Node, weight: ir.Value, product: Product) -> Layer:
    bias, found = input_at(node, 2), find_sum(node.outputs[0])
    array = constant(bias)
    own = bias is not None and array is not None and array.ndim == 1 and array.size > 1 and len(consumers(bias)) == 1
    made = node.outputs[0] if found is None else found[0].outputs[0]
    return Layer(node, product, weight.name or "", bias.name if own and bias is not None else None, made.name or "", found)


def find_sum(value: ir.Value) -> tuple[ir.Node, int] | None:
    """The Add that alone reads the value, and which operand it adds: a computed one of the same shape."""
    add = sole_consumer(value)
    if add is None or add.op_type != "Add" or add.inputs[0] is add.inputs[1]:
        return None
    index = 0 if add.inputs[1] is value else 1
    other = add.inputs[index]
    if other is None or constant(other) is not None or value.shape is None or other.shape != value.shape:
        return None
    return add, index
