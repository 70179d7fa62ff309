"""The Cortex-M flavour: DSP instructions for products of 8-bit codes, four to eight at a time; what they cannot do stays portable."""

from collections.abc import Mapping

import numpy as np

from bitsmith.integer.instructions import AddRescaled, Convolve, MatrixMultiply
from bitsmith.integer.windows import Window
from bitsmith.numerics.formats import Array
from bitsmith.targets.c.call import Call, Describe, Entries, Fields, Place, Table
from bitsmith.targets.c.cortex_m_layout import Strip, pair_weights, tap_weights, wide_weights, window_order
from bitsmith.targets.c.cortex_m_rounding import finish, finish_fields, finish_part, rounds, saturate_part, spare_factors
from bitsmith.targets.c.cortex_m_sums import describe_fast_sum
from bitsmith.targets.c.geometry import Geometry
from bitsmith.targets.c.portable import PORTABLE
from bitsmith.targets.c.products import describe_convolution, describe_product, packs, steps_of
from bitsmith.targets.c.stored import Stored, channels_last

EXTEND: Mapping[str, str] = {"uint8_t": "extend_unsigned", "int8_t": "extend_signed"}
FOUR = 4
SINGLE = Window.of((1, 1))


def describe_fast_convolution(step: Convolve, place: Place) -> list[Call]:
    """By strips of widened codes, where there are 8-bit codes and no gaps across."""
    source, result = place.stored[step.inputs[0]], place.stored[step.output]
    if source.c_type not in EXTEND or not rounds(step.requantize) or packed(step.weights, step.weights_zero_point):
        return describe_convolution(step, place)
    geometry = Geometry.of(source, step.window, step.output, step.input_dilation)
    made = None
    if max(geometry.spread) == 1 and geometry.window.dilations[1] == 1 and min(min(pads) for pads in geometry.window.pads) >= 0:
        if step.groups == 1:
            made = convolve_call(step, geometry, source, result)
        elif step.weights.shape[1] == 1 and len(step.weights) == step.groups and geometry.channels % FOUR == 0 and geometry.steps[2] == 1:
            made = depthwise_call(step, geometry, source, result)
    return describe_convolution(step, place) if made is None else [made]


def packed(weights: Array, zero_point: Array) -> bool:
    """True for weights of up to four bits, which stay packed."""
    return packs(steps_of(weights, zero_point, 0))


def convolve_call(step: Convolve, geometry: Geometry, source: Stored, result: Stored) -> Call | None:
    """None where the arithmetic does not fit."""
    steps = steps_of(step.weights, step.weights_zero_point, 0).reshape(*step.weights.shape[:2], *geometry.window.kernel)
    return pair_call(step, flattened(geometry, source), steps, source, result)


def flattened(geometry: Geometry, source: Stored) -> Geometry:
    """Windows of one pixel on a plane that they cover: one long row."""
    window = geometry.window
    if max(*window.kernel, *window.strides) > 1 or any(map(any, window.pads)) or source.order != channels_last(len(source.shape)):
        return geometry
    pixels = geometry.sizes[0] * geometry.sizes[1]
    return Geometry((1, pixels), (0, geometry.channels, 1), geometry.channels, (1, pixels), window, geometry.spread)


