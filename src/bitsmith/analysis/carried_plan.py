"""What a quantized file says of itself, where its plan is not beside it: Q/DQ, stored codes, and codes unpacked when the file is loaded."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import onnx_ir as ir

from bitsmith.analysis.cost import weight_arrays
from bitsmith.analysis.engines import Subject
from bitsmith.errors import BitsmithError
from bitsmith.graph import attribute, constant, consumers, input_at, sole_consumer
from bitsmith.numerics import Blocks, Encoding
from bitsmith.numerics.formats import Array
from bitsmith.planning.plan import Plan
from bitsmith.rewrites.fold_constants import fold_constants
from bitsmith.targets.onnx.constants import FORMATS
from bitsmith.targets.onnx.extract import extract_quantization, in_blocks

UNPACKED = "as the file says: its codes are unpacked when the file is loaded, and the layer computes in float"

IN_FLOAT = "as the file says: its weights are codes, and it computes in float"


def carried_plan(subject: Subject) -> Plan:
    """The plan that a file carries; empty where it has nothing that bitsmith reads. Names are the file's."""
    network = subject.normal.clone()
    unpacked = {codes.name or "": (encoding, reals) for codes, encoding, reals in unpacked_weights(network.graph)}
    layers = {node.name or "": UNPACKED for _, reals in unpacked.values() for node in consumers(reals)}
    fold_constants(network.graph)
    extracted = extract_quantization(network)
    found = extracted.plan
    layers |= {node.name or "": IN_FLOAT for node in extracted.network.graph if reads_narrow_weights(node, found)}
    encodings = {**found.encodings, **{name: encoding for name, (encoding, _) in unpacked.items()}}
    reasons = {**found.reasons, **dict.fromkeys(unpacked, UNPACKED), **layers}
    return replace(found, encodings=encodings, in_float=frozenset(layers), reasons=reasons)


def reads_narrow_weights(node: ir.Node, plan: Plan) -> bool:
    """True for products of stored codes with real numbers."""
    first = input_at(node, 0)
    return any(v.name in plan.encodings for v in weight_arrays(node)) and (
        first is not None and first.name not in plan.encodings and first.name not in plan.dynamic)


def unpacked_weights(graph: ir.Graph) -> Iterator[tuple[ir.Value, Encoding, ir.Value]]:
    """(codes, encoding, what they become) of stored codes that pass through Cast, Sub and Mul, as float_weights.py writes them."""
    for node in graph:
        codes = input_at(node, 0)
        if node.op_type == "Cast" and codes is not None and constant(codes) is not None and codes.dtype in FORMATS:
            last, zeros = node.outputs[0], np.zeros((), np.int32)
            if not FORMATS[codes.dtype].scaled:
                yield codes, Encoding(FORMATS[codes.dtype], np.ones((), np.float32), zeros), last
                continue
            if (subtract := next_step(last, "Sub")) is not None:
                last, zeros = subtract.outputs[0], per_block(subtract).astype(np.int32)
            multiply = next_step(last, "Mul")
            if multiply is not None and (encoding := placed(codes, multiply, zeros)) is not None:
                yield codes, encoding, multiply.outputs[0]


def next_step(value: ir.Value, op_type: str) -> ir.Node | None:
    """The only reader, where it is this operator with a second operand that is constant or repeats constants."""
    node = sole_consumer(value)
    return node if node is not None and node.op_type == op_type and per_block(node).size else None


def per_block(step: ir.Node) -> Array:
    """The second operand, before it is repeated over blocks; empty where it is not constant."""
    repeat = repetition(step)
    array = constant(input_at(step, 1) if repeat is None else input_at(repeat, 0))
    return np.empty(0) if array is None else array


def repetition(step: ir.Node) -> ir.Node | None:
    """The Gather that repeats the second operand over blocks."""
    operand = input_at(step, 1)
    made = None if operand is None else operand.producer()
    return made if made is not None and made.op_type == "Gather" else None


def block_of(step: ir.Node) -> tuple[int, int] | None:
    """(axis, size) of the blocks over which the second operand is repeated; None where it is not, or not evenly."""
    repeat = repetition(step)
    indices = None if repeat is None else constant(input_at(repeat, 1))
    if repeat is None or indices is None or indices.ndim != 1 or not (size := int((indices == 0).sum())):
        return None
    return (attribute(repeat, "axis", 0), size) if np.array_equal(indices, np.arange(len(indices)) // size) else None


def placed(codes: ir.Value, multiply: ir.Node, zeros: Array) -> Encoding | None:
    """One scale, one for each index of an axis, or one for each block; None for anything else."""
    scale, block = per_block(multiply), block_of(multiply)
    format, axes = FORMATS[codes.dtype] if codes.dtype else None, [a for a, size in enumerate(scale.shape) if size > 1]
    try:
        if format is not None and scale.dtype == np.float32 and block is not None:
            return in_blocks(format, scale, np.broadcast_to(zeros, scale.shape), block[0] % scale.ndim, block[1])
        if format is None or scale.dtype != np.float32 or len(axes) > 1:
            return None
        if not axes:
            return Encoding(format, scale.reshape(()), zeros.reshape(()))
        return Encoding(format, scale, np.broadcast_to(zeros, scale.shape), Blocks.channels(axes[0]))
    except (BitsmithError, ValueError):     # a multiplication that is no scale
        return None
