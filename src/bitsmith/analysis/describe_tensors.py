"""Every learnable parameter and every activation of a network as a row: its bits, its numbers, and what its codes can say."""

from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np
import onnx_ir as ir

from bitsmith.analysis.cost import weight_arrays
from bitsmith.analysis.describe_channels import bits_of_channels, bits_of_slices
from bitsmith.analysis.evaluate import decibels
from bitsmith.analysis.lost_by_power import lost_counts, lost_numbers
from bitsmith.analysis.lost_shares import (
    distribution_of_array,
    distribution_of_counted,
    errors_of_array,
    errors_of_counted,
    lost_of_array,
    lost_of_counted,
    significant_bits,
)
from bitsmith.analysis.measure_values import Measured
from bitsmith.calibration.channels import Channels as CountedChannels
from bitsmith.calibration.collection import Collection
from bitsmith.calibration.statistics import Statistics
from bitsmith.graph import activations, constant, input_at, is_float
from bitsmith.numerics import Encoding, Integer
from bitsmith.numerics.formats import Array
from bitsmith.operators import operator_of
from bitsmith.planning.plan import Plan
from bitsmith.report.rows import Channels, Role, Tensor

MOST_CHANNELS = 128


def describe_tensors(
    graph: ir.Graph, plan: Plan, statistics: Mapping[str, Statistics], measured: Mapping[str, Measured]
) -> Iterator[Tensor]:
    """In the order in which the network meets them: parameters before what is computed with them."""
    seen: set[str] = set()
    for value in graph.inputs:
        yield from describe_computed(value, plan, statistics, measured)
    computed = set(activations(graph))
    for node in graph:
        for value in (v for v in node.inputs if v is not None and v.name and v.name not in seen):
            seen.add(value.name or "")
            yield from describe_constant(value, role_of(node, value), plan)
        for value in (v for v in node.outputs if v in computed):
            yield from describe_computed(value, plan, statistics, measured)


def role_of(node: ir.Node, value: ir.Value) -> Role:
    if value in weight_arrays(node):
        return "weight"
    operator = operator_of(node)
    is_bias = operator is not None and operator.bias is not None and input_at(node, operator.bias) is value
    return "bias" if is_bias else "constant"


def describe_constant(value: ir.Value, role: Role, plan: Plan) -> Iterator[Tensor]:
    """Nothing for what is no parameter: whole numbers, and single numbers that stay float."""
    array, encoding = constant(value), plan.encodings.get(value.name or "")
    if array is None or not is_float(value) or not array.size or (array.size == 1 and encoding is None):
        return
    if not np.isfinite(array).all():
        return
    counted = Statistics()
    counted.observe(array[None])
    row = Tensor(value.name or "", role, "all of its numbers", significant_bits(counted), reason=plan.reasons.get(value.name or "", ""),
                 distribution=distribution_of_array(array, encoding), channels=channels_of(array, encoding) if role == "weight" else None)
    if row.channels is not None:
        row = replace(row, channel_bits=bits_of_slices(array, encoding, row.channels.axis))
    yield row if encoding is None else with_loss(row, array, encoding)


def with_loss(row: Tensor, array: Array, encoding: Encoding) -> Tensor:
    """What one trip through its codes does to a constant."""
    clipped, underflow = lost_of_array(array, encoding)
    error = encoding.simulate(array).astype(np.float64) - array
    snr = decibels(float(np.square(array, dtype=np.float64).sum()), float(np.square(error).sum()))
    lost = lost_numbers(array, encoding, row.bits.exponents)
    row = with_encoding(row, encoding, (float(clipped.mean()), float(underflow.mean())))
    errors = errors_of_array(error) if row.role == "weight" else None
    return replace(row, snr_db=snr, largest_error=float(np.abs(error).max()), lost=lost, errors=errors)


def with_encoding(row: Tensor, encoding: Encoding, lost: tuple[float, float]) -> Tensor:
    return replace(
        row, format=encoding.format.name, low=float(encoding.lowest.min()), high=float(encoding.highest.max()),
        step=float(encoding.scale.min()) * encoding.format.step,
        rounding=float(encoding.scale.max()) * encoding.format.step / 2 if isinstance(encoding.format, Integer) else None,
        blocks=encoding.scale.size, clipped=lost[0], underflow=lost[1],
    )


def channels_of(array: Array, encoding: Encoding | None) -> Channels | None:
    """Ranges along the axis that has scales of its own, or along axis 0; neighbours together where there are too many to draw."""
    if array.ndim < 2:
        return None
    axis = None if encoding is None else encoding.blocks.channel_axis
    return merged_channels(np.moveaxis(array, axis or 0, 0).reshape(array.shape[axis or 0], -1), axis or 0)


def merged_channels(rows: Array, axis: int) -> Channels:
    low, high = rows.min(1), rows.max(1)
    each = -(-len(rows) // MOST_CHANNELS)
    starts = range(0, len(rows), each)
    return Channels(axis, tuple(np.minimum.reduceat(low, starts).tolist()), tuple(np.maximum.reduceat(high, starts).tolist()), each)


def describe_computed(
    value: ir.Value, plan: Plan, statistics: Mapping[str, Statistics], measured: Mapping[str, Measured]
) -> Iterator[Tensor]:
    """Bits and shares of what calibration counted; of the measured samples where it did not count this value. Nothing without either."""
    name = value.name or ""
    seen, encoding = measured.get(name), plan.encodings.get(name)
    counted = statistics.get(name) or (None if seen is None else seen.reals)
    if counted is None or not counted.samples:
        return
    source = "calibration data" if name in statistics else "test samples"
    shown = counted if seen is None else seen.reals
    row = Tensor(name, "activation", source, significant_bits(counted), reason=plan.reasons.get(name, ""),
                 distribution=distribution_of_counted(shown, encoding, None if seen is None else seen.codes),
)
    if seen is not None:
        row = replace(row, snr_db=seen.snr_db, largest_error=seen.largest, errors=errors_of_counted(seen.errors))
    if isinstance(statistics, Collection) and name in statistics.channels:
        found = statistics.channels[name]
        row = replace(row, channel_bits=bits_of_channels(found, encoding), channels=ranges_of(found))
    if encoding is not None:
        row = replace(row, lost=lost_counts(counted, encoding, row.bits.exponents))
        row = with_encoding(row, encoding, lost_of_counted(counted, encoding))
    yield row


def ranges_of(found: CountedChannels) -> Channels | None:
    """Of every channel that had a number."""
    if not all(part.count for part in found):
        return None
    return merged_channels(np.array([[part.minimum, part.maximum] for part in found]), found.axis)


