"""The flavour for x86: sixteen channels at a time, as AVX2 and AVX-512 VNNI like them; what it does not take stays portable."""

from collections.abc import Mapping
from dataclasses import replace
from math import prod

import numpy as np

from bitsmith.integer.bounds import summed
from bitsmith.integer.instructions import AddRescaled, Convolve, MatrixMultiply, Mean
from bitsmith.integer.requantization import EvenShift, FixedPoint
from bitsmith.integer.rescaling import EvenTotal, FixedTotal
from bitsmith.integer.windows import Window
from bitsmith.numerics.formats import Array
from bitsmith.targets.c.call import Call, Describe, Entries, Fields, Place, Table
from bitsmith.targets.c.elementwise import describe_sum, sum_type
from bitsmith.targets.c.geometry import Geometry
from bitsmith.targets.c.pooling import describe_mean
from bitsmith.targets.c.portable import PORTABLE
from bitsmith.targets.c.products import describe_convolution, describe_product, fits_int8, fold_zero, steps_of
from bitsmith.targets.c.rounding import odd_of
from bitsmith.targets.c.stored import Stored, channels_last
from bitsmith.targets.c.x86_layer import Layer, macs_of, parts_of, side_by_side
from bitsmith.targets.c.x86_layout import (
    LANES,
    QUAD,
    Lines,
    flattened,
    lane_table,
    pair_places,
    pair_weights,
    quad_weights,
    word_places,
)
from bitsmith.targets.c.x86_rounding import LEAST_SHIFT, Scaling, limits, scaling_of
from bitsmith.targets.c.x86_tiles import tiles_call, tiles_for

SINGLE = Window.of((1, 1))
PAIR = 2
WIDE, MOST_RAISED = 2**15, 8        # 16 bits hold weights below; how many bits are between them and bytes
MOST_READY = 2**15                  # weights that are widened for all rows at once, in bytes as they lie in flash
NINE = (3, 3)                       # the window that the kernel for every channel by itself knows best


def describe_for_x86(step: Convolve, place: Place) -> list[Call]:
    """By tiles, by lanes or every channel by itself, where codes are bytes without sign; else portable."""
    made = None
    if suits(step, place) and prod(step.input_dilation) == 1 and len(step.window.kernel) <= 2:
        source = place.stored[step.inputs[0]]
        geometry = Geometry.of(source, step.window, step.output)
        steps = steps_of(step.weights, step.weights_zero_point, 0).reshape(*step.weights.shape[:2], *geometry.window.kernel)
        if step.groups == 1 and geometry.window.dilations[1] == 1:
            said = f"convolution {geometry.says()}, {geometry.channels} -> {len(steps)} channels"
            made = lanes_call(layer_of(step, flattened(geometry), steps, said))
        elif step.weights.shape[1] == 1 and len(steps) == step.groups:
            made = depthwise_call(layer_of(step, geometry, steps, f"convolution {geometry.says()} of each of {len(steps)} channels"))
    return describe_convolution(step, place) if made is None else [made]


def describe_product_for_x86(step: MatrixMultiply, place: Place) -> list[Call]:
    """Rows are pixels."""
    source = place.stored[step.inputs[0]]
    if step.weights is None or step.weights.ndim != 2 or not suits(step, place):
        return describe_product(step, place)
    assert step.weights_zero_point is not None
    steps = step.weights.astype(np.int32) - step.weights_zero_point
    steps = np.ascontiguousarray((steps[source.places()] if len(source.shape) == 1 else steps).T)
    terms = steps.shape[1]
    rows = source.count // max(1, terms)
    geometry = Geometry.of(Stored.natural((terms, 1, rows), source.kind).in_order((1, 2, 0)), SINGLE, step.output)
    said = f"matrix product, {rows} x {terms} by {terms} x {len(steps)}"
    made = lanes_call(layer_of(step, flattened(geometry), steps[..., None, None], said))
    return describe_product(step, place) if made is None else [made]


def suits(step: Convolve | MatrixMultiply | Mean, place: Place) -> bool:
    """Bytes in and out, some of each, and an integer rounding."""
    source, result = place.stored[step.inputs[0]], place.stored[step.output]
    whole = isinstance(step.requantize, FixedPoint | EvenShift)
    return {source.c_type, result.c_type} == {"uint8_t"} and min(source.count, result.count) > 0 and whole


def layer_of(step: Convolve | MatrixMultiply, geometry: Geometry, steps: Array, said: str) -> Layer | None:
    """None where weights are no bytes, or where sums of codes, not counted from their zero point, may leave 32 bits."""
    terms = steps.reshape(len(steps), -1)
    bias, dot = fold_zero(terms, step.bias, step.source)
    if dot != "dot" or not fits_int8(int(terms.min()), int(terms.max())):
        return None
    assert step.requantize is not None
    return Layer(step, step.requantize, geometry, steps, bias.numbers, said, macs_of(steps, geometry))


def lanes_call(layer: Layer | None) -> Call | None:
    """By tiles if possible; None where the multipliers are too large."""
    if layer is None or layer.scaling is None:
        return None
    tiles = tiles_for(layer)
    if tiles is not None:
        return tiles_call(layer, tiles, layer.scaling, *direct_entries(layer, layer.scaling))
    wide = side_by_side(layer)
    assert wide.scaling is not None
    return wide.call("x86_convolve", *direct_entries(wide, wide.scaling), parts_of(wide.scaling, "lanes", "quads", "lines"))


