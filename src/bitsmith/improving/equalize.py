"""Cross-layer equalization: channels between products are scaled so that rounding costs less (Nagel 2019, section 4.1).

Instead of matching ranges, which is right for one scale a tensor only, each step takes the scales that lower the noise expected of the
products on both sides, of weights and activations; range matching and what SmoothQuant does (Xiao 2022) are among those tried.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import reduce

import numpy as np
import onnx_ir as ir

from bitsmith.graph import constant, rank
from bitsmith.improving.channel_moments import Moments, measure_channels
from bitsmith.improving.channels import Span, find_spans
from bitsmith.improving.draft import Draft, Progress, with_reasons
from bitsmith.improving.noise import Layer
from bitsmith.numerics.formats import Array
from bitsmith.planning.plan import Plan
from bitsmith.rewrites.edits import set_constant
from bitsmith.rewrites.products import Product, read_product, scale_inputs, scale_outputs

SWEEPS = 20
GAIN = 1e-3             # of the noise: less is not worth another sweep
MARGIN = 1.1            # values that calibration did not show may be so much larger
EXTREME = 2.0**10       # no channel is scaled by more
POWERS = (1.0, 0.5, 0.25)


@dataclass
class Joint:
    """A span, and what is being done to it.

    span     of the network that is being changed
    moments  of all that its readers read
    floor    the smallest factor that each channel's clamps allow
    fixed    channels that no clamp lets be scaled
    dead     channels that never were anything but 0
    factors  by which its values are divided, float64 [channels]
    """

    span: Span
    moments: Moments
    floor: Array
    fixed: Array
    dead: Array
    factors: Array = field(init=False)

    def __post_init__(self) -> None:
        self.factors = np.ones(self.span.channels)

    def allowed(self, change: Array) -> Array:
        """A change of the factors, as far as clamps and reason allow it."""
        wanted = np.clip(self.factors * change, 1 / EXTREME, EXTREME)
        return np.where(self.fixed, 1.0, np.maximum(wanted, self.floor)) / self.factors


def equalize(draft: Draft, progress: Progress | None = None) -> Draft:
    """Scale channels so that weights and activations lose less; the network computes the same on everything that calibration showed.

    Weights that read channels which were 0 in every sample become 0. Raises GoneError where the calibration data cannot be read again.
    """
    data = draft.samples("equalize")
    network = draft.network.clone()
    spans = find_spans(network.graph)
    if not spans:
        return draft
    moments = measure_channels(network, axes_of(spans), data)
    joints = [joint_of(span, moments) for span in spans]
    silence(network.graph, joints)
    layers = read_layers(joints, moments, draft.plan)
    balance(joints, layers, progress)
    if not all(scale(network.graph, joint) for joint in joints):
        return replace(draft, plan=with_reasons(draft.plan, {network.graph.name or "network": "not equalized: its weights are not finite"}))
    better = draft.replanned(network, "equalize")
    said = {value.name or "": text for joint in joints if (text := describe(joint)) for value in read_by(joint.span)}
    return replace(better, plan=with_reasons(better.plan, said))


def read_by(span: Span) -> list[ir.Value]:
    """The values that its readers read."""
    return [value for product, _ in span.readers if (value := product.node.inputs[0]) is not None]


def products_of(spans: list[Span]) -> dict[str, Product]:
    """All that write or read, by node output name, as they are now."""
    return {p.node.outputs[0].name or "": p for span in spans for p in (*span.writers, *(r for r, _ in span.readers))}


def axes_of(spans: list[Span]) -> dict[str, int]:
    """The values to measure, each with the axis of its channels."""
    axes: dict[str, int] = {}
    for product in products_of(spans).values():
        source = product.node.inputs[0]
        assert source is not None
        axes[source.name or ""] = (rank(source) or 2) - 1 if product.node.op_type == "MatMul" else 1
        axes[product.node.outputs[0].name or ""] = product.channel_axis or 1
    axes |= {value.name or "": 1 for span in spans for value, _ in span.clamps}
    return axes


def joint_of(span: Span, moments: Mapping[str, Moments]) -> Joint:
    """What the data say of a span's channels: which are dead, and how far clamps let them be scaled."""
    read = {(product.node.inputs[0] or ir.Value()).name or "": repeat for product, repeat in span.readers}
    seen = reduce(Moments.merge, (fold(moments[name], repeat) for name, repeat in read.items()))
    tops = [(moments[value.name or ""].high, limit) for value, limit in span.clamps]
    fixed = np.any([top * MARGIN >= limit for top, limit in tops], axis=0) if tops else np.zeros(span.channels, bool)
    floor = np.max([np.maximum(top, 0) * MARGIN / limit for top, limit in tops], axis=0) if tops else np.zeros(span.channels)
    dead = (seen.low == 0) & (seen.high == 0)
    return Joint(span, seen, floor, fixed, dead)


def fold(moments: Moments, repeat: int) -> Moments:
    """Of the channels, where `repeat` inputs side by side are one."""
    low, high, total, squares = (a.reshape(-1, repeat) for a in (moments.low, moments.high, moments.total, moments.squares))
    return Moments(low.min(1), high.max(1), total.sum(1), squares.sum(1), moments.count * repeat)


