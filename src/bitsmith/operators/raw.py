"""Inputs that come as a sensor gives them: integers, which are codes already."""

import numpy as np
import onnx_ir as ir

from bitsmith.graph import consumers
from bitsmith.numerics import Encoding, Format, Integer
from bitsmith.numerics.encoding import SMALLEST_SCALE
from bitsmith.numerics.formats import Array
from bitsmith.operators.float_meaning import reals_of
from bitsmith.operators.regions import find_region

FORMATS = {ir.DataType.UINT8: Integer(8, signed=False), ir.DataType.INT8: Integer(8),
           ir.DataType.UINT16: Integer(16, signed=False), ir.DataType.INT16: Integer(16)}
SAME = 1e-3         # of a step: what float32 may make of a number that is a code


def raw_encodings(graph: ir.Graph) -> dict[str, Encoding]:
    """Of inputs of 8 or 16 bits that are cast before anything else: each number is its own code."""
    return {value.name or "": found for value in graph.inputs if (found := raw_encoding(value)) is not None}


def raw_encoding(value: ir.Value) -> Encoding | None:
    """Scale 1, zero point 0; None where the value is no raw input."""
    readers = consumers(value)
    if not value.is_graph_input() or value.dtype not in FORMATS or not readers or any(node.op_type != "Cast" for node in readers):
        return None
    return Encoding(FORMATS[value.dtype], np.ones((), np.float32), np.zeros((), np.int32))


def as_it_comes(value: ir.Value) -> Encoding | None:
    """The encoding with which the codes of a value are the raw numbers that it is made of; None where it is no line of a raw input."""
    region = find_region(value)
    raw = None if region is None else raw_encoding(region.source)
    if region is None or raw is None or region.axis is not None or raw.format.bits > 8:
        return None
    reals = reals_of(region.nodes, region.source, value, None, {region.source.name or "": raw}).astype(np.float64).ravel()
    return on_a_line(reals, raw.format)


def on_a_line(reals: Array, format: Format) -> Encoding | None:
    """reals: of every code of the format, lowest first."""
    scale = (reals[-1] - reals[0]) / (len(reals) - 1)
    if not SMALLEST_SCALE <= scale < np.inf:
        return None
    zero = round(format.lowest - reals[0] / scale)
    steps = np.arange(format.lowest, format.highest + 1) - zero
    if not format.lowest <= zero <= format.highest or np.abs(reals / scale - steps).max() > SAME:
        return None
    return Encoding(format, np.asarray(scale, np.float32), np.asarray(zero, np.int32))

