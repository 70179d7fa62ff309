"""Which tensors of a network hold numbers worth a format: what was learned, and what is computed."""

from collections.abc import Iterator

import onnx_ir as ir

from bitsmith.calibration.collection import Collection
from bitsmith.calibration.statistics import Statistics
from bitsmith.graph import activations, constant, is_float
from bitsmith.numerics.formats import Array

# Operators whose constants, but for the first operand, are settings: limits, scales, fill values.
SETTINGS = {"Clip", "Pad", "Range", "Resize", "Upsample"}


def parameters(graph: ir.Graph) -> Iterator[tuple[str, Array]]:
    """(name, values) of every float32 constant with a number in it that is no setting of an operator and not a lone scalar."""
    for name, value in graph.initializers.items():
        array = constant(value) if is_float(value) else None
        if array is not None and array.size and array.ndim and not is_setting(value):
            yield name, array


def is_setting(value: ir.Value) -> bool:
    """True where all that read the value take it as a setting."""
    return all(node.op_type in SETTINGS and index > 0 for node, index in value.uses())


def counted_values(graph: ir.Graph, statistics: Collection) -> Iterator[tuple[str, Statistics]]:
    """(name, statistics) of every activation that was counted, in the order of the network."""
    for value in activations(graph):
        if value.name and value.name in statistics:
            yield value.name, statistics[value.name]
