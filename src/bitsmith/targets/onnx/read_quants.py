"""Reads QONNX: Quant nodes, ours or anybody's, become QuantizeLinear and DequantizeLinear, so that onnxruntime runs the network."""

from math import prod

import numpy as np
import onnx_ir as ir

from bitsmith.errors import BitsmithError, LoadError
from bitsmith.graph import attribute, constant, input_at
from bitsmith.loading.from_onnx import load
from bitsmith.numerics import Blocks, Encoding, Integer
from bitsmith.numerics.formats import Array
from bitsmith.planning.plan import Plan
from bitsmith.rewrites.edits import add_constant
from bitsmith.targets.onnx.insert import insert_quantization
from bitsmith.targets.onnx.quant_nodes import DOMAIN

QUANTS = ("Quant", "IntQuant")                      # the newer name is the second
ROUNDINGS = ("ROUND", "HALF_EVEN")


def without_quants(network: ir.Model) -> ir.Model:
    """The same network with Q/DQ for Quant nodes; itself where it has none.

    Raises LoadError for nodes of QONNX that Q/DQ cannot say, by name.
    """
    domains = ("qonnx.", "onnx.brevitas", "finn.")
    found = [node for node in network.graph if node.domain.startswith(domains)]
    if not found:
        return network
    network = network.clone()
    encodings = dict(take_out(network.graph, node) for node in list(network.graph) if node.domain.startswith(domains))
    network.graph.opset_imports.pop(DOMAIN, None)
    return load(insert_quantization(load(network), Plan(encodings), moves_codes=False))


def take_out(graph: ir.Graph, node: ir.Node) -> tuple[str, Encoding]:
    """What a Quant rounds, by name, and how. Whoever read the rounded value reads what was rounded."""
    value, real = input_at(node, 0), node.outputs[0]
    if node.op_type not in QUANTS or value is None:
        raise LoadError(f"{node.op_type} '{node.name}' is of QONNX, of which bitsmith reads Quant; run the file with qonnx.")
    encoding = encoding_of_quant(node, value)
    if len(value.uses()) > 1 or value.is_graph_output() or (value.is_graph_input() and real.is_graph_output()):
        value = second(graph, node, value)
    if real.is_graph_output():
        value.name, real.name = real.name, None
    real.replace_all_uses_with(value, replace_graph_outputs=True)
    graph.remove(node, safe=True)
    return value.name or "", encoding


def second(graph: ir.Graph, node: ir.Node, value: ir.Value) -> ir.Value:
    """The same numbers as a value of their own: others read them as they are."""
    name, array = f"{node.outputs[0].name}_unquantized", constant(value)
    if array is not None:
        return add_constant(graph, name, array)
    same = ir.Value(name=name, type=value.type, shape=value.shape)
    graph.insert_before(node, ir.Node("", "Identity", [value], outputs=[same], name=name))
    return same


def encoding_of_quant(node: ir.Node, value: ir.Value) -> Encoding:
    """Format, scale and blocks. Raises LoadError where they are computed, or are no encoding that rounds as QuantizeLinear does."""
    scale, zero_point, bits = (constant(input_at(node, i)) for i in (1, 2, 3))
    rounding = str(attribute(node, "rounding_mode", "ROUND")).upper()
    if scale is None or zero_point is None or bits is None:
        raise LoadError(f"Quant '{node.name}' computes its scale, zero point or bit width; bitsmith reads constants.")
    if bits.size != 1:
        raise LoadError(f"Quant '{node.name}' has {bits.size} bit widths; bitsmith reads one for a whole tensor.")
    if zero_point.any() or rounding not in ROUNDINGS:
        raise LoadError(f"Quant '{node.name}' has zero point {zero_point.ravel()[0]:g} and rounds by {rounding}; "
                        "only 0 and ROUND mean the same in QuantizeLinear.")
    try:
        signed, narrow = bool(attribute(node, "signed", 1)), bool(attribute(node, "narrow", 0))
        format = Integer(int(bits.reshape(())), signed=signed, restricted=narrow)
        scale, blocks = placed(np.asarray(scale, np.float32), value)
        return Encoding(format, scale, np.zeros((), np.int32), blocks)
    except BitsmithError as problem:
        raise LoadError(f"Quant '{node.name}': {problem}") from problem


def placed(scale: Array, value: ir.Value) -> tuple[Array, Blocks]:
    """Scales that broadcast against a value, as one for all or one for each index of the axes along which there are several."""
    if prod(scale.shape) == 1:
        return scale.reshape(()), Blocks.whole()
    rank = scale.ndim if value.shape is None else len(value.shape)
    scale = scale.reshape((1,) * (rank - scale.ndim) + scale.shape)
    return scale, Blocks({axis: 1 for axis, size in enumerate(scale.shape) if size > 1})
