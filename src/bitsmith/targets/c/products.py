"""Convolutions and matrix products as calls of the portable kernels."""

from math import prod
from typing import Any

import numpy as np

from bitsmith.errors import TargetError
from bitsmith.integer.bounds import Bounds, weighted
from bitsmith.integer.codes import CodeRange
from bitsmith.integer.instructions import Convolve, MatrixMultiply
from bitsmith.integer.windows import Window
from bitsmith.numerics.formats import Array
from bitsmith.targets.c.call import Call, Entries, Fields, Place, Table
from bitsmith.targets.c.geometry import Geometry, furthest
from bitsmith.targets.c.rounding import accumulator_type, rounding_fields, rounding_part
from bitsmith.targets.c.stored import Stored, nest

WIDTHS = {2: "weight_at_int2", 3: "weight_at_int3", 4: "weight_at_int4"}         # bits of weights that are packed -> how one is read
WORD = 32
ZERO = np.zeros((), np.int32)


def describe_convolution(step: Convolve, place: Place) -> list[Call]:
    """One call: every channel by itself, single pixels, or windows gathered."""
    check_ends_in_codes(step)
    source, result = place.stored[step.inputs[0]], place.stored[step.output]
    geometry = Geometry.of(source, step.window, step.output, step.input_dilation)
    spread = prod(geometry.spread) > 1
    if step.weights.shape[1] == 1 and len(step.weights) == step.groups > 1 and not spread:
        return [depthwise_call(step, place, geometry, source, result)]
    signs = are_signs(step.weights, step.weights_zero_point) and reads_signs(step.source, source)
    single = prod(step.window.kernel) == step.groups == 1 and not signs and not any(map(any, step.window.pads)) and not spread
    call = pointwise_call if single and geometry.steps[2] == 1 else convolve_call
    return [call(step, place, geometry, source, result)]


def convolve_call(step: Convolve, place: Place, geometry: Geometry, source: Stored, result: Stored) -> Call:
    inner, outer = step.weights.shape[1], len(step.weights) // step.groups
    ordered = np.moveaxis(steps_of(step.weights, step.weights_zero_point, 0), 1, -1).reshape(len(step.weights), -1)
    bias, dot = fold_zero(ordered, step.bias, step.source)
    signs = are_signs(step.weights, step.weights_zero_point) and reads_signs(step.source, source)
    weights, parts = pack_words(ordered) if signs else pack(ordered)
    terms = inner * prod(step.window.kernel)
    entries: Entries = geometry.fields() | {
        "in_channels": inner, "out_channels": outer, "groups": step.groups, "spread_y": geometry.spread[0], "spread_x": geometry.spread[1],
        "zero": step.source.zero_point}
    return Call(
        "convolve", product_types(step, step.bounds, source.c_type, weights.c_type, result.c_type),
        Fields({**entries, "weights": weights, "bias": bias, "rounding": rounding_fields(requantize_of(step), place.rounding)}),
        step.inputs, step.output, f"convolution {geometry.says()}, {geometry.channels} -> {len(step.weights)} channels",
        {"dot": dot, "squeeze": "squeeze", **parts, **rounding_part(place.rounding)},
        geometry.leads(step.inputs[0], source, result), squeezed_bytes(terms) if signs else terms * source.width,
        step.weights[0].size * result.count, trails=geometry.trails(step.inputs[0], source, result),
    )


def pointwise_call(step: Convolve, place: Place, geometry: Geometry, source: Stored, result: Stored) -> Call:
    ordered = steps_of(step.weights, step.weights_zero_point, 0).reshape(len(step.weights), -1)
    bias, dot = fold_zero(ordered, step.bias, step.source)
    weights, parts = pack(ordered)
    rows, columns = (step * stride for step, stride in zip(geometry.steps, geometry.window.strides, strict=False))
    entries: Entries = {"out_height": geometry.outputs[0], "out_width": geometry.outputs[1], "in_channels": geometry.channels,
               "out_channels": len(ordered), "row_step": rows, "column_step": columns, "zero": step.source.zero_point}
    return Call(
        "pointwise", product_types(step, step.bounds, source.c_type, weights.c_type, result.c_type),
        Fields({**entries, "weights": weights, "bias": bias, "rounding": rounding_fields(requantize_of(step), place.rounding)}),
        step.inputs, step.output, f"convolution {geometry.says()}, {geometry.channels} -> {len(ordered)} channels",
        {"dot": dot, **parts, **rounding_part(place.rounding)},
        geometry.leads(step.inputs[0], source, result), macs=step.weights[0].size * result.count,
        trails=geometry.trails(step.inputs[0], source, result),
    )