def pair_call(step: Convolve | MatrixMultiply, geometry: Geometry, steps: Array, source: Stored,
              result: Stored) -> Call | None:
    """Convolution by pairs of output channels. steps: weights from their zero point, [out, in, height, width]."""
    strip = Strip.of(geometry, even=True)
    ordered = window_order(steps, strip, turned=geometry.channels % FOUR == 0 and geometry.steps[2] == 1)
    found = stored_weights(step, ordered)
    if found is None:
        return None
    weights, rounding, terms = found
    entries: Entries = {"windows": strip.fields(step.source.zero_point), **planes(geometry), "out_channels": len(steps),
                        "quads": ordered.shape[1] // FOUR, "weights": weights, "rounding": rounding}
    return Call(
        "cortex_m_convolve", {"source_t": source.c_type, "result_t": result.c_type}, Fields(entries), step.inputs, step.output,
        f"convolution {geometry.says()}, {geometry.channels} -> {len(steps)} channels",
        {**parts(step, source), "strip": "strip", "terms": terms, "block": "block"},
        strip.leads(step.inputs[0], source, result), strip.bytes, steps[0].size * result.count,
    )


def planes(geometry: Geometry) -> dict[str, int]:
    return {"out_height": geometry.outputs[0], "out_width": geometry.outputs[1]}


def stored_weights(step: Convolve | MatrixMultiply, ordered: Array) -> tuple[Table, Fields, str] | None:
    """(weights, rounding, part `terms`): two channels in each word if possible, else four weights of one; None where neither fits."""
    paired, wide = pair_weights(ordered), wide_weights(ordered)
    if paired is not None and (rounding := finish_fields(step, ordered, paired[1])) is not None:
        return paired[0], rounding, "terms_paired"
    if wide is not None and (rounding := finish_fields(step, ordered, None)) is not None:
        return wide, rounding, "terms_wide"
    return None


def parts(step: Convolve | MatrixMultiply, source: Stored) -> dict[str, str]:
    """What both kernels call."""
    assert step.requantize is not None
    return {"dsp": "dsp", "saturate": saturate_part(step.requantize.codes), "extend": EXTEND[source.c_type],
            "widen": "widen", **finish_part(step.requantize)}


def depthwise_call(step: Convolve, geometry: Geometry, source: Stored, result: Stored) -> Call | None:
    strip = Strip.of(geometry, even=False)
    steps = steps_of(step.weights, step.weights_zero_point, 0).reshape(geometry.channels, *geometry.window.kernel)
    factors = spare_factors(step)
    rounding = finish(step, steps.reshape(geometry.channels, -1), factors)
    if rounding is None or steps.min(initial=0) < -128 or steps.max(initial=0) > 127:
        return None
    fields = {name: entry for name, entry in geometry.fields().items() if name not in ("channel_step", "dilation_x")}
    entries: Entries = {**fields, "channels": geometry.channels, "zero": step.source.zero_point, "span": strip.span,
                        "weights": tap_weights(steps * factors[:, None, None]), "rounding": rounding}
    return Call(
        "cortex_m_depthwise", {"source_t": source.c_type, "result_t": result.c_type}, Fields(entries), step.inputs, step.output,
        f"convolution {geometry.says()} of each of {geometry.channels} channels", {**parts(step, source), "taps": "taps"},
        strip.leads(step.inputs[0], source, result), strip.bytes, step.weights[0].size * result.count,
    )


def describe_fast_product(step: MatrixMultiply, place: Place) -> list[Call]:
    """Rows times a matrix: a convolution of single pixels whose channels are the terms."""
    source, result = place.stored[step.inputs[0]], place.stored[step.output]
    if step.weights is None or step.weights.ndim != 2 or not rounds(step.requantize) or source.c_type not in EXTEND:
        return describe_product(step, place)
    assert step.weights_zero_point is not None
    steps = step.weights.astype(np.int32) - step.weights_zero_point
    steps = np.ascontiguousarray((steps[source.places()] if len(source.shape) == 1 else steps).T)
    if packs(steps):
        return describe_product(step, place)
    terms = steps.shape[1]
    made = pair_call(step, rows_geometry(source.count // max(1, terms), terms), steps[..., None, None], source, result)
    return describe_product(step, place) if made is None else [made]


def rows_geometry(rows: int, terms: int) -> Geometry:
    plane = Stored.natural((terms, 1, rows), np.dtype(np.uint8)).in_order((1, 2, 0))
    return Geometry.of(plane, SINGLE, "")


CORTEX_M: Mapping[type, Describe] = {
    **PORTABLE, Convolve: describe_fast_convolution, MatrixMultiply: describe_fast_product, AddRescaled: describe_fast_sum,
}
