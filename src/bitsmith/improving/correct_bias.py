"""Bias correction: each product's mean output, channel by channel, becomes what it is in float (Nagel 2019, section 4.2; appendix D)."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import onnx_ir as ir

from bitsmith.calibration.collect import pieces, samples_at_once
from bitsmith.graph import constant, sole_consumer
from bitsmith.improving.draft import Draft, Progress, with_reasons
from bitsmith.improving.expected import expect
from bitsmith.improving.stepwise import Stepwise, few_samples, has_branches
from bitsmith.numerics import Encoding
from bitsmith.numerics.formats import Array
from bitsmith.operators import operator_of
from bitsmith.planning.plan import Plan
from bitsmith.planning.recipe import Rule
from bitsmith.planning.weights import LARGEST_BIAS, Use, encode_bias
from bitsmith.rewrites.edits import set_constant
from bitsmith.rewrites.normal import noted_normal
from bitsmith.rewrites.products import Product, add_bias, read_product, spread
from bitsmith.running.session import Session
from bitsmith.targets.onnx.insert import insert_quantization

SAID = "{means}"
NOISE = 1e-6        # of a channel's magnitude: what sums in another order differ by


@dataclass(frozen=True)
class Correctable:
    """product  whose mean is corrected
    holder   the node that holds its bias: itself, or the Add behind it
    index    of the bias among that node's operands; None where it has none yet
    """

    product: Product
    holder: ir.Node
    index: int | None

    @property
    def value(self) -> ir.Value:
        """What is compared."""
        return self.product.node.outputs[0]

    @property
    def bias(self) -> ir.Value | None:
        return None if self.index is None else self.holder.inputs[self.index]


def correct_bias(draft: Draft, progress: Progress | None = None) -> Draft:
    """Shift every bias by what its product's mean lost, from the first layer to the last: each sees all before it quantized and corrected.

    Every node is run once on at most 64 samples; only values that are still to be read are kept.
    Where the calibration data cannot be read again and BatchNorm told what values are on average, that serves instead; where neither
    is there, GoneError is raised.
    """
    if (draft.data is None or draft.data.once) and any(noted_normal(v) for node in draft.network.graph for v in node.outputs):
        return correct_bias_analytically(draft, progress)
    data = draft.samples("correct_bias")
    if has_branches(draft.network):
        said = "no bias was corrected: correct_bias does not look into branches and loops"
        return replace(draft, plan=with_reasons(draft.plan, {draft.network.graph.name or "network": said}))
    found = [spot for node in draft.network.graph if isinstance(spot := correctable(node, draft.plan), Correctable)]
    batches = few_samples(draft.network, data)
    shifts = measure_all(draft, found, batches, progress)
    return apply(draft, shifts, f"the means of {sum(len(next(iter(batch.values()))) for batch in batches)} samples are those in float")


def correct_bias_analytically(draft: Draft, progress: Progress | None = None) -> Draft:
    """Shift every bias by what the rounding of weights makes of the mean input, which batch normalization's numbers tell: no data are run.

    E[W x] - E[W' x] = (W - W') E[x]  (Nagel 2019, section 4.2.1). What reads values of which nothing is known is left as it is, and said.
    """
    known = {value.name: normal for value, normal in expect(draft.reference.graph).items()}
    weights = {node.outputs[0].name: product.weight for node in draft.reference.graph if (product := read_product(node)) is not None}
    found = [spot for node in draft.network.graph if isinstance(spot := correctable(node, draft.plan), Correctable)]
    shifts, unknown = list[tuple[Correctable, Array]](), dict[str, str]()
    for spot in found:
        source = spot.product.node.inputs[0]
        read = None if source is None else known.get(source.name)
        if read is None or read.mean.size != spot.product.input_channels:
            unknown[spot.product.node.name or ""] = "not corrected: no BatchNorm tells what it reads"
        else:
            shifts.append((spot, rounded_off(spot.product, weights[spot.value.name], read.mean, draft.plan)))
    better = apply(draft, shifts, "the means are those in float, as BatchNorm tells")
    return replace(better, plan=with_reasons(better.plan, unknown))


def rounded_off(product: Product, exact: Array, mean_input: Array, plan: Plan) -> Array:
    """What a product's mean loses by the rounding of its weights, [channels] in float64."""
    encoding = plan.encodings.get((product.node.inputs[1] or ir.Value()).name or "")
    coded = product.weight if encoding is None else encoding.simulate(product.weight)
    lost = spread(product.node, np.asarray(exact, np.float64) - coded).sum(3)
    groups, outputs, inputs = lost.shape
    return np.asarray((lost @ mean_input.reshape(groups, inputs, 1)).reshape(groups * outputs))


def correctable(node: ir.Node, plan: Plan) -> Correctable | str | None:
    """Where a node's mean can be corrected; why not; None for a node that is no product."""
    product = read_product(node)
    if product is None or product.channel_axis is None:
        return None
    if product.bias is not None:
        return Correctable(product, node, 2)
    if node.op_type != "MatMul":
        return Correctable(product, node, None)
    return behind(product, plan)


def behind(product: Product, plan: Plan) -> Correctable | str:
    """A MatMul's bias is in an Add: it can be shifted as long as it is no code itself."""
    add = sole_consumer(product.node.outputs[0])
    if add is None or add.op_type not in ("Add", "Sub"):
        return "it has no bias to correct"
    index = 1 if add.inputs[0] is product.node.outputs[0] else 0
    other = add.inputs[index]
    array = constant(other)
    if add.op_type != "Add" or other is None or array is None or array.size != product.channels or array.shape[-1] != product.channels:
        return "it has no bias to correct"
    return f"its bias '{other.name}' is codes itself" if other.name in plan.encodings else Correctable(product, add, index)


