"""What a quantized file says of itself, where its plan is not beside it: Q/DQ, stored codes, and codes unpacked when the file is loaded."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import onnx_ir as ir

from bitsmith.analysis.cost import weight_arrays
from bitsmith.analysis.engines import Subject
from bitsmith.errors import BitsmithError
from bitsmith.graph import constant, consumers, input_at, sole_consumer
from bitsmith.numerics import Blocks, Encoding
from bitsmith.numerics.formats import Array
from bitsmith.planning.plan import Plan
from bitsmith.rewrites.fold_constants import fold_constants
from bitsmith.targets.onnx.constants import FORMATS
from bitsmith.targets.onnx.extract import extract_quantization

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
                last, zeros = subtract.outputs[0], np.asarray(constant(subtract.inputs[1])).astype(np.int32)
            multiply = next_step(last, "Mul")
            if multiply is not None and (encoding := placed(codes, constant(multiply.inputs[1]), zeros)) is not None:
                yield codes, encoding, multiply.outputs[0]


def next_step(value: ir.Value, op_type: str) -> ir.Node | None:
    """The only reader, where it is this operator with a constant second operand."""
    node = sole_consumer(value)
    return node if node is not None and node.op_type == op_type and constant(input_at(node, 1)) is not None else None


def placed(codes: ir.Value, scale: Array | None, zeros: Array) -> Encoding | None:
    """One scale, or one for each index of an axis; None for anything else."""
    assert scale is not None
    format, axes = FORMATS[codes.dtype] if codes.dtype else None, [a for a, size in enumerate(scale.shape) if size > 1]
    try:
        if format is None or scale.dtype != np.float32 or len(axes) > 1:
            return None
        if not axes:
            return Encoding(format, scale.reshape(()), zeros.reshape(()))
        return Encoding(format, scale, np.broadcast_to(zeros, scale.shape), Blocks.channels(axes[0]))
    except (BitsmithError, ValueError):     # a multiplication that is no scale
        return None
