"""Encodings of weights and biases. A bias is an integer too: it joins the accumulator at the scale input * weight."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import onnx_ir as ir

from bitsmith.calibration.block_ranges import find_block_ranges
from bitsmith.calibration.ranges import Placing
from bitsmith.errors import PlanError
from bitsmith.graph import attribute, constant, input_at
from bitsmith.numerics import Blocks, Encoding, Format, Integer, PowersOfTwo, Signs
from bitsmith.numerics.encoding import LARGEST_SCALE, SMALLEST_SCALE, spanning
from bitsmith.numerics.formats import Array
from bitsmith.operators import Parameter, operator_of
from bitsmith.planning.accepts import Accepts
from bitsmith.planning.placement import Placement, activation_operands, chain_behind
from bitsmith.planning.recipe import Rule, parse_granularity, usual_weight_estimator

BIAS = Integer(32)
LARGEST_BIAS = 2.0**30          # half of int32: the other half is left to the products
ROOMY = "each takes {} in the file, since this target takes nothing narrower"
ROOMS = {2: "a quarter of a byte", 4: "half a byte", 8: "a whole byte", 16: "two bytes"}
FINE_BIAS = 2.0**20             # codes that a bias gets where its channel has no weights that would set the scale
FINEST_BIAS = 2.0**29           # the same where codes have no zero, so that such weights still add up to something


@dataclass(frozen=True)
class Use:
    """A node that reads a constant as its weight, and what the recipe asks of that node."""

    node: ir.Node
    weight: ir.Value
    parameter: Parameter
    asked: Rule


def plan_weights(placement: Placement, accepts: Accepts, encodings: dict[str, Encoding], reasons: dict[str, str]) -> None:
    """Add the encodings of all weights and biases. A weight that serves several nodes suits all of them."""
    asked = {node: said_fully(node, rule, placement, accepts, encodings) for node, rule in placement.weighted.items()}
    uses = [use for node, rule in asked.items() for use in uses_of(node, rule)]
    for weight in dict.fromkeys(use.weight for use in uses):
        chosen = settle([use for use in uses if use.weight is weight], accepts)
        encodings[weight.name or ""] = encoding = encode_weight(chosen, accepts)
        reasons[weight.name or ""] = reason_for(encoding, chosen.asked, accepts)
    summed = [use for use in uses if use.node in placement.integer and sums_codes(use, encodings)]
    biased = [(use, bias) for use in summed if (bias := bias_of(use.node)) is not None]
    for use, bias in biased:
        reasons[bias.name or ""] = "int32 at the scale input * weight" + make_room(use, bias, encodings)
    for use, bias in biased:
        encodings[bias.name or ""] = encode_bias(use, bias, encodings)


def reason_for(encoding: Encoding, asked: Rule, accepts: Accepts) -> str:
    """How a weight's encoding was found, and what its codes cost where that is more than their width."""
    format, room = encoding.format, accepts.stored_bits(encoding)
    estimator = asked.weight_estimator or usual_weight_estimator(format, asked.granularity)
    found = f"{estimator} of the weights, per {asked.granularity}" if format.scaled else "numbers as they are, without a scale"
    return f"{format.name}: {found}" + ("; " + ROOMY.format(ROOMS[room]) if room > format.bits else "")


def said_fully(node: ir.Node, asked: Rule, placement: Placement, accepts: Accepts, encodings: Mapping[str, Encoding]) -> Rule:
    """The rule with its granularity: where the recipe leaves it open, channels, or the tensor where the target is faster so."""
    if asked.granularity is not None:
        return asked
    in_codes = node in placement.integer and any(n.outputs[0].name in encodings for n in chain_behind(node))
    return replace(asked, granularity="tensor" if in_codes and node.op_type in accepts.tensor_scales else "channel")


def uses_of(node: ir.Node, asked: Rule) -> list[Use]:
    """The weights that a node reads."""
    operator = operator_of(node)
    parameters = () if operator is None else operator.parameters(node)
    return [Use(node, weight, p, asked) for p in parameters if (weight := node.inputs[p.index]) is not None]


def bias_of(node: ir.Node) -> ir.Value | None:
    """The constant that joins a node's accumulator."""
    operator = operator_of(node)
    found = None if operator is None or operator.bias is None else input_at(node, operator.bias)
    return None if constant(found) is None else found


def settle(uses: Sequence[Use], accepts: Accepts) -> Use:
    """Of several uses of one weight, the one that asks for the most bits; one scale for all where their channels run differently."""
    widest = max(uses, key=lambda use: weight_format(use, accepts).bits)
    if len({use.parameter.channel_axis for use in uses}) > 1:
        return replace(widest, asked=replace(widest.asked, granularity="tensor"))
    return widest


def weight_format(use: Use, accepts: Accepts) -> Format:
    return accepts.choose(use.asked.weights or 8, "weights", f"Weight '{use.weight.name}'")


