"""Reads the QOperator form: each QLinearConv and the like, ours or anybody's, spelled out as what it means, DQ, float operator and Q."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import onnx_ir as ir

from bitsmith.graph import attribute, constant, input_at, rank
from bitsmith.loading.from_onnx import load
from bitsmith.rewrites.edits import add_constant, replace
from bitsmith.targets.onnx.qoperators import KERNELS, MICROSOFT, Kernel

Operand = tuple[ir.Value | None, ...]       # codes, scale, zero point

KINDS = {(kernel.domain, kernel.name): kind for kind, kernel in KERNELS.items()} | {(MICROSOFT, "MatMulIntegerToFloat"): "MatMul"}


class Parts(NamedTuple):
    """Operands, bias, and scale and zero point of what comes out; a None where real numbers do."""

    operands: Sequence[Operand]
    bias: ir.Value | None
    ends: tuple[ir.Value | None, ir.Value | None]


def spelled_out(network: ir.Model) -> ir.Model:
    """The network with Q/DQ for operators on codes; itself where it has none. What has computed scales stays as it is."""
    if not any((node.domain, node.op_type) in KINDS for node in network.graph):
        return network
    network = network.clone()
    reals: dict[Operand, ir.Value] = {}
    for node in list(network.graph):
        if (node.domain, node.op_type) in KINDS:
            spell_out(network.graph, node, reals)
    return load(network)


def parts_of(node: ir.Node, kernel: Kernel) -> Parts:
    """The operands by what they are."""
    count, inputs = kernel.operands, [input_at(node, i) for i in range(10)]
    if node.op_type == "MatMulIntegerToFloat":
        return Parts([(inputs[i], inputs[i + 2], inputs[i + 4]) for i in range(2)], inputs[6], (None, None))
    operands = [tuple(inputs[3 * i:3 * i + 3]) for i in range(count)]
    first, *rest = inputs[3 * count:3 * count + 3]
    return Parts(operands, first, (rest[0], rest[1])) if kernel.bias_first else Parts(operands, rest[1], (first, rest[0]))


def spell_out(graph: ir.Graph, node: ir.Node, reals: dict[Operand, ir.Value]) -> None:
    """DQ for each operand that has none yet, the float operator, and Q where codes come out."""
    kind = KINDS[node.domain, node.op_type]
    parts = parts_of(node, KERNELS[kind])
    known = [scale is not None and constant(scale) is not None for _, scale, _ in parts.operands]
    if not all(known) or (parts.bias is not None and parts.bias.dtype != ir.DataType.INT32):
        return
    operands = [dequantized(graph, node, operand, channel_axis(node, kind, index), reals) for index, operand in enumerate(parts.operands)]
    if parts.bias is not None:
        (_, source, _), (_, weight, _) = parts.operands
        array, other = constant(source), constant(weight)
        assert array is not None
        assert other is not None
        scale = add_constant(graph, f"{parts.bias.name}_scale", np.asarray(array.reshape(()) * other, np.float32))
        operands.append(dequantized(graph, node, (parts.bias, scale, None), 0, reals))
    old = node.outputs[0]
    made = ir.Value(name=take_name(old), type=ir.TensorType(ir.DataType.FLOAT), shape=old.shape)
    kept = [a for name, a in node.attributes.items() if name in KERNELS[kind].attributes]
    graph.insert_before(node, ir.Node("", kind, operands, kept, outputs=[made], name=node.name))
    scale_out, zero_point = parts.ends
    if scale_out is None:
        made.name, old.name = old.name, None
        replace(old, made)
    else:
        kind_of_codes = ir.DataType.UINT8 if zero_point is None or zero_point.dtype is None else zero_point.dtype
        codes = ir.Value(name=old.name, type=ir.TensorType(kind_of_codes), shape=old.shape)
        pair = [scale_out] if zero_point is None else [scale_out, zero_point]
        graph.insert_before(node, ir.Node("", "QuantizeLinear", [made, *pair], outputs=[codes], name=f"{node.name}_codes"))
        replace(old, codes)
    graph.remove(node, safe=True)


def dequantized(graph: ir.Graph, node: ir.Node, operand: Operand, axis: int, reals: dict[Operand, ir.Value]) -> ir.Value:
    """The real numbers of an operand, the same for all that read it."""
    if operand not in reals:
        codes, scale, _ = operand
        assert codes is not None
        real = ir.Value(name=f"{codes.name}_real{len(reals)}", type=ir.TensorType(ir.DataType.FLOAT), shape=codes.shape)
        numbers = constant(scale)
        along = [ir.AttrInt64("axis", axis)] if numbers is not None and numbers.size > 1 else []
        inputs = [v for v in operand if v is not None]
        graph.insert_before(node, ir.Node("", "DequantizeLinear", inputs, along, outputs=[real], name=real.name))
        reals[operand] = real
    return reals[operand]


def channel_axis(node: ir.Node, kind: str, index: int) -> int:
    """Along which axis an operand's scales run, where it has several."""
    operand = input_at(node, 1 if node.op_type == "MatMulIntegerToFloat" else 3)
    if kind == "Gemm":
        return 0 if attribute(node, "transB", 0) else 1
    return ((rank(operand) or 2) - 1 if operand is not None else 1) if kind == "MatMul" and index else 0


def take_name(codes: ir.Value) -> str:
    """A name for the real numbers behind codes: that of what is dequantized, past a Clip, or the codes' own without the suffix.

    The dequantized value gives it away, unless the network hands it out under that name.
    """
    readers = list(codes.consumers())
    for reader in readers:
        if reader.op_type == "DequantizeLinear":
            real = reader.outputs[0]
            name = real.name or ""
            if real.is_graph_output():
                return f"{name}_unquantized"
            real.name = f"{name}_dequantized"
            return name
    if len(readers) == 1 and readers[0].op_type == "Clip":
        return take_name(readers[0].outputs[0])
    return (codes.name or "").removesuffix("_quantized")
