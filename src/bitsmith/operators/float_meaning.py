"""What ONNX nodes compute in float, by onnxruntime itself: tables and float islands then equal what the runtime does."""

from collections.abc import Callable, Mapping, Sequence
from functools import cache

import numpy as np
import onnx_ir as ir

from bitsmith.errors import LoweringError
from bitsmith.graph import constant, is_float
from bitsmith.integer.codes import CodeRange
from bitsmith.integer.instructions import Interpolate, LookUp
from bitsmith.integer.interpolation import shortened
from bitsmith.numerics.encoding import Encoding
from bitsmith.numerics.formats import Array
from bitsmith.running.session import Session

Encodings = Mapping[str, Encoding]
NARROW = 8          # bits: tables of all codes are short enough


def copy_nodes(
    nodes: Sequence[ir.Node], given: Mapping[ir.Value, ir.Shape | None], wanted: Sequence[ir.Value], encodings: Encodings
) -> ir.Model:
    """A network of just these nodes, from the given values with these shapes to the wanted ones.

    Constants that have encodings are what is left of them after their codes.
    """
    copies: dict[ir.Value, ir.Value] = {}
    constants: list[ir.Value] = []

    def copy(value: ir.Value) -> ir.Value:
        if value not in copies:
            copies[value] = made = ir.Value(name=value.name, type=value.type, shape=given.get(value))
            array = None if value in given else constant(value)
            if array is not None:
                encoding = encodings.get(value.name or "")
                made.const_value = ir.tensor(array if encoding is None else encoding.simulate(array), name=value.name)
                constants.append(made)
        return copies[value]

    inputs = [copy(value) for value in given]
    copied = [
        ir.Node(n.domain, n.op_type, [None if v is None else copy(v) for v in n.inputs], n.attributes.values(),
                outputs=[copy(v) for v in n.outputs], name=n.name)
        for n in nodes
    ]
    imports = {} if nodes[0].graph is None else dict(nodes[0].graph.opset_imports)
    graph = ir.Graph(inputs, [copy(v) for v in wanted], nodes=copied, initializers=constants, opset_imports=imports, name="part")
    return ir.Model(graph, ir_version=10)


def compute(node: ir.Node, real: Array) -> Array:
    """A node's first output for real values of its first operand, the others being constant."""
    source, result = node.inputs[0], node.outputs[0]
    assert source is not None
    part = copy_nodes([node], {source: ir.Shape(real.shape)}, [result], {})
    return Session(part, optimise=False).run({source.name or "": real})[result.name or ""]


def float_function(node: ir.Node, encodings: Encodings) -> tuple[list[ir.Value], list[ir.Value], Callable[..., Sequence[Array]]]:
    """(what it reads, what it makes, the function) of a node that stays in float. Its session is opened when it is first called.

    onnxruntime may optimise it, as it will in the whole network: sums of the same kernel have the same last digit.

    Raises LoweringError for nodes with graphs of their own: what those read from outside is not among a node's operands.
    """
    if any(a.type in (ir.AttributeType.GRAPH, ir.AttributeType.GRAPHS) for a in node.attributes.values()):
        raise LoweringError(f"{node.op_type} '{node.name}' holds a graph of its own: there is no integer program for this network.")
    read = [v for v in dict.fromkeys(node.inputs) if v is not None and constant(v) is None]
    made = [v for v in node.outputs if v.name]

    @cache
    def session() -> Session:
        return Session(copy_nodes([node], {v: v.shape for v in read}, made, encodings))

    def call(*reals: Array) -> Sequence[Array]:
        found = session().run({v.name or "": array for v, array in zip(read, reals, strict=True)})
        return [found[v.name or ""] for v in made]

    return read, made, call


def tabulate(
    nodes: Sequence[ir.Node], source: ir.Value, result: ir.Value, axis: int | None, encodings: Encodings, *, short: bool = False
) -> LookUp | Interpolate:
    """A chain of pointwise nodes from one encoded value to another as a table, with one row for each index of `axis`.

    short  of more than 8 bits, a table that is interpolated, where that is close enough
    """
    encoding, target = encodings[source.name or ""], encodings[result.name or ""]
    reals = reals_of(nodes, source, result, axis, encodings)
    table = LookUp((source.name or "",), result.name or "", CodeRange.of(encoding), rows(target.quantize(reals), axis), axis)
    if not short or encoding.format.bits <= NARROW:
        return table
    steps = rows(reals, axis).astype(np.float64) / np.float64(target.scale) + np.float64(target.zero_point)
    return shortened(table, steps, CodeRange.of(target))


def rows(numbers: Array, axis: int | None) -> Array:
    """[codes, ...] as one row, or one for each index of the axis."""
    table = numbers.reshape(len(numbers), -1)
    return np.asarray(table[:, 0]) if axis is None else table.T.copy()


def reals_of(nodes: Sequence[ir.Node], source: ir.Value, result: ir.Value, axis: int | None, encodings: Encodings) -> Array:
    """What a chain of pointwise nodes makes of every code of its source, [codes, ...]: one number each, or one for each index of `axis`."""
    encoding = encodings[source.name or ""]
    codes = np.arange(encoding.format.lowest, encoding.format.highest + 1)
    rank = 0 if source.shape is None else len(source.shape)
    shape = [len(codes), *[1] * (rank - 1)]
    reals = encoding.dequantize(codes).reshape(shape)
    if axis is not None and source.shape is not None:
        shape[axis] = int(source.shape[axis])       # type: ignore[arg-type]  # the caller has seen that it is known
        reals = np.ascontiguousarray(np.broadcast_to(reals, shape))
    if source.dtype is not None and not is_float(source):
        reals = reals.astype(source.dtype.numpy())
    part = copy_nodes(nodes, {source: ir.Shape([None] * rank)}, [result], encodings)
    return Session(part, optimise=False).run({source.name or "": reals})[result.name or ""]


def recode(name: str, output: str, encoding: Encoding, target: Encoding) -> LookUp:
    """Codes of one encoding -> codes of another, by table: dequantized and quantized again."""
    codes = np.arange(encoding.format.lowest, encoding.format.highest + 1)
    return LookUp((name,), output, CodeRange.of(encoding), target.quantize(encoding.dequantize(codes)))
