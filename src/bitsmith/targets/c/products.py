"""Convolutions and matrix products as calls of the portable kernels."""

from math import prod
from typing import Any

import numpy as np

from bitsmith.errors import TargetError
from bitsmith.integer.bounds import weighted
from bitsmith.integer.codes import CodeRange
from bitsmith.integer.instructions import Convolve, MatrixMultiply
from bitsmith.numerics.formats import Array
from bitsmith.targets.c.call import Call, Entries, Fields, Place, Table
from bitsmith.targets.c.geometry import Geometry, furthest
from bitsmith.targets.c.rounding import rounding_fields, rounding_part
from bitsmith.targets.c.stored import Stored, nest

INT4 = (-8, 7)


def describe_convolution(step: Convolve, place: Place) -> list[Call]:
    """One call: every channel by itself, single pixels, or windows gathered."""
    check_ends_in_codes(step)
    source, result = place.stored[step.inputs[0]], place.stored[step.output]
    geometry = Geometry.of(source, step.window, step.output, step.input_dilation)
    spread = prod(geometry.spread) > 1
    if step.weights.shape[1] == 1 and len(step.weights) == step.groups > 1 and not spread:
        return [depthwise_call(step, place, geometry, source, result)]
    single = prod(step.window.kernel) == step.groups == 1 and not any(map(any, step.window.pads)) and not spread
    call = pointwise_call if single and geometry.steps[2] == 1 else convolve_call
    return [call(step, place, geometry, source, result)]


def convolve_call(step: Convolve, place: Place, geometry: Geometry, source: Stored, result: Stored) -> Call:
    inner, outer = step.weights.shape[1], len(step.weights) // step.groups
    ordered = np.moveaxis(steps_of(step.weights, step.weights_zero_point, 0), 1, -1).reshape(len(step.weights), -1)
    bias, dot = fold_zero(ordered, step.bias, step.source)
    weights, unpack = pack(ordered)
    entries: Entries = geometry.fields() | {
        "in_channels": inner, "out_channels": outer, "groups": step.groups, "spread_y": geometry.spread[0], "spread_x": geometry.spread[1],
        "zero": step.source.zero_point}
    return Call(
        "convolve", {"source_t": source.c_type, "weight_t": weights.c_type, "result_t": result.c_type},
        Fields({**entries, "weights": weights, "bias": bias, "rounding": rounding_fields(requantize_of(step), place.rounding)}),
        step.inputs, step.output, f"convolution {geometry.says()}, {geometry.channels} -> {len(step.weights)} channels",
        {**rounding_part(place.rounding), "weight_at": unpack, "dot": dot},
        geometry.leads(step.inputs[0], source, result), inner * prod(step.window.kernel) * source.width,
        step.weights[0].size * result.count, trails=geometry.trails(step.inputs[0], source, result),
    )


def pointwise_call(step: Convolve, place: Place, geometry: Geometry, source: Stored, result: Stored) -> Call:
    ordered = steps_of(step.weights, step.weights_zero_point, 0).reshape(len(step.weights), -1)
    bias, dot = fold_zero(ordered, step.bias, step.source)
    weights, unpack = pack(ordered)
    rows, columns = (step * stride for step, stride in zip(geometry.steps, geometry.window.strides, strict=False))
    entries: Entries = {"out_height": geometry.outputs[0], "out_width": geometry.outputs[1], "in_channels": geometry.channels,
               "out_channels": len(ordered), "row_step": rows, "column_step": columns, "zero": step.source.zero_point}
    return Call(
        "pointwise", {"source_t": source.c_type, "weight_t": weights.c_type, "result_t": result.c_type},
        Fields({**entries, "weights": weights, "bias": bias, "rounding": rounding_fields(requantize_of(step), place.rounding)}),
        step.inputs, step.output, f"convolution {geometry.says()}, {geometry.channels} -> {len(ordered)} channels",
        {**rounding_part(place.rounding), "weight_at": unpack, "dot": dot},
        geometry.leads(step.inputs[0], source, result), macs=step.weights[0].size * result.count,
        trails=geometry.trails(step.inputs[0], source, result),
    )


def depthwise_call(step: Convolve, place: Place, geometry: Geometry, source: Stored, result: Stored) -> Call:
    taps = steps_of(step.weights, step.weights_zero_point, 0).reshape(len(step.weights), -1).T
    weights, unpack = pack(taps)
    bias = np.zeros(len(step.weights), np.int32) if step.bias is None else step.bias
    entries: Entries = geometry.fields() | {"channels": geometry.channels, "zero": step.source.zero_point}
    return Call(
        "depthwise", {"source_t": source.c_type, "weight_t": weights.c_type, "result_t": result.c_type},
        Fields({**entries, "weights": weights, "bias": Table(bias, "int32_t"),
                "rounding": rounding_fields(requantize_of(step), place.rounding)}),
        step.inputs, step.output, f"convolution {geometry.says()} of each of {geometry.channels} channels",
        {**rounding_part(place.rounding), "weight_at": unpack},
        geometry.leads(step.inputs[0], source, result), macs=step.weights[0].size * result.count,
        trails=geometry.trails(step.inputs[0], source, result),
    )


def describe_product(step: MatrixMultiply, place: Place) -> list[Call]:
    """By weights, or of two computed values."""
    check_ends_in_codes(step)
    if step.weights is not None and step.weights.ndim == 2:
        return [multiply_call(step, step.weights, place)]
    if step.weights is not None:
        raise TargetError(f"'{step.output}' has weights of shape {step.weights.shape}; the target 'c' multiplies by one matrix for all.")
    return [pair_call(step, place)]