def encode_weight(use: Use, accepts: Accepts) -> Encoding:
    """Every block by the estimator that the rule asks for."""
    weights, asked = numbers(use.weight), use.asked
    format, blocks = weight_format(use, accepts), blocks_of(use.parameter, asked.granularity or "channel")
    if not format.scaled:
        return Encoding(format, np.ones((), np.float32), np.zeros((), np.int32))
    if 0 in weights.shape:
        return Encoding(format, np.ones(blocks.shape(weights.shape), np.float32), np.zeros((), np.int32), blocks)
    placing = Placing(format, bool(asked.symmetric_weights), bool(asked.power_of_two))
    estimator = asked.weight_estimator or usual_weight_estimator(format, asked.granularity)
    low, high = find_block_ranges(weights, blocks, placing, estimator)
    return spanning(low, high, format, symmetric=placing.symmetric, power_of_two=placing.power_of_two, blocks=blocks)


def numbers(value: ir.Value) -> Array:
    array = constant(value)
    assert array is not None
    return array


def blocks_of(parameter: Parameter, granularity: str) -> Blocks:
    """A granularity's words, applied to one operand."""
    kind, size = parse_granularity(granularity)
    if kind == "tensor" or parameter.channel_axis is None:
        return Blocks.whole()
    if kind == "group" and parameter.sum_axis is not None:
        return Blocks({parameter.channel_axis: 1, parameter.sum_axis: size})
    return Blocks({parameter.channel_axis: size})


def sums_codes(use: Use, encodings: Mapping[str, Encoding]) -> bool:
    """True where weights and activations are integers, so that a bias joins their sum as an integer."""
    return encodings[use.weight.name or ""].format.integral and source_of(use.node, encodings).format.integral


def source_of(node: ir.Node, encodings: Mapping[str, Encoding]) -> Encoding:
    """The encoding of a node's one activation."""
    operator = operator_of(node)
    assert operator is not None
    (source,) = activation_operands(node, operator)
    return encodings[source.name or ""]


def groups_of(node: ir.Node) -> int:
    """How often the weight's channel scales repeat over the output channels: only a grouped ConvTranspose repeats them."""
    return int(attribute(node, "group", 1)) if node.op_type == "ConvTranspose" else 1


def channel_scales(weight: Encoding, channels: int, repeat: int) -> Array:
    """The weight's scale for each output channel, float32 [channels]; [1] where one scale serves all."""
    if not weight.blocks.sizes:
        return weight.scale.reshape(1)
    ((_, size),) = weight.blocks.sizes.items()
    return np.asarray(np.tile(np.repeat(weight.scale.ravel(), size)[: channels // repeat], repeat))


def encode_bias(use: Use, bias: ir.Value, encodings: Mapping[str, Encoding]) -> Encoding:
    """int32 at the scale input * weight, multiplied in float32 as onnxruntime does."""
    source, weight = source_of(use.node, encodings), encodings[use.weight.name or ""]
    with np.errstate(over="ignore"):
        scales = np.float32(source.scale) * channel_scales(weight, numbers(bias).size, groups_of(use.node))
    if not np.isfinite(scales).all():
        raise PlanError(
            f"{use.node.op_type} '{use.node.name}': the scale of its input times that of '{use.weight.name}' is beyond float32; "
            "look for outliers in the weights, or keep this layer in float by a rule."
        )
    blocks = Blocks.channels(0) if scales.size > 1 else Blocks.whole()
    return Encoding(BIAS, scales if blocks.sizes else scales.reshape(()), np.zeros((), np.int32), blocks)


def make_room(use: Use, bias: ir.Value, encodings: dict[str, Encoding]) -> str:
    """Widen the weight scales of channels whose bias would not fit into int32; say how many.

    bias / (input scale * weight scale) must stay within 2**30 (onnxruntime issue 25278: overflow cost half of the accuracy).
    Channels without weights get a scale at which their bias is fine.
    """
    weight, weights = encodings[use.weight.name or ""], numbers(use.weight)
    step = np.float64(source_of(use.node, encodings).scale)
    largest = largest_bias(weight, np.abs(numbers(bias).astype(np.float64)), groups_of(use.node))
    scale = weight.scale.astype(np.float64).ravel()
    empty = (weight.blocks.reduce(np.maximum, np.abs(weights)) == 0).ravel() if weights.size else np.ones(scale.shape, bool)
    fine = FINEST_BIAS if isinstance(weight.format, Signs) and not weight.format.has_zero else FINE_BIAS
    wanted = np.where(empty & (largest > 0), largest / (step * fine), scale)
    needed = np.maximum(largest / (step * LARGEST_BIAS), SMALLEST_SCALE / min(step, 1.0))
    wider = np.maximum(wanted, needed)
    if use.asked.power_of_two or isinstance(weight.format, PowersOfTwo):
        wider = np.exp2(np.ceil(np.log2(wider)))
    wider = np.clip(wider, SMALLEST_SCALE, LARGEST_SCALE).astype(np.float32).reshape(weight.scale.shape)
    encodings[use.weight.name or ""] = replace(weight, scale=wider)
    count = int((needed > wanted).sum())
    return f"; {count} of {scale.size} weight scales were widened so that it fits" if count else ""


def largest_bias(weight: Encoding, bias: Array, repeat: int) -> Array:
    """The largest absolute bias under each of the weight's scales."""
    if not weight.blocks.sizes:
        return np.asarray(bias.max(initial=0.0)).reshape(1)
    ((_, size),) = weight.blocks.sizes.items()
    per_channel = bias.reshape(repeat, -1).max(axis=0)
    return np.asarray(np.maximum.reduceat(per_channel, range(0, per_channel.size, size)))
