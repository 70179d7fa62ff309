"""What the channels of values are on average, told by BatchNorm's numbers alone: no data are run (Nagel 2019, section 4.2.1).

Where it matters values are taken for normal and for independent of each other.
"""

from collections.abc import Callable, Mapping, Sequence
from math import erf, inf, pi, sqrt
from statistics import NormalDist

import numpy as np
import onnx_ir as ir

from bitsmith.graph import constant, input_at, integers, rank
from bitsmith.numerics.formats import Array
from bitsmith.operators.float_meaning import copy_nodes
from bitsmith.operators.regions import find_region
from bitsmith.rewrites.edits import is_standard
from bitsmith.rewrites.normal import Normal, noted_normal
from bitsmith.rewrites.products import read_product, spread
from bitsmith.running.session import Session

POINTS = 255        # equally probable ones, at which a curve is averaged
TINY = 1e-12        # a deviation of 0

Known = dict[ir.Value, Normal]


def expect(graph: ir.Graph) -> Known:
    """Of all values whose channels, axis 1, can be known; what BatchNorm noted of one goes before what follows from others."""
    known: Known = {}
    for node in graph:
        if len(node.outputs) != 1:
            continue
        value = node.outputs[0]
        found = noted_normal(value) or follow(node, known)
        if found is not None and np.isfinite(found).all():
            known[value] = found
    return known


def follow(node: ir.Node, known: Mapping[ir.Value, Normal]) -> Normal | None:
    """From what is known of a node's operands."""
    if is_standard(node, "Relu", "Clip"):
        return follow_clamp(node, known)
    if (product := read_product(node)) is not None:
        source = known.get(node.inputs[0]) if node.inputs[0] is not None else None
        return None if source is None or product.channel_axis != 1 else multiply(spread(node, product.weight), product.bias, source)
    if (found := follow_curve(node.outputs[0], known)) is not None:
        return found
    rule = RULES.get(node.op_type) if node.domain == "" else None
    operands = [known.get(value) for value in node.inputs if value is not None and constant(value) is None]
    read = [normal for normal in operands if normal is not None]
    return rule(node, read) if rule is not None and read and len(read) == len(operands) else None


def multiply(weight: Array, bias: Array | None, source: Normal) -> Normal | None:
    """Of sums of weights [groups, outputs, inputs, taps] times inputs; padding is not looked at."""
    groups, outputs, inputs, _ = weight.shape
    if source.mean.size != groups * inputs:
        return None
    once, twice = (w.sum(3, dtype=np.float64) for w in (weight, weight.astype(np.float64) ** 2))
    mean = (once @ source.mean.reshape(groups, inputs, 1)).ravel()
    return Normal(mean if bias is None else mean + bias, (twice @ source.variance.reshape(groups, inputs, 1)).reshape(groups * outputs))


def follow_clamp(node: ir.Node, known: Mapping[ir.Value, Normal]) -> Normal | None:
    source = known.get(node.inputs[0]) if node.inputs[0] is not None else None
    low, high = (constant(input_at(node, i)) for i in (1, 2))
    if source is None or node.op_type == "Relu":
        return None if source is None else clamped(source, 0.0, inf)
    return clamped(source, -inf if low is None else float(low), inf if high is None else float(high))


def clamped(normal: Normal, low: float, high: float) -> Normal:
    """Mean and variance of min(max(x, low), high) for a normal x (Nagel 2019, appendix C)."""
    deviation = np.maximum(np.sqrt(normal.variance), TINY)
    a, b = ((np.full_like(deviation, end) - normal.mean) / deviation for end in (low, high))
    before, until = (np.array([(1 + erf(x / sqrt(2))) / 2 for x in end]) for end in (a, b))
    dense_a, dense_b = (np.exp(-(end**2) / 2) / sqrt(2 * pi) for end in (a, b))
    edge_a, edge_b = (np.where(np.isfinite(end), end, 0.0) * dense for end, dense in ((a, dense_a), (b, dense_b)))
    left, right = (0.0 if np.isinf(end) else end for end in (low, high))
    inside, slope = until - before, deviation * (dense_a - dense_b)
    mean = normal.mean * inside + slope + left * before + right * (1 - until)
    square = (normal.mean**2 + deviation**2) * inside + deviation**2 * (edge_a - edge_b) + 2 * normal.mean * slope
    square = square + left**2 * before + right**2 * (1 - until)
    return Normal(mean, np.maximum(square - mean**2, 0.0))


