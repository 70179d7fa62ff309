"""Encodings of weights and biases. A bias is an integer too: it joins the accumulator at the scale input * weight."""

from dataclasses import replace

import numpy as np
import onnx_ir as ir

from bitsmith.graph import attribute, constant, input_at
from bitsmith.numerics import Blocks, Encoding, Integer
from bitsmith.numerics.encoding import LARGEST_SCALE, SMALLEST_SCALE, spanning
from bitsmith.numerics.formats import Array
from bitsmith.operators import Parameter, operator_of
from bitsmith.planning.accepts import Accepts
from bitsmith.planning.placement import Placement, activation_operands
from bitsmith.planning.recipe import Rule, parse_granularity

BIAS = Integer(32)
LARGEST_BIAS = 2.0**30          # half of int32: the other half is left to the products
FINE_BIAS = 2.0**20             # codes that a bias gets where its channel has no weights that would set the scale


def plan_weights(placement: Placement, accepts: Accepts, encodings: dict[str, Encoding], reasons: dict[str, str]) -> None:
    """Add the encodings of all weights and biases."""
    for node, asked in placement.weighted.items():
        operator = operator_of(node)
        assert operator is not None
        for parameter in operator.parameters(node):
            value = node.inputs[parameter.index]
            assert value is not None
            name = value.name or ""
            encoding = encode_weight(value, parameter, asked, accepts)
            reasons[name] = f"{encoding.format.name}: min_max of the weights, per {asked.granularity}"
            if node in placement.integer and operator.bias is not None:
                (source,) = activation_operands(node, operator)
                encoding = plan_bias(node, encoding, encodings[source.name or ""], encodings, reasons)
            encodings[name] = encoding


def encode_weight(value: ir.Value, parameter: Parameter, asked: Rule, accepts: Accepts) -> Encoding:
    """Min/max over every block."""
    weights = constant(value)
    assert weights is not None
    format = accepts.choose(asked.weights or 8, "weights", f"Weight '{value.name}'")
    blocks = blocks_of(parameter, asked.granularity or "channel")
    if 0 in weights.shape:
        return Encoding(format, np.ones(blocks.shape(weights.shape), np.float32), np.zeros((), np.int32), blocks)
    low, high = blocks.reduce(np.minimum, weights), blocks.reduce(np.maximum, weights)
    return spanning(low, high, format, symmetric=bool(asked.symmetric_weights), power_of_two=bool(asked.power_of_two), blocks=blocks)


def blocks_of(parameter: Parameter, granularity: str) -> Blocks:
    """A granularity's words, applied to one operand."""
    kind, size = parse_granularity(granularity)
    if kind == "tensor" or parameter.channel_axis is None:
        return Blocks.whole()
    if kind == "group" and parameter.sum_axis is not None:
        return Blocks({parameter.channel_axis: 1, parameter.sum_axis: size})
    return Blocks({parameter.channel_axis: size})


def plan_bias(
    node: ir.Node, weight: Encoding, source: Encoding, encodings: dict[str, Encoding], reasons: dict[str, str]
) -> Encoding:
    """Encode the node's bias and return the weight's encoding, with wider scales where the bias would not fit into int32."""
    operator = operator_of(node)
    assert operator is not None
    assert operator.bias is not None
    value = input_at(node, operator.bias)
    bias = constant(value)
    if value is None or bias is None:
        return weight
    name = value.name or ""
    weight, widened = make_room(weight, node, source, bias)
    encodings[name] = Encoding(BIAS, *bias_scale(weight, source, bias.size, groups_of(node)))
    reasons[name] = "int32 at the scale input * weight"
    if widened:
        reasons[name] += f"; {widened} of {weight.scale.size} weight scales were widened so that it fits"
    return weight


def groups_of(node: ir.Node) -> int:
    """How often the weight's channel scales repeat over the output channels: only a grouped ConvTranspose repeats them."""
    return int(attribute(node, "group", 1)) if node.op_type == "ConvTranspose" else 1


def channel_scales(weight: Encoding, channels: int, repeat: int) -> Array:
    """The weight's scale for each output channel, float32 [channels]; [1] where one scale serves all."""
    if not weight.blocks.sizes:
        return weight.scale.reshape(1)
    ((_, size),) = weight.blocks.sizes.items()
    return np.asarray(np.tile(np.repeat(weight.scale.ravel(), size)[: channels // repeat], repeat))


def bias_scale(weight: Encoding, source: Encoding, channels: int, repeat: int) -> tuple[Array, Array, Blocks]:
    """(scale, zero point, blocks) of a bias of `channels` numbers: input scale * weight scale in float32, as onnxruntime multiplies."""
    scales = np.float32(source.scale) * channel_scales(weight, channels, repeat)
    if scales.size == 1:
        return scales.reshape(()), np.zeros((), np.int32), Blocks.whole()
    return scales, np.zeros(scales.shape, np.int32), Blocks.channels(0)


def make_room(weight: Encoding, node: ir.Node, source: Encoding, bias: Array) -> tuple[Encoding, int]:
    """Widen the weight scales of channels whose bias would not fit into int32; also return how many.

    bias / (input scale * weight scale) must stay within 2**30 (onnxruntime issue 25278: overflow cost half of the accuracy).
    Channels without weights get a scale at which their bias is fine.
    """
    operator = operator_of(node)
    assert operator is not None
    (parameter,) = operator.parameters(node)
    weights = constant(node.inputs[parameter.index])
    assert weights is not None
    largest = largest_bias(weight, np.abs(bias.astype(np.float64)), groups_of(node))
    step = np.float64(source.scale)
    scale = weight.scale.astype(np.float64).ravel()
    dead = (weight.blocks.reduce(np.maximum, np.abs(weights)) == 0).ravel() & (largest > 0) if weights.size else largest > 0
    scale = np.where(dead, largest / (step * FINE_BIAS), scale)
    needed = np.maximum(largest / (step * LARGEST_BIAS), SMALLEST_SCALE / min(step, 1.0))
    widened = np.clip(np.maximum(scale, needed), SMALLEST_SCALE, LARGEST_SCALE).astype(np.float32).reshape(weight.scale.shape)
    return replace(weight, scale=widened), int((needed > scale).sum())


def largest_bias(weight: Encoding, bias: Array, repeat: int) -> Array:
    """The largest absolute bias under each of the weight's scales."""
    if not weight.blocks.sizes:
        return np.asarray(bias.max(initial=0.0)).reshape(1)
    ((_, size),) = weight.blocks.sizes.items()
    per_channel = bias.reshape(repeat, -1).max(axis=0)
    return np.asarray(np.maximum.reduceat(per_channel, range(0, per_channel.size, size)))