def silence(graph: ir.Graph, joints: list[Joint]) -> None:
    """Weights that read dead channels become 0."""
    for joint in joints:
        for product, repeat in joint.span.readers if joint.dead.any() else ():
            keep = np.repeat(np.where(joint.dead, 0.0, 1.0), repeat)
            scale_inputs(graph, again(product), keep, np.zeros_like(keep))


def read_layers(joints: list[Joint], moments: Mapping[str, Moments], plan: Plan) -> dict[str, Layer]:
    """Every product on either side of a span, ready to say what noise it makes."""
    found = {}
    for name, product in products_of([joint.span for joint in joints]).items():
        source = product.node.inputs[0]
        assert source is not None
        found[name] = Layer.of(again(product), moments[source.name or ""], moments[name], plan)
    return found


def balance(joints: list[Joint], layers: Mapping[str, Layer], progress: Progress | None) -> None:
    """Sweep over the spans, each taking the best of several changes, until none gains."""
    before = sum(layer.noise() for layer in layers.values())
    for sweep in range(SWEEPS):
        for joint in joints:
            improve(joint, layers)
        after = sum(layer.noise() for layer in layers.values())
        if progress is not None:
            progress(sweep + 1, SWEEPS)
        if after > before * (1 - GAIN):
            break
        before = after


def improve(joint: Joint, layers: Mapping[str, Layer]) -> None:
    """Take the change of one span that leaves the least noise; none where nothing is better."""
    writers = [layers[p.node.outputs[0].name or ""] for p in joint.span.writers]
    readers = [(layers[p.node.outputs[0].name or ""], repeat) for p, repeat in joint.span.readers]
    best, least = None, noise_with(writers, readers, np.ones(joint.span.channels)) * (1 - GAIN / 10)
    for change in changes(joint, writers, readers):
        allowed = joint.allowed(change)
        if (noise := noise_with(writers, readers, allowed)) < least:
            best, least = allowed, noise
    if best is not None:
        joint.factors = joint.factors * best
        for layer in writers:
            layer.out = layer.out * best
        for layer, repeat in readers:
            layer.into = layer.into * np.repeat(best, repeat)


def noise_with(writers: list[Layer], readers: list[tuple[Layer, int]], change: Array) -> float:
    """Of the products around a span, were its values divided by `change`."""
    out, into = {id(w): change for w in writers}, {id(r): np.repeat(change, repeat) for r, repeat in readers}
    every = {id(layer): layer for layer in (*writers, *(r for r, _ in readers))}
    return sum(layer.noise(into.get(key), out.get(key)) for key, layer in every.items())


def changes(joint: Joint, writers: list[Layer], readers: list[tuple[Layer, int]]) -> Iterator[Array]:
    """What may be tried, from where things stand: ranges of weights matched, of inputs evened, of activations evened, all in part, too."""
    made = np.max([w.row_ranges() for w in writers], axis=0) if writers else np.ones(joint.span.channels)
    read = np.max([r.column_ranges().reshape(-1, repeat).max(1) for r, repeat in readers], axis=0)
    reach = np.maximum(joint.moments.high, -joint.moments.low) / joint.factors
    live = ~joint.dead & (made > 0) & (read > 0) & (reach > 0)
    quiet = np.where(joint.dead & (made > 0), made / max(float(np.median(made)), 1e-30), 1.0)
    yield quiet
    if not live.any():
        return
    made, read, reach = (np.where(live, a, 1.0) for a in (made, read, reach))
    for wished in (np.sqrt(made / read), 1 / read, made, reach, np.sqrt(reach / read)):
        middle = live & joint.fixed if (live & joint.fixed).any() else live
        for centre in (1.0, np.exp(np.log(wished[middle]).mean())):
            for power in POWERS:
                yield np.where(live, (wished / centre) ** power, quiet)


def scale(graph: ir.Graph, joint: Joint) -> bool:
    """Divide a span's values by its factors and let its readers make good for it. False where weights cannot hold it."""
    nothing = np.zeros_like(joint.factors)
    done = [scale_outputs(graph, again(product), 1 / joint.factors, nothing) for product in joint.span.writers]
    for product, repeat in joint.span.readers:
        done.append(scale_inputs(graph, again(product), np.repeat(joint.factors, repeat), np.repeat(nothing, repeat)))
    for node, index in joint.span.shifts:
        shift = constant(node.inputs[index])
        assert shift is not None
        set_constant(graph, node, index, (shift / joint.factors).astype(shift.dtype))
    return all(done)


def again(product: Product) -> Product:
    found = read_product(product.node)
    assert found is not None
    return found


def describe(joint: Joint) -> str:
    """In words; '' where nothing was done."""
    moved = joint.factors != 1
    ends = f"{1 / joint.factors.max():.3g} to {1 / joint.factors.min():.3g}"
    words = [f"equalized: {moved.sum()} of {moved.size} channels scaled by {ends}"] if moved.any() else []
    if joint.dead.any():
        words.append(f"{joint.dead.sum()} were 0 in every sample: the weights that read them are 0 now")
    if joint.fixed.any() and moved.any():
        words.append(f"{joint.fixed.sum()} reach the bound of a Clip and stay")
    return "; ".join(words)
