"""Pooling and means as calls of the portable kernels."""

from collections.abc import Sequence
from math import inf

import numpy as np

from bitsmith.errors import TargetError
from bitsmith.integer.bounds import summed
from bitsmith.integer.instructions import AveragePool, MaxPool, Mean
from bitsmith.integer.rescaling import FixedAverage, FloatAverage
from bitsmith.integer.windows import Window
from bitsmith.real.instructions import RealMaxPool
from bitsmith.targets.c.call import Call, Entries, Fields, Place, Table
from bitsmith.targets.c.geometry import Geometry
from bitsmith.targets.c.rounding import code_fields, nearest_part, odd_of, rounding_fields, rounding_part, way_of
from bitsmith.targets.c.stored import Stored, nest


def describe_max_pool(step: MaxPool | RealMaxPool, place: Place) -> list[Call]:
    """Of codes or of numbers."""
    source, result = place.stored[step.inputs[0]], place.stored[step.output]
    geometry = Geometry.of(source, step.window, step.output)
    lowest, c_type = (-inf, "float") if isinstance(step, RealMaxPool) else (int(np.iinfo(source.kind).min), "int32_t")
    return [Call(
        "max_pool", {"source_t": source.c_type, "result_t": result.c_type, "largest_t": c_type},
        Fields({**geometry.fields(), "channels": geometry.channels, "lowest": lowest}), step.inputs, step.output,
        f"largest of {geometry.says()}", leads=geometry.leads(step.inputs[0], source, result),
        trails=geometry.trails(step.inputs[0], source, result),
    )]


def describe_average_pool(step: AveragePool, place: Place) -> list[Call]:
    source, result, average = place.stored[step.inputs[0]], place.stored[step.output], step.average
    assert isinstance(average, (FixedAverage, FloatAverage))
    geometry = Geometry.of(source, step.window, step.output)
    counts = [Table(axis_counts(geometry, axis, include_pad=step.include_pad), "uint16_t") for axis in range(2)]
    entries: Entries = {"channels": geometry.channels, "zero": average.zero_point, "rows": counts[0], "columns": counts[1]}
    kernel, scales = ("average_pool", by_count(average)) if isinstance(average, FixedAverage) else ("average_pool_float", in_float(average))
    return [Call(
        kernel, {"source_t": source.c_type, "result_t": result.c_type, "sum_t": "int64_t"},
        Fields({**geometry.fields(), **entries, **scales, **code_fields(average.codes)}), step.inputs, step.output,
        f"average of {geometry.says()}", nearest_part(average), geometry.leads(step.inputs[0], source, result),
        trails=geometry.trails(step.inputs[0], source, result),
    )]


def by_count(average: FixedAverage) -> Entries:
    return {"multiplier": Table(average.multipliers, "int32_t"), "shift": Table(average.shifts, "uint8_t"), "odd": odd_of(average)}


def in_float(average: FloatAverage) -> Entries:
    return {"scale": Table(np.asarray([average.scale, average.output_scale]), "float")}


def axis_counts(geometry: Geometry, axis: int, *, include_pad: bool) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    """How many places of each window count along one axis."""
    w = geometry.window
    line = Window((w.kernel[axis],), (w.strides[axis],), (w.dilations[axis],), (w.pads[axis],), w.ceil_mode)
    return line.counts((geometry.sizes[axis],), include_pad=include_pad)


def describe_mean(step: Mean, place: Place) -> list[Call]:
    source, result = place.stored[step.inputs[0]], place.stored[step.output]
    gone = {axis - 1 for axis in step.axes}
    kept_axes, gone_axes = ([axis for axis in source.order if (axis in gone) == going] for going in (False, True))
    count, way = source.count // max(1, result.count), way_of(step.requantize, place.rounding)
    if not summed(count, *step.source.steps).fit(32).all():
        raise TargetError(f"The sum of {count} codes in '{step.output}' may leave int32: give '{step.inputs[0]}' fewer bits.")
    entries: Entries = {**mean_loops(source, kept_axes, gone_axes, step.output), "start": -count * step.source.zero_point,
                        "rounding": rounding_fields(step.requantize, way)}
    return [Call("mean", {"source_t": source.c_type, "result_t": result.c_type}, Fields(entries), step.inputs, step.output,
                 f"mean of {count} elements, {result.count} times", rounding_part(way))]


def mean_loops(source: Stored, kept: Sequence[int], gone: Sequence[int], owner: str) -> Entries:
    """Loops over the axes that stay, and over those that go."""
    outer, inner = (nest([source.shape[a] for a in axes], [source.strides[a] for a in axes], depth=3, owner=owner)
                    for axes in (kept, gone))
    return {"count": outer.counts, "step": outer.steps[0], "inner_count": inner.counts, "inner_step": inner.steps[0]}
