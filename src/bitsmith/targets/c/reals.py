"""What computes in float, as calls of its kernels."""

from collections.abc import Mapping
from math import prod

import numpy as np

from bitsmith.numerics.formats import Array
from bitsmith.real.instructions import (
    CurveOfCodes,
    Limits,
    RealAveragePool,
    RealCast,
    RealClamp,
    RealConvolve,
    RealCurve,
    RealMaxPool,
    RealMean,
    RealMultiply,
    RealMultiplyPair,
    RealNormalize,
    RealPair,
    RealSoftmax,
    Weights,
)
from bitsmith.targets.c.call import Call, Describe, Entries, Fields, Place, Table
from bitsmith.targets.c.elementwise import growth, pair_leads, pair_loops
from bitsmith.targets.c.geometry import Geometry, furthest
from bitsmith.targets.c.pooling import axis_counts, describe_max_pool, mean_loops
from bitsmith.targets.c.products import matrix_loops, pack
from bitsmith.targets.c.stored import Stored

TOGETHER = 4            # output channels, and windows, that a kernel takes at a time
WIDTH = 4               # bytes of a number


def describe_convolution(step: RealConvolve, place: Place) -> list[Call]:
    """One call: every channel by itself, or windows gathered."""
    source, result = place.stored[step.inputs[0]], place.stored[step.output]
    geometry = Geometry.of(source, step.window, step.output, step.input_dilation)
    outputs, inner = step.weights.steps.shape[:2]
    if inner == 1 and outputs == step.groups > 1 and prod(geometry.spread) == 1:
        return [depthwise_call(step, geometry, source, result)]
    blocks = in_blocks(step.matrix.reshape(step.groups, outputs // step.groups, -1))
    weights, parts = pack_reals(blocks)
    entries: Entries = geometry.fields() | {
        "in_channels": inner, "out_channels": outputs // step.groups, "groups": step.groups, "spread_y": geometry.spread[0],
        "spread_x": geometry.spread[1], "weights": weights, "finish": finish_fields(step.weights, step.limits)}
    together = TOGETHER if step.groups == 1 and result.count // outputs >= TOGETHER else 1
    return [Call(
        "real_convolve", {"weight_t": weights.c_type}, Fields(entries), step.inputs, step.output,
        f"convolution {geometry.says()}, {geometry.channels} -> {outputs} channels",
        {**parts, **finish_part(step.weights), "real_dot": "real_dot"}, geometry.leads(step.inputs[0], source, result),
        together * step.matrix.shape[1] * WIDTH, step.matrix.shape[1] * result.count,
        trails=geometry.trails(step.inputs[0], source, result),
    )]


def depthwise_call(step: RealConvolve, geometry: Geometry, source: Stored, result: Stored) -> Call:
    weights, parts = pack_reals(step.matrix.T)
    entries: Entries = geometry.fields() | {"channels": geometry.channels, "weights": weights,
                                            "finish": finish_fields(step.weights, step.limits)}
    return Call(
        "real_depthwise", {"weight_t": weights.c_type}, Fields(entries), step.inputs, step.output,
        f"convolution {geometry.says()} of each of {geometry.channels} channels", {**parts, **finish_part(step.weights)},
        geometry.leads(step.inputs[0], source, result), macs=step.matrix.shape[1] * result.count,
        trails=geometry.trails(step.inputs[0], source, result),
    )


def describe_product(step: RealMultiply, place: Place) -> list[Call]:
    """By weights. Its sums go in the order of memory: where that is not the network's, a reordering stands before it."""
    source, result = place.stored[step.inputs[0]], place.stored[step.output]
    outputs, terms = step.weights.steps.shape
    weights, parts = pack_reals(in_blocks(step.weights.steps[None]))
    turns = np.arange(source.count // max(1, terms))
    entries: Entries = {"rows": len(turns), "terms": terms, "outputs": outputs, "weights": weights,
                        "finish": finish_fields(step.weights, step.limits)}
    lead = furthest((turns + 1) * outputs * WIDTH, turns * terms * WIDTH)
    return [Call(
        "real_multiply", {"weight_t": weights.c_type}, Fields(entries), step.inputs, step.output,
        f"matrix product, {len(turns)} x {terms} by {terms} x {outputs}", {**parts, **finish_part(step.weights), "real_dot": "real_dot"},
        {step.inputs[0]: lead}, macs=terms * result.count,
    )]


def describe_pair_product(step: RealMultiplyPair, place: Place) -> list[Call]:
    left, right, result = (place.stored[name] for name in (*step.inputs, step.output))
    entries = matrix_loops(left, right, result, step.output)
    return [Call("real_multiply_pair", {}, Fields({**entries, "limits": limit_fields(step.limits)}), step.inputs, step.output,
                 f"matrix product of two values, {left.shape[-2]} x {left.shape[-1]} by {right.shape[-2]} x {right.shape[-1]}",
                 macs=left.shape[-1] * result.count, parts=WITH_LIMITS)]


def in_blocks(matrix: Array) -> Array:
    """[groups, outputs, terms] -> [groups, outputs / 4 rounded up, terms, 4]."""
    filled = np.pad(matrix, ((0, 0), (0, -matrix.shape[1] % TOGETHER), (0, 0)))
    return filled.reshape(len(matrix), -1, TOGETHER, matrix.shape[2]).swapaxes(2, 3)


def pack_reals(steps: Array) -> tuple[Table, dict[str, str]]:
    """(as they lie in flash, how one is read): numbers, or steps as small as they can be."""
    if steps.dtype == np.float32:
        return Table(steps, "float"), {"real_weight": "real_weight"}
    table, parts = pack(steps)
    return table, {"weight_at": parts["weight_at"], "real_weight": "real_weight_coded"}


def finish_part(weights: Weights) -> dict[str, str]:
    return {**WITH_LIMITS, "real_finish": "real_finish" if weights.scale is None else "real_finish_scaled"}


def finish_fields(weights: Weights, limits: Limits) -> Fields:
    scale: Entries = {} if weights.scale is None else {"scale": Table(weights.scale, "float")}
    return Fields({**scale, "bias": Table(weights.bias, "float"), "limits": limit_fields(limits)})


def limit_fields(limits: Limits) -> Fields:
    return Fields({"low": limits.low, "high": limits.high})


def describe_pair(step: RealPair, place: Place) -> list[Call]:
    left, right, result = (place.stored[name] for name in (*step.inputs, step.output))
    entries: Entries = {**pair_loops(left, right, result, step.output), "limits": limit_fields(step.limits)}
    return [Call("real_pair", {}, Fields(entries), step.inputs, step.output, f"{step.operation}, {result.count} elements",
                 {**WITH_LIMITS, "combine": f"combine_{step.operation}"}, pair_leads(step.inputs, left, right, result))]


def describe_curve(step: RealCurve, place: Place) -> list[Call]:
    count = place.stored[step.output].count
    return [Call("real_curve", {}, Fields({"count": count, "numbers": step.numbers}), step.inputs, step.output,
                 f"{step.curve.replace('_', ' ')}, {count} elements", {"curve": f"curve_{step.curve}"}, {step.inputs[0]: 0})]


def describe_curve_of_codes(step: CurveOfCodes, place: Place) -> list[Call]:
    source, result = place.stored[step.inputs[0]], place.stored[step.output]
    zero, zero_point = (int(e.zero_point.reshape(())) for e in (step.source, step.target))
    scale, result_scale = (float(e.scale.reshape(())) for e in (step.source, step.target))
    form = step.target.format
    entries: Entries = {"count": result.count, "zero": zero, "zero_point": zero_point, "low": form.lowest, "high": form.highest,
                        "scale": scale, "result_scale": result_scale, "numbers": step.numbers}
    return [Call("real_curve_of_codes", {"source_t": source.c_type, "result_t": result.c_type}, Fields(entries), step.inputs, step.output,
                 f"{step.curve.replace('_', ' ')}, {result.count} elements", {"curve": f"curve_{step.curve}"},
                 {step.inputs[0]: growth(source, result)})]


def describe_cast(step: RealCast, place: Place) -> list[Call]:
    source, result = place.stored[step.inputs[0]], place.stored[step.output]
    return [Call("real_cast", {"source_t": source.c_type}, Fields({"count": result.count}), step.inputs, step.output,
                 f"numbers of {result.count} integers", leads={step.inputs[0]: growth(source, result)})]


def describe_clamp(step: RealClamp, place: Place) -> list[Call]:
    count = place.stored[step.output].count
    return [Call("real_clamp", {}, Fields({"count": count, "limits": limit_fields(step.limits)}), step.inputs, step.output,
                 f"clamp, {count} elements", WITH_LIMITS, {step.inputs[0]: 0})]


def describe_average_pool(step: RealAveragePool, place: Place) -> list[Call]:
    source, result = place.stored[step.inputs[0]], place.stored[step.output]
    geometry = Geometry.of(source, step.window, step.output)
    rows, columns = (Table(axis_counts(geometry, axis, include_pad=step.include_pad), "uint16_t") for axis in range(2))
    fields = Fields({**geometry.fields(), "channels": geometry.channels, "rows": rows, "columns": columns})
    return [Call("real_average_pool", {}, fields, step.inputs, step.output, f"average of {geometry.says()}",
                 leads=geometry.leads(step.inputs[0], source, result), trails=geometry.trails(step.inputs[0], source, result))]


def describe_mean(step: RealMean, place: Place) -> list[Call]:
    """The axes that go in the network's order, whatever that of memory is: so sums are the same everywhere."""
    source, result = place.stored[step.inputs[0]], place.stored[step.output]
    gone = sorted(axis - 1 for axis in step.axes)
    entries = mean_loops(source, [axis for axis in source.order if axis not in gone], gone, step.output)
    return [Call("real_mean", {}, Fields(entries), step.inputs, step.output,
                 f"mean of {source.count // max(1, result.count)} elements, {result.count} times")]


def describe_softmax(step: RealSoftmax, place: Place) -> list[Call]:
    source = place.stored[step.inputs[0]]
    at = source.order.index(step.axis - 1)
    inner = prod(source.sizes[at + 1:])
    return [Call("real_softmax", {}, Fields({"outer": prod(source.sizes[:at]), "count": source.sizes[at], "inner": inner}), step.inputs,
                 step.output, f"softmax over {source.sizes[at]} elements", leads={step.inputs[0]: 0} if inner == 1 else {})]


def describe_normalization(step: RealNormalize, place: Place) -> list[Call]:
    count, rows = step.gain.size, place.stored[step.inputs[0]].count // max(1, step.gain.size)
    line: Entries = {"gain": Table(step.gain, "float"), "bias": Table(step.bias, "float")}
    entries: Entries = {"rows": rows, "length": count, "centred": int(step.centred), "epsilon": step.epsilon, **line}
    return [Call("real_normalize", {}, Fields(entries), step.inputs, step.output, f"normalization of {count} numbers, {rows} times",
                 leads={step.inputs[0]: 0})]


WITH_LIMITS = {"real_limits": "real_limits"}
REALS: Mapping[type, Describe] = {
    RealConvolve: describe_convolution,
    RealMultiply: describe_product,
    RealMultiplyPair: describe_pair_product,
    RealPair: describe_pair,
    RealCurve: describe_curve,
    CurveOfCodes: describe_curve_of_codes,
    RealCast: describe_cast,
    RealClamp: describe_clamp,
    RealMaxPool: describe_max_pool,
    RealAveragePool: describe_average_pool,
    RealMean: describe_mean,
    RealNormalize: describe_normalization,
    RealSoftmax: describe_softmax,
}