def measure_all(
    draft: Draft, found: list[Correctable], batches: list[dict[str, Array]], progress: Progress | None
) -> list[tuple[Correctable, Array]]:
    """What each mean lost, [channels] in float64."""
    coded = Stepwise.start(insert_quantization(draft.network, draft.plan, moves_codes=False), batches)
    wanted = exact_means(draft.reference, found, batches)
    values = {v.name: v for node in coded.network.graph for v in node.outputs}
    shifts = []
    for number, (spot, (exact, noise)) in enumerate(zip(found, wanted, strict=True), 1):
        name, axis = spot.value.name or "", spot.product.channel_axis or 0
        inside = values.get(f"{name}_unquantized") or values[name]
        lost = exact - mean(coded.advance(inside), axis)
        lost = np.where(np.isfinite(lost) & (np.abs(lost) > noise), lost, 0.0)
        coded.shift(inside, along(lost, axis, coded.known[inside.name or ""][0].ndim))
        shifts.append((spot, lost))
        if progress is not None:
            progress(number, len(found))
    return shifts


def exact_means(network: ir.Model, found: list[Correctable], batches: list[dict[str, Array]]) -> list[tuple[Array, Array]]:
    """For each product, [channels] in float64: its mean, and what that may differ by when sums are taken in another order."""
    names = [spot.value.name or "" for spot in found]
    axes = {name: spot.product.channel_axis or 0 for name, spot in zip(names, found, strict=True)}
    session, sums = Session(network, names), dict[str, tuple[Array, Array, int]]()
    for batch in pieces(batches, samples_at_once(network.graph, names), None) if names else ():
        for name, values in session.run(batch).items():
            total, size, count = sums.get(name, (0.0, 0.0, 0))
            sums[name] = (total + channel_sums(values, axes[name]), size + channel_sums(np.abs(values), axes[name]),
                          count + values.size // values.shape[axes[name]])
    return [(total / count, NOISE * size / count) for total, size, count in (sums[name] for name in names)]


def channel_sums(values: Array, axis: int) -> Array:
    """float64 [channels]: sums over everything else, those over what lies behind a channel in pairs, in the values' own type."""
    rows = values.reshape(math.prod(values.shape[:axis]), values.shape[axis], -1)
    inner = rows.sum(2) if rows.shape[2] > 1 else rows[:, :, 0]
    return np.asarray(inner.sum(0, dtype=np.float64))


def mean(batches: list[Array], axis: int) -> Array:
    """float64 [channels], over everything else."""
    total = np.sum([channel_sums(array, axis) for array in batches], axis=0)
    return np.asarray(total / sum(array.size // array.shape[axis] for array in batches))


def along(vector: Array, axis: int, rank: int) -> Array:
    """[channels], to be added to a value."""
    return vector.reshape([-1 if a == axis else 1 for a in range(rank)])


def apply(draft: Draft, shifts: list[tuple[Correctable, Array]], said: str) -> Draft:
    """A draft whose biases are shifted, with the reasons."""
    network = draft.network.clone()
    nodes = {node.outputs[0].name: node for node in network.graph}
    encodings = dict(draft.plan.encodings)
    reasons = {n.name or "": f"not corrected: {why}" for n in network.graph if isinstance(why := correctable(n, draft.plan), str)}
    for spot, lost in shifts:
        holder = nodes[spot.holder.outputs[0].name]
        if lost.any() and spot.index is None:
            reasons |= new_bias(network.graph, holder, lost, encodings)
        elif lost.any() and spot.index is not None:
            reasons |= shift_bias(network.graph, holder, spot.index, lost, encodings)
    plan = with_reasons(replace(draft.plan, encodings=encodings), {name: text.replace(SAID, said) for name, text in reasons.items()})
    return replace(draft, network=network, plan=plan, exact=draft.reference)


def shift_bias(graph: ir.Graph, holder: ir.Node, index: int, lost: Array, encodings: Mapping[str, Encoding]) -> dict[str, str]:
    """Change a bias; says by how much, or why not."""
    bias = holder.inputs[index]
    old = constant(bias)
    assert bias is not None
    assert old is not None
    name = bias.name or ""
    new = (old.astype(np.float64) + lost.reshape(old.shape)).astype(old.dtype)
    if name in encodings and (np.abs(new / encodings[name].scale.astype(np.float64)) > LARGEST_BIAS).any():
        return {name: "not corrected, since it would not fit into int32"}
    set_constant(graph, holder, index, new)
    return {holder.inputs[index].name or "": f"shifted by up to {np.abs(lost).max():.3g} so that {SAID}"}     # type: ignore[union-attr]


def new_bias(graph: ir.Graph, node: ir.Node, lost: Array, encodings: dict[str, Encoding]) -> dict[str, str]:
    """Give a product a bias, with the encoding that it needs; says so."""
    weight = node.inputs[1]
    assert weight is not None
    add_bias(graph, node, lost.astype(np.float32))
    bias, operator = node.inputs[2], operator_of(node)
    assert bias is not None
    assert operator is not None
    name = bias.name or ""
    if all(v is not None and v.name in encodings for v in node.inputs[:2]):
        encodings[name] = encode_bias(Use(node, weight, operator.parameters(node)[0], Rule()), bias, encodings)
    return {name: f"added, up to {np.abs(lost).max():.3g}, so that {SAID}"}
