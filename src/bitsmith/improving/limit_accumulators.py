"""Rounds weights so that no sum of products can leave an accumulator of a wanted width: proven, whatever the input."""

from collections.abc import Sequence
from functools import partial

import numpy as np
import onnx_ir as ir

from bitsmith.graph import input_at
from bitsmith.improving.draft import Draft, Progress
from bitsmith.improving.gather_moments import put_numbers
from bitsmith.improving.layers import Layer
from bitsmith.improving.room import Room, round_within, trim
from bitsmith.improving.round_weights import fit_bias, layer_by_layer, line_of, mean_error, numbers, with_scales
from bitsmith.improving.second_order import Line, Moments, squared_error
from bitsmith.integer.codes import CodeRange
from bitsmith.numerics import Integer
from bitsmith.numerics.encoding import Encoding
from bitsmith.numerics.formats import Array

USUAL_BITS = 16


def limit_accumulators(draft: Draft, progress: Progress | None = None) -> Draft:
    """Choose codes and scales with which signed integers of the recipe's `accumulator` bits hold every sum, and layers change least.

    For inputs between `low` and `high` steps a channel's sums lie between bias + up low + down high and bias + up high + down low, where up
    and down are the sums of its positive and of its negative weights: less strict than a bound on their L1 norm alone (Colbert 2023,
    equation 12, A2Q), and attained. Layer after layer, with everything before it quantized. Nothing may follow that changes weights or
    biases.

    progress   layers done, of how many. Raises GoneError where the data cannot be read again.
    """
    treat = partial(limit_layer, draft.recipe.accumulator or USUAL_BITS, draft.plan.in_float)
    return layer_by_layer(draft, "limit_accumulators", treat, progress)


def limit_layer(
    bits: int, in_float: frozenset[str], layer: Layer, moments: Moments, encodings: dict[str, Encoding], models: Sequence[ir.Model]
) -> str:
    """Put the layer's new numbers in their places. Says what they cost."""
    before, weights, source = encodings[layer.weight], numbers(layer.node.inputs[1]), input_at(layer.node, 0)
    line = line_of(before, weights.shape, layer)
    if source is None or source.name not in encodings or layer.node.name in in_float:
        return "its accumulators are not limited: it computes in float"
    if not isinstance(before.format, Integer) or len(line.segments) > 1:
        return f"its accumulators are not limited: {before.format.name} has not one scale for each channel"
    low, high = CodeRange.of(encodings[source.name or ""]).steps
    matrix = layer.product.weights(weights).astype(np.float64)
    used = moments if layer.bias is None else moments.centred()
    hessian, shape = used.hessian(), matrix.shape[:2]
    goal, scale = used.goal(matrix, hessian), float(encodings[source.name or ""].scale)
    bias = bias_of(layer, models[0])
    rounded, found = round_within(matrix, goal, line, hessian, Room(bits, low, high, over(bias, scale, shape)))
    if bias is not None and layer.bias is not None:
        corrected = bias + mean_error(layer, moments, weights, restored(layer, rounded, found))
        room = Room(bits, low, high, over(corrected, scale, shape))
        trimmed = trim(goal, rounded, found, hessian, room)
        fits = room.fits(trimmed / found.scale, found.scale[..., 0])
        rounded = np.where(fits[..., None], trimmed, rounded)
        put_numbers(models[0], layer.bias, np.where(fits.reshape(-1), corrected, bias))
    real = restored(layer, rounded, found)
    encodings[layer.weight] = with_scales(before, found)
    for model in models:
        put_numbers(model, layer.weight, real)
    fit_bias(layer, encodings, models)
    share = squared_error(rounded - goal, hessian).sum() / squared_error(line.nearest(matrix) - goal, hessian).sum()
    return f"rounded so that {bits} bits hold every sum, at {share:.3g} times the squared error of rounding to nearest"


def bias_of(layer: Layer, network: ir.Model) -> Array | None:
    """The real biases as they are now; None where there are none."""
    found = input_at(layer.node, 2)
    return None if found is None else numbers(network.graph.initializers[found.name or ""])


def over(bias: Array | None, scale: float, shape: tuple[int, ...]) -> Array | None:
    """Real biases over the scale of the inputs, [groups, channels]."""
    return None if bias is None else bias.astype(np.float64).reshape(shape) / scale


def restored(layer: Layer, rounded: Array, line: Line) -> Array:
    """The weights in their own layout, each exactly scale * step in float32."""
    steps = np.rint(rounded / line.scale).astype(np.float32)
    return layer.product.restore(steps * line.scale.astype(np.float32))
