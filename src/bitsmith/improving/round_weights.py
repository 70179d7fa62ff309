"""Rounds weights so that what layers make changes least, instead of the weights themselves: seconds, without torch."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import onnx_ir as ir

from bitsmith.graph import constant
from bitsmith.improving.draft import Draft, Progress
from bitsmith.improving.frontier import Frontier
from bitsmith.improving.gather_moments import Samples, gather_moments, put_numbers, simulate_activations, wanted_results
from bitsmith.improving.layers import Layer, find_layers
from bitsmith.improving.second_order import Line, Moments, Rounded, round_weights_of
from bitsmith.numerics.encoding import Encoding
from bitsmith.numerics.formats import Array
from bitsmith.planning.recipe import Rule
from bitsmith.planning.weights import LARGEST_BIAS, encode_bias, groups_of, largest_bias, source_of, uses_of

Treat = Callable[[Layer, Moments, dict[str, Encoding], Sequence[ir.Model]], str]


def round_weights(draft: Draft, progress: Progress | None = None) -> Draft:
    """Choose codes, scales and biases so that every layer's results come near those of the float network.

    Layer after layer, with everything before it quantized: codes in order, each error made good by the weights still to come (GPTQ,
    Frantar 2022), for targets that undo the errors of the layers before, at several scales; then descent, code by code, and least
    squares for the scales. The bias takes the mean error. Its network has numbers that codes have, so planning it again would be wrong:
    this refinement comes last.

    progress   layers done, of how many. Raises GoneError where the data cannot be read again.
    """
    return layer_by_layer(draft, "round_weights", round_layer, progress)


def layer_by_layer(draft: Draft, refinement: str, treat: Treat, progress: Progress | None) -> Draft:
    """Give every layer with encoded weights new numbers, with everything before it quantized already.

    treat   (layer, moments, encodings, models) puts them into both models and their encodings among the others; says in words what it did
    """
    samples = Samples.of(draft.samples(refinement))
    layers, left_out = find_layers(draft.network.graph, draft.plan.encodings)
    simulated, network = simulate_activations(draft), draft.network.clone()
    frontier = Frontier(simulated, samples.data)
    encodings, reasons = dict(draft.plan.encodings), dict(draft.plan.reasons)
    for name, why in left_out.items():
        reasons[name] = f"{reasons.get(name, '')}; rounded to nearest: {why}"
    for number, (layer, wanted) in enumerate(zip(layers, wanted_results(draft.reference, layers, samples), strict=True)):
        moments = gather_moments(frontier, number, layer, wanted, samples)
        reasons[layer.weight] = f"{reasons.get(layer.weight, '')}; {treat(layer, moments, encodings, (network, simulated))}"
        if progress is not None:
            progress(number + 1, len(layers))
    return replace(draft, network=network, exact=draft.reference, plan=replace(draft.plan, encodings=encodings, reasons=reasons))


def round_layer(layer: Layer, moments: Moments, encodings: dict[str, Encoding], models: Sequence[ir.Model]) -> str:
    """Put the layer's new numbers into its network and the simulated one, and their encodings among the others. Says what was gained."""
    before, weights = encodings[layer.weight], numbers(layer.node.inputs[1])
    encoding, codes, rounded = round_to(before, weights, layer, moments, keep_scales=False)
    if crowds_bias(layer, encoding, encodings):
        encoding, codes, rounded = round_to(before, weights, layer, moments, keep_scales=True)
    encodings[layer.weight] = encoding
    real = encoding.dequantize(codes)
    put_numbers(models[0], layer.weight, real)
    put_numbers(models[1], layer.weight, real)
    if layer.bias is not None:
        change = mean_error(layer, moments, weights, real)
        put_numbers(models[0], layer.bias, numbers(layer.node.inputs[2]) + change)
    fit_bias(layer, encodings, models)
    share = rounded.error / rounded.nearest_error if rounded.nearest_error else 1.0
    return f"rounded with its neighbours in mind: {share:.2f} of the squared error of rounding to nearest"


def round_to(
    before: Encoding, weights: Array, layer: Layer, moments: Moments, *, keep_scales: bool
) -> tuple[Encoding, Array, Rounded]:
    """The encoding with scales that suit, the codes, and how it went."""
    matrices = layer.product.weights
    line = line_of(before, weights.shape, layer)
    used = moments if layer.bias is None else moments.centred()
    rounded = round_weights_of(matrices(weights).astype(np.float64), line, used, keep_scales=keep_scales)
    encoding = with_scales(before, rounded.line)
    return encoding, encoding.quantize(layer.product.restore(rounded.weights).astype(np.float32)), rounded


def with_scales(before: Encoding, line: Line) -> Encoding:
    """The encoding with the scales of a line."""
    scale = before.scale.copy().reshape(-1)
    scale[line.shares.ravel()] = line.scale.ravel()
    return replace(before, scale=scale.reshape(before.scale.shape))


def line_of(encoding: Encoding, shape: tuple[int, ...], layer: Layer) -> Line:
    """Scales and zero points, one for each weight, as matrices."""
    numbered = np.arange(encoding.scale.size).reshape(encoding.scale.shape)
    spread = (np.broadcast_to(encoding.blocks.spread(a, shape), shape) for a in (encoding.scale, encoding.zero_point, numbered))
    scale, zero_point, shares = (layer.product.weights(a) for a in spread)
    return Line(encoding.format, scale.astype(np.float64), zero_point, shares)


def mean_error(layer: Layer, moments: Moments, weights: Array, real: Array) -> Array:
    """What the results lack on average, for each output channel: E[r] + (w - q) E[x]."""
    lost = layer.product.weights(np.asarray(weights, np.float64) - real)
    lack = (moments.r + (lost @ moments.x[:, :, None])[..., 0]) / moments.count
    return np.asarray(lack.reshape(-1), np.float32)


def crowds_bias(layer: Layer, weight: Encoding, encodings: dict[str, Encoding]) -> bool:
    """True where the bias would not fit into int32 beside weights of this scale."""
    bias = numbers(layer.node.inputs[2]) if layer.bias in encodings else None
    if bias is None:
        return False
    largest = largest_bias(weight, np.abs(bias.astype(np.float64)), groups_of(layer.node))
    return bool((largest > LARGEST_BIAS / 2 * weight.scale.ravel().astype(np.float64) * source_of(layer.node, encodings).scale).any())


def fit_bias(layer: Layer, encodings: dict[str, Encoding], models: Sequence[ir.Model]) -> None:
    """The bias at the scale input * weight, as the weights have it now."""
    name = layer.node.inputs[2].name if len(layer.node.inputs) > 2 and layer.node.inputs[2] is not None else None
    if name is None:
        return
    bias = models[0].graph.initializers[name]
    if name in encodings:
        (use,) = uses_of(layer.node, Rule())
        encodings[name] = encode_bias(use, bias, encodings)
        put_numbers(models[1], name, encodings[name].simulate(numbers(bias)))
    else:
        put_numbers(models[1], name, numbers(bias))


def numbers(value: ir.Value | None) -> Array:
    array = constant(value)
    assert array is not None
    return array