def depthwise_call(step: Convolve, place: Place, geometry: Geometry, source: Stored, result: Stored) -> Call:
    taps = steps_of(step.weights, step.weights_zero_point, 0).reshape(len(step.weights), -1).T
    weights, parts = pack(taps)
    bias = np.zeros(len(step.weights), np.int32) if step.bias is None else step.bias
    entries: Entries = geometry.fields() | {"channels": geometry.channels, "zero": step.source.zero_point}
    return Call(
        "depthwise", product_types(step, step.bounds, source.c_type, weights.c_type, result.c_type),
        Fields({**entries, "weights": weights, "bias": Table(bias, "int32_t"),
                "rounding": rounding_fields(requantize_of(step), place.rounding)}),
        step.inputs, step.output, f"convolution {geometry.says()} of each of {geometry.channels} channels",
        {**parts, **rounding_part(place.rounding)},
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
    if are_signs(steps) and reads_signs(step.source, source):
        return signs_call(step, np.ascontiguousarray(ordered.T), place)
    bias, dot = fold_zero(np.ascontiguousarray(ordered.T), step.bias, step.source)
    weights, parts = pack(np.ascontiguousarray(ordered.T))
    terms, outputs = steps.shape
    rows = source.count // max(1, terms)
    entries: Entries = {"rows": rows, "terms": terms, "outputs": outputs, "zero": step.source.zero_point, "weights": weights, "bias": bias}
    turns = np.arange(rows)
    lead = furthest((turns + 1) * outputs * result.width, turns * terms * source.width)
    return Call(
        "multiply", product_types(step, step.bounds(terms), source.c_type, weights.c_type, result.c_type),
        Fields({**entries, "rounding": rounding_fields(requantize_of(step), place.rounding)}), step.inputs, step.output,
        f"matrix product, {rows} x {terms} by {terms} x {outputs}",
        {"dot": dot, **parts, **rounding_part(place.rounding)}, {step.inputs[0]: lead}, 0, terms * result.count,
    )


def signs_call(step: MatrixMultiply, weights: Array, place: Place) -> Call:
    """Rows are pixels of an image of one line: a convolution of signs, whose windows are squeezed to bits."""
    source, result, terms = place.stored[step.inputs[0]], place.stored[step.output], weights.shape[1]
    line = Stored((terms, source.count // terms), source.kind, (terms, source.count // terms), (1, 0))
    one, columns = Window.of((1,)), weights[..., None]
    made = Convolve((step.inputs[0],), step.output, step.source, columns, ZERO, one, step.bias, requantize=step.requantize)
    return convolve_call(made, place, Geometry.of(line, one, step.output), line, result)


def pair_call(step: MatrixMultiply, place: Place) -> Call:
    left, right, result = (place.stored[name] for name in (*step.inputs, step.output))
    loops = matrix_loops(left, right, result, step.output)
    (rows, terms), outputs = left.shape[-2:], right.shape[-1]
    assert step.other is not None
    width = accumulator_type(step.bounds(terms), requantize_of(step), step.output)
    bias = np.zeros(outputs, np.int32) if step.bias is None else step.bias
    entries: Entries = {**loops, "left_zero": step.source.zero_point, "right_zero": step.other.zero_point}
    return Call(
        "multiply_pair", {"left_t": left.c_type, "right_t": right.c_type, "result_t": result.c_type, "sum_t": width},
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


def product_types(step: Any, bounds: Bounds, source: str, weight: str, result: str) -> dict[str, str]:
    """C types of a product with weights, sums as wide as they are proven to need."""
    return {"source_t": source, "weight_t": weight, "result_t": result, "sum_t": accumulator_type(bounds, requantize_of(step), step.output)}


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


def pack(weights: Array) -> tuple[Table, dict[str, str]]:
    """(as they lie in flash, how one is read and multiplied): as few bits as hold all of them, up to 4, else whole bytes or 16 bits."""
    flat = weights.reshape(-1)
    low, high = int(flat.min(initial=0)), int(flat.max(initial=0))
    weigh = "weigh_signs" if max(-low, high) <= 1 else "weigh"
    if are_signs(flat):
        return Table(in_bits(flat < 0, 1), "uint8_t"), {"weight_at": "weight_at_binary", "weigh": weigh}
    for bits, unpack in WIDTHS.items():
        if -(1 << (bits - 1)) <= low and high < 1 << (bits - 1):
            packed = np.pad(in_bits(flat, bits), (0, 8 % bits and 1))       # a weight that crosses bytes is read from two of them
            return Table(packed, "uint8_t"), {"weight_at": unpack, "weigh": weigh}
    return Table(flat, "int8_t" if fits_int8(low, high) else "int16_t"), {"weight_at": "weight_at", "weigh": weigh}


def packs(weights: Array) -> bool:
    """True for weights that lie in flash in less than a byte."""
    return int(weights.min(initial=0)) >= -8 and int(weights.max(initial=0)) <= 7


def in_bits(numbers: Array, bits: int) -> Array:
    """The lowest bits of each number, one after the other from the lowest bit of the first byte on."""
    return np.packbits((numbers.astype(np.int32)[:, None] >> np.arange(bits)) & 1, bitorder="little")


def pack_words(weights: Array) -> tuple[Table, dict[str, str]]:
    """The same for signs that meet signs, [outputs, terms]: each output's bits begin with a new word."""
    bits = np.pad(weights < 0, ((0, 0), (0, -weights.shape[1] % WORD)))
    words = np.packbits(bits, axis=1, bitorder="little").reshape(-1).view("<u4")
    return Table(words, "uint32_t"), {"dot": "dot_signs", "squeeze": "squeeze_signs", "popcount": "popcount"}


def squeezed_bytes(terms: int) -> int:
    """Of a window: as it is gathered, and as what `squeeze_signs` makes of it."""
    return max(terms, 4 + 8 * -(-terms // WORD))


def are_signs(weights: Array, zero_point: Array = ZERO) -> bool:
    """True where all weights are -1 or 1, counted from their zero point."""
    return weights.size > 0 and not zero_point.any() and bool((np.abs(weights) == 1).all())


def reads_signs(source: CodeRange, stored: Stored) -> bool:
    """True where codes are -1, 0 and 1, or some of these."""
    return stored.c_type == "int8_t" and source.zero_point == 0 and source.low >= -1 and source.high <= 1


def fits_int8(low: int, high: int) -> bool:
    return low >= -128 and high <= 127