def direct_entries(layer: Layer, scaling: Scaling) -> tuple[Entries, int]:
    """(the struct `x86_convolve`, bytes of scratch)"""
    lines = Lines.together_of(layer.geometry)
    weights, words = quad_weights(layer.steps)
    step, width, across = layer.geometry.window.strides[1] * layer.geometry.channels, layer.geometry.outputs[1], weights.numbers.size
    words *= layer.steps.shape[2]
    ready = across // (words * QUAD) if layer.geometry.outputs[0] > lines.together and across <= MOST_READY else LANES
    entries: Entries = {
        "windows": lines.fields(layer.step.source.zero_point), "out_height": layer.geometry.outputs[0], "out_width": width,
        "out_channels": layer.outputs, "together": lines.together, "step": step, "down": lines.stride * lines.length - width * step,
        "words": words, "spread": lines.spread, "ready": ready, "at": word_places(lines, words // layer.steps.shape[2]),
        "weights": weights, "bias": lane_table(layer.bias), "rounding": scaling.fields,
    }
    return entries, 3 * lines.spread + 2 * QUAD * words * ready      # codes as bytes and 16 bits, weights as 16 bits


def depthwise_call(layer: Layer | None) -> Call | None:
    """Sixteen channels, or as many of several pixels; None where neither comes out even."""
    if layer is None:
        return None
    geometry, channels = layer.geometry, layer.outputs
    stride = geometry.window.strides[1]
    pixels = 1 if channels % LANES == 0 else LANES // channels if LANES % channels == 0 and stride == 1 else 0
    raised = raise_sums(layer)
    scaling = scaling_of(raised.requantize, raised.sums, channels * pixels)
    terms = raised.steps.reshape(channels, -1)
    if not pixels or scaling is None or abs(terms).max() >= WIDE or not raised.sums.fit(32).all():
        return None
    lines = Lines.of(geometry)
    down, across = geometry.window.dilations if geometry.window.kernel == NINE else (0, 0)
    entries: Entries = {
        "windows": lines.fields(layer.step.source.zero_point), "out_height": geometry.outputs[0],
        "out_count": geometry.outputs[1] * channels, "step": pixels * stride * channels, "channels": channels * pixels,
        "pairs": -(-terms.shape[1] // 2), "down": down, "across": across * geometry.channels, "at": pair_places(geometry),
        "weights": pair_weights(np.tile(terms, (pixels, 1))), "bias": lane_table(np.tile(raised.bias, pixels)), "rounding": scaling.fields,
    }
    return layer.call("x86_depthwise", entries, 2 * lines.spread + lines.length, parts_of(scaling, "lanes", "lines"))


def raise_sums(layer: Layer) -> Layer:
    """Channels with large multipliers: their sums, weights and bias, are taken by a power of two more often, and shifted further."""
    requantize = layer.requantize
    if not isinstance(requantize, FixedPoint):
        return layer
    multiplier, shift = (np.broadcast_to(part, (layer.outputs,)) for part in (requantize.multiplier, requantize.shift))
    more = np.where(multiplier == 0, 0, np.clip(LEAST_SHIFT - shift, 0, MOST_RAISED))
    return replace(layer, steps=layer.steps << more[:, None, None, None], bias=layer.bias.astype(np.int64) << more,
                   requantize=FixedPoint(multiplier, shift + more, requantize.codes))


def describe_sum_for_x86(step: AddRescaled, place: Place) -> list[Call]:
    """Two values of one shape and order, whose sum with all constants stays in 32 bits."""
    values, total = [place.stored[name] for name in (*step.inputs, step.output)], step.total
    alike = len(values) == PAIR + 1 and len({(s.shape, s.order, s.c_type) for s in values}) == 1 and values[0].c_type == "uint8_t"
    if not alike or not isinstance(total, FixedTotal | EvenTotal) or sum_type(step, total) != "int32_t":
        return describe_sum(step, place)
    start = -sum(m * z for m, z in zip(total.multipliers, total.zero_points, strict=True))
    entries: Entries = {"count": values[-1].count, "left_multiplier": total.multipliers[0], "right_multiplier": total.multipliers[1],
                        "start": (start + 2**31) % 2**32 - 2**31, "shift": total.shift, "odd": odd_of(total), "codes": limits(total.codes)}
    scaling = "scaling_multiplier" if isinstance(total, FixedTotal) else "scaling_shift"
    return [Call("x86_add", {}, Fields(entries), step.inputs, step.output, f"sum, {values[-1].count} elements",
                 {"lanes": "lanes", "scaling": scaling}, dict.fromkeys(step.inputs, 0))]


def describe_mean_for_x86(step: Mean, place: Place) -> list[Call]:
    """Over all pixels of an image whose channels lie last, in whole lanes."""
    source = place.stored[step.inputs[0]]
    last, channels = source.order == channels_last(len(source.shape)), source.shape[0]
    pixels = source.count // max(1, channels)
    sums = summed(pixels, *step.source.steps)
    scaling = scaling_of(step.requantize, sums, channels)
    whole = suits(step, place) and last and source.is_plain and step.axes == tuple(range(2, len(source.shape) + 1))
    if not whole or channels % LANES or scaling is None or not sums.fit(32).all():
        return describe_mean(step, place)
    entries: Entries = {"pixels": pixels, "channels": channels, "rounding": scaling.fields,
                        "bias": Table(np.full(channels, -pixels * step.source.zero_point), "int32_t")}
    return [Call("x86_mean", {}, Fields(entries), step.inputs, step.output, f"mean of {pixels} elements, {channels} times",
                 {"lanes": "lanes", "scaling": scaling.part})]


X86: Mapping[type, Describe] = {
    **PORTABLE, Convolve: describe_for_x86, MatrixMultiply: describe_product_for_x86, AddRescaled: describe_sum_for_x86,
    Mean: describe_mean_for_x86,
}