def multiply_call(step: MatrixMultiply, stored_weights: Array, place: Place) -> Call:
    source, result = place.stored[step.inputs[0]], place.stored[step.output]
    assert step.weights_zero_point is not None
    steps = stored_weights.astype(np.int32) - step.weights_zero_point
    ordered = steps[source.places()] if len(source.shape) == 1 else steps          # rows in the order of memory
    bias, dot = fold_zero(np.ascontiguousarray(ordered.T), step.bias, step.source)
    weights, unpack = pack(np.ascontiguousarray(ordered.T))
    terms, outputs = steps.shape
    rows = source.count // max(1, terms)
    entries: Entries = {"rows": rows, "terms": terms, "outputs": outputs, "zero": step.source.zero_point, "weights": weights, "bias": bias}
    turns = np.arange(rows)
    lead = furthest((turns + 1) * outputs * result.width, turns * terms * source.width)
    return Call(
        "multiply", {"source_t": source.c_type, "weight_t": weights.c_type, "result_t": result.c_type},
        Fields({**entries, "rounding": rounding_fields(requantize_of(step), place.rounding)}), step.inputs, step.output,
        f"matrix product, {rows} x {terms} by {terms} x {outputs}",
        {**rounding_part(place.rounding), "weight_at": unpack, "dot": dot}, {step.inputs[0]: lead}, 0, terms * result.count,
    )


def pair_call(step: MatrixMultiply, place: Place) -> Call:
    left, right, result = (place.stored[name] for name in (*step.inputs, step.output))
    loops = matrix_loops(left, right, result, step.output)
    (rows, terms), outputs = left.shape[-2:], right.shape[-1]
    assert step.other is not None
    bias = np.zeros(outputs, np.int32) if step.bias is None else step.bias
    entries: Entries = {**loops, "left_zero": step.source.zero_point, "right_zero": step.other.zero_point}
    return Call(
        "multiply_pair", {"left_t": left.c_type, "right_t": right.c_type, "result_t": result.c_type},
        Fields({**entries, "bias": Table(bias, "int32_t"), "rounding": rounding_fields(requantize_of(step), place.rounding)}),
        step.inputs, step.output, f"matrix product of two values, {rows} x {terms} by {terms} x {outputs}",
        rounding_part(place.rounding), macs=terms * result.count,
    )


def matrix_loops(left: Stored, right: Stored, result: Stored, owner: str) -> Entries:
    """Loops over the batches of two matrices, and the matrices' sizes."""
    if min(len(left.shape), len(right.shape)) < 2 or len(left.shape) != len(right.shape):
        raise TargetError(f"'{owner}' multiplies {left.shape} by {right.shape}; give both as many axes, two at least.")
    steps = [broadcast_steps(operand, (*result.shape[:-2], 0, 0))[:-2] for operand in (left, right)]
    loops = nest(result.shape[:-2], *steps, depth=3, owner=owner)
    return {"count": loops.counts, "left_step": loops.steps[0], "right_step": loops.steps[1], "rows": left.shape[-2],
            "terms": left.shape[-1], "outputs": right.shape[-1]}


def broadcast_steps(operand: Stored, shape: tuple[int, ...]) -> tuple[int, ...]:
    """An operand's elements from one to the next along each axis of the result; 0 where it repeats itself."""
    return tuple(0 if own == 1 and length != 1 else step for own, length, step in zip(operand.shape, shape, operand.strides, strict=True))


def check_ends_in_codes(step: Any) -> None:
    if step.requantize is None:
        raise TargetError(f"'{step.output}' ends in accumulators; give it an encoding, or choose the target 'onnxruntime'.")


def requantize_of(step: Any) -> Any:
    return step.requantize


def steps_of(weights: Array, zero_point: Array, axis: int) -> Array:
    """Weights, counted from their zero point."""
    shape = [1] * weights.ndim
    shape[axis] = -1
    zeros = zero_point.reshape(shape) if zero_point.ndim else zero_point
    return np.asarray(weights.astype(np.int32) - zeros)


def fold_zero(weights: Array, bias: Array | None, source: CodeRange) -> tuple[Table, str]:
    """(bias, kernel of the dot product): the codes' zero point joins the bias where no sum of codes themselves can overflow.

    weights  [outputs, terms], counted from their zero point
    """
    start = np.zeros(len(weights), np.int64) if bias is None else bias.astype(np.int64)
    folded = start - source.zero_point * weights.sum(1, dtype=np.int64)
    bounds = weighted(weights, folded, source.low, source.high)
    if bounds.fit(32).all():
        return Table(folded, "int32_t"), "dot"
    return Table(start, "int32_t"), "dot_from_zero"


def pack(weights: Array) -> tuple[Table, str]:
    """(as they lie in flash, how one is read): two to the byte where four bits hold them, else whole bytes or 16 bits."""
    flat = weights.reshape(-1)
    low, high = int(flat.min(initial=0)), int(flat.max(initial=0))
    if INT4[0] <= low and high <= INT4[1]:
        even = np.concatenate([flat, np.zeros(len(flat) % 2, flat.dtype)])
        return Table((even[0::2] & 15) | ((even[1::2] & 15) << 4), "uint8_t"), "weight_at_int4"
    return Table(flat, "int8_t" if fits_int8(low, high) else "int16_t"), "weight_at"


def fits_int8(low: int, high: int) -> bool:
    return low >= -128 and high <= 127