def follow_curve(value: ir.Value, known: Mapping[ir.Value, Normal]) -> Normal | None:
    """A chain of pointwise operators, averaged over points that are equally probable."""
    region = find_region(value) or find_region(value, known)
    source = None if region is None else known.get(region.source)
    dims = rank(value)
    if region is None or source is None or not dims or dims < 2:
        return None
    places = np.array([NormalDist().inv_cdf((i + 0.5) / POINTS) for i in range(POINTS)])
    points = source.mean + np.sqrt(source.variance) * (places / places.std())[:, None]
    part = copy_nodes(region.nodes, {region.source: ir.Shape([None] * dims)}, [value], {})
    feed = points.astype(np.float32).reshape(POINTS, -1, *[1] * (dims - 2))
    made = Session(part, optimise=False).run({region.source.name or "": feed})[value.name or ""].astype(np.float64)
    made = made.reshape(POINTS, made.shape[1], -1)[:, :, 0]
    return Normal(made.mean(0), made.var(0))


def add(node: ir.Node, read: Sequence[Normal]) -> Normal | None:
    if len(read) != 2 or read[0].mean.shape != read[1].mean.shape:
        return None
    return Normal(read[0].mean + read[1].mean, read[0].variance + read[1].variance)


def gate(node: ir.Node, read: Sequence[Normal]) -> Normal | None:
    """A product of two."""
    if len(read) != 2 or read[0].mean.shape != read[1].mean.shape:
        return None
    (m, v), (n, w) = read
    return Normal(m * n, v * w + v * n**2 + w * m**2)


def flatten(node: ir.Node, read: Sequence[Normal]) -> Normal | None:
    """[samples, channels, ...] becomes [samples, all the rest]."""
    before, after = (None if v is None or v.shape is None else list(v.shape) for v in (node.inputs[0], node.outputs[0]))
    channels = read[0].mean.size
    if before is None or after is None or len(after) != 2 or before[1] != channels or not isinstance(after[1], int):
        return None
    return Normal(*(np.repeat(part, after[1] // channels) for part in read[0])) if after[1] % channels == 0 else None


def pad(node: ir.Node, read: Sequence[Normal]) -> Normal | None:
    """Channels of zeros may be added; those in space are not looked at."""
    pads = integers(input_at(node, 1))
    if pads is None or len(read) != 1 or input_at(node, 3) is not None or len(pads) < 4:
        return None
    front, back = pads[1], pads[len(pads) // 2 + 1]
    return None if min(front, back) < 0 else Normal(*(np.pad(part, (front, back)) for part in read[0]))


def crop(node: ir.Node, read: Sequence[Normal]) -> Normal | None:
    """A Slice in space."""
    axes = integers(input_at(node, 3))
    dims = rank(node.outputs[0])
    return read[0] if axes and dims and not {0, 1} & {axis % dims for axis in axes} else None


def average(node: ir.Node, read: Sequence[Normal]) -> Normal | None:
    """A ReduceMean in space."""
    axes, dims = integers(input_at(node, 1)), rank(node.inputs[0] or ir.Value())
    return read[0] if axes and dims and not {0, 1} & {axis % dims for axis in axes} else None


def join(node: ir.Node, read: Sequence[Normal]) -> Normal | None:
    axis = node.attributes.get_int("axis")
    return None if axis != 1 else Normal(*(np.concatenate(parts) for parts in zip(*read, strict=True)))


def keep(node: ir.Node, read: Sequence[Normal]) -> Normal | None:
    """The mean of a mean is the mean; its variance is less, and nobody asks."""
    return read[0]


RULES: dict[str, Callable[[ir.Node, Sequence[Normal]], Normal | None]] = {
    "Add": add, "Mul": gate, "Flatten": flatten, "Reshape": flatten, "Squeeze": flatten, "Pad": pad, "Slice": crop, "Concat": join,
    "AveragePool": keep, "GlobalAveragePool": keep, "ReduceMean": average,
    "Identity": keep, "Dropout": keep,
}
