"""The flavour for x86: convolutions and matrix products by sixteen output channels, as AVX-512 VNNI likes them; all else portable."""

from collections.abc import Mapping
from math import prod

import numpy as np

from bitsmith.integer.codes import CodeRange
from bitsmith.integer.instructions import Convolve, MatrixMultiply
from bitsmith.integer.requantization import FixedPoint
from bitsmith.integer.windows import Window
from bitsmith.numerics.formats import Array
from bitsmith.targets.c.call import Call, Describe, Entries, Fields, Place, Table
from bitsmith.targets.c.geometry import Geometry
from bitsmith.targets.c.portable import PORTABLE
from bitsmith.targets.c.products import describe_convolution, describe_product, fits_int8, fold_zero, steps_of
from bitsmith.targets.c.rounding import code_fields, rounding_part
from bitsmith.targets.c.stored import Stored

LANES, QUAD = 16, 4


def describe_for_x86(step: Convolve, place: Place) -> list[Call]:
    """By lanes where codes are bytes without sign and rounding is by multiplier; else portable."""
    source = place.stored[step.inputs[0]]
    ordered = steps_of(step.weights, step.weights_zero_point, 0)
    if not suits(source, ordered, step.requantize, place) or prod(step.input_dilation) > 1 or len(step.window.kernel) > 2:
        return describe_convolution(step, place)
    geometry = Geometry.of(source, step.window, step.output)
    channels = len(step.weights)
    if step.weights.shape[1] == 1 and channels == step.groups and channels % LANES == 0 and geometry.steps[2] == 1:
        return [depthwise_call(step, place, geometry)]
    terms = np.moveaxis(ordered, 1, -1).reshape(channels, -1)
    bias, dot = fold_zero(terms, step.bias, step.source)
    if step.groups > 1 or dot != "dot":
        return describe_convolution(step, place)
    assert isinstance(step.requantize, FixedPoint)
    entries = geometry.fields() | {"in_channels": geometry.channels}
    said = f"convolution {geometry.says()}, {geometry.channels} -> {channels} channels"
    direct = prod(step.window.kernel) == 1 and not any(map(any, step.window.pads)) and geometry.steps[2] == 1
    return [lanes_call(step, place, {**entries, **lanes(terms, bias, step.requantize, step.source)}, direct=direct, says=said)]


def describe_product_for_x86(step: MatrixMultiply, place: Place) -> list[Call]:
    """Rows are pixels of an image of one line."""
    source = place.stored[step.inputs[0]]
    if step.weights is None or step.weights.ndim != 2 or step.weights_zero_point is None:
        return describe_product(step, place)
    steps = step.weights.astype(np.int32) - step.weights_zero_point
    ordered = np.ascontiguousarray((steps[source.places()] if len(source.shape) == 1 else steps).T)
    bias, dot = fold_zero(ordered, step.bias, step.source)
    if dot != "dot" or not suits(source, ordered, step.requantize, place):
        return describe_product(step, place)
    terms, rows = len(steps), source.count // max(1, len(steps))
    geometry = Geometry.of(Stored((terms, rows), source.kind, (terms, rows), (1, 0)), Window.of((1,)), step.output)
    assert isinstance(step.requantize, FixedPoint)
    entries = {**geometry.fields(), "in_channels": terms, **lanes(ordered, bias, step.requantize, step.source)}
    said = f"matrix product, {rows} x {terms} by {terms} x {len(ordered)}"
    return [lanes_call(step, place, entries, direct=True, says=said)]


def suits(source: Stored, weights: Array, requantize: object, place: Place) -> bool:
    low, high = int(weights.min(initial=0)), int(weights.max(initial=0))
    return (source.c_type == "uint8_t" and fits_int8(low, high) and place.rounding == "multiplier" and isinstance(requantize, FixedPoint)
            and weights.size > 0)


def lanes(terms: Array, bias: Table, requantize: FixedPoint, source: CodeRange) -> Entries:
    """Weights, bias and multipliers of a whole number of lanes, filled up with zeros."""
    channels, count = terms.shape
    blocks, quads = -(-channels // LANES), -(-count // QUAD)
    filled = np.zeros((blocks * LANES, quads * QUAD), terms.dtype)
    filled[:channels, :count] = terms
    turned = filled.reshape(blocks, LANES, quads, QUAD).transpose(0, 2, 1, 3)
    return {
        "out_channels": channels, "quads": quads, "zero": source.zero_point, "weights": Table(turned.reshape(-1), "int8_t"),
        "bias": Table(np.pad(bias.numbers, (0, blocks * LANES - channels)), "int32_t"), "rounding": lane_rounding(requantize, channels),
    }


def lane_rounding(requantize: FixedPoint, channels: int) -> Fields:
    """One multiplier and shift for each channel, a whole number of lanes."""
    spare = (0, -channels % LANES)
    multiplier, shift = (np.pad(np.broadcast_to(part, (channels,)), spare) for part in (requantize.multiplier, requantize.shift))
    scales: Entries = {"multiplier": Table(multiplier, "int32_t"), "shift": Table(shift, "uint8_t"), "step": 1}
    return Fields({**scales, **code_fields(requantize.codes)})


def lanes_call(step: Convolve | MatrixMultiply, place: Place, entries: Entries, *, direct: bool, says: str) -> Call:
    quads, terms = entries["quads"], entries["in_channels"]
    assert isinstance(quads, int)
    assert isinstance(terms, int)
    whole = direct and terms % QUAD == 0
    result = place.stored[step.output]
    assert step.weights is not None
    macs = step.weights[0].size if isinstance(step, Convolve) else terms
    return Call(
        "x86_convolve", {"source_t": "uint8_t", "weight_t": "int8_t", "result_t": result.c_type},
        Fields({**entries, "direct": int(whole)}), step.inputs, step.output, says, rounding_part(place.rounding),
        scratch=4 * quads * QUAD, macs=macs * result.count,
    )


def depthwise_call(step: Convolve, place: Place, geometry: Geometry) -> Call:
    source, result = place.stored[step.inputs[0]], place.stored[step.output]
    channels = geometry.channels
    taps = steps_of(step.weights, step.weights_zero_point, 0).reshape(channels, -1).T
    bias = np.zeros(channels, np.int32) if step.bias is None else step.bias
    assert isinstance(step.requantize, FixedPoint)
    entries: Entries = {**geometry.fields(), "channels": channels, "zero": step.source.zero_point,
                        "weights": Table(taps.reshape(-1), "int8_t"), "bias": Table(bias, "int32_t")}
    return Call(
        "x86_depthwise", {"source_t": source.c_type, "weight_t": "int8_t", "result_t": result.c_type},
        Fields({**entries, "rounding": lane_rounding(step.requantize, channels)}), step.inputs, step.output,
        f"convolution {geometry.says()} of each of {channels} channels", rounding_part(place.rounding),
        macs=step.weights[0].size * result.count,
    )


X86: Mapping[type, Describe] = {**PORTABLE, Convolve: describe_for_x86, MatrixMultiply: describe_product_for_x86}
