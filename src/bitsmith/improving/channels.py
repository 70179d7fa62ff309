"""Which values of a network have channels that could be scaled together, and who would have to make good for it."""

from dataclasses import dataclass, field
from math import prod

import onnx_ir as ir

from bitsmith.graph import attribute, constant, input_at, integers, rank
from bitsmith.operators import operator_of
from bitsmith.rewrites.edits import is_standard
from bitsmith.rewrites.products import Product, read_product

# f(s x) = s f(x) for s > 0, channel by channel
HOMOGENEOUS = ("Relu", "LeakyRelu", "PRelu", "MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool", "Identity", "Dropout",
               "Pad", "Clip")


@dataclass
class Span:
    """Values whose channels are scaled by one vector or not at all.

    channels   how many
    writers    products that make some of the values
    readers    products that read some of them, each with how many of its inputs, side by side, one channel is
    shifts     (node, index) of constants, one number for each channel, that are added to them or that a LayerNormalization ends in
    clamps     (value, limit): what goes into a Clip, and its upper bound
    pinned     why they must stay as they are; '' where they need not
    """

    channels: int = 0
    values: list[ir.Value] = field(default_factory=list)
    writers: list[Product] = field(default_factory=list)
    readers: list[tuple[Product, int]] = field(default_factory=list)
    shifts: list[tuple[ir.Node, int]] = field(default_factory=list)
    clamps: list[tuple[ir.Value, float]] = field(default_factory=list)
    pinned: str = ""

    @property
    def free(self) -> bool:
        return not self.pinned and bool(self.writers or self.shifts) and bool(self.readers) and self.channels > 1


class Spans:
    """The spans of a graph while they are being found."""

    def __init__(self) -> None:
        self.spans: dict[ir.Value, Span] = {}
        self.axes: dict[ir.Value, int] = {}

    def of(self, value: ir.Value) -> Span:
        if value not in self.spans:
            self.spans[value] = Span(values=[value])
        return self.spans[value]

    def pin(self, value: ir.Value | None, why: str) -> None:
        if value is not None and constant(value) is None:
            span = self.of(value)
            span.pinned = span.pinned or why

    def along(self, value: ir.Value, axis: int, channels: int) -> Span:
        """The span of a value, whose channels are known to run so."""
        span = self.of(value)
        if self.axes.setdefault(value, axis) != axis or span.channels not in (0, channels):
            span.pinned = span.pinned or f"the channels of '{value.name}' run along two axes"
        span.channels = span.channels or channels
        return span

    def join(self, first: ir.Value, second: ir.Value) -> None:
        """Both have the same channels."""
        a, b = self.of(first), self.of(second)
        if a is b:
            return
        for name in ("values", "writers", "readers", "shifts", "clamps"):
            getattr(a, name).extend(getattr(b, name))
        if a.channels and b.channels and a.channels != b.channels:
            a.pinned = f"'{first.name}' and '{second.name}' have different numbers of channels"
        a.channels, a.pinned = a.channels or b.channels, a.pinned or b.pinned
        self.spans.update(dict.fromkeys(b.values, a))


def find_spans(graph: ir.Graph) -> list[Span]:
    """All spans with something to gain, in the order of the graph."""
    spans = Spans()
    for value in (*graph.inputs, *graph.outputs):
        spans.pin(value, f"'{value.name}' is the network's own")
    for node in graph:
        add(spans, node)
    found = list({id(span): span for span in spans.spans.values()}.values())
    return [span for span in found if span.free and not runs_apart(spans, span) and not any(is_read_inside(v, graph) for v in span.values)]


def runs_apart(spans: Spans, span: Span) -> bool:
    """True where channels are one axis of some values and another of others."""
    return len({spans.axes[v] for v in span.values if v in spans.axes}) > 1


def is_read_inside(value: ir.Value, graph: ir.Graph) -> bool:
    """True where a branch or loop reads the value."""
    return any(use.node.graph is not graph for use in value.uses())


def add(spans: Spans, node: ir.Node) -> None:
    """One node: it writes and reads, passes channels on, joins them, or pins them."""
    if (product := read_product(node)) is not None and add_product(spans, product):
        return
    source, result = input_at(node, 0), node.outputs[0] if node.outputs else None
    if source is not None and result is not None:
        if is_homogeneous(node) and constant(source) is None:
            spans.join(source, result)
            if node.op_type == "Clip":
                add_clamp(spans, node, source)
            return
        if node.op_type in ("Flatten", "Reshape", "Squeeze") and add_flattened(spans, node, source):
            return
        if is_standard(node, "Add") and add_sum(spans, node):
            return
        if is_standard(node, "Mul") and add_gate(spans, node):
            return
        if is_standard(node, "LayerNormalization") and add_norm(spans, node, source):
            return
    for value in (*node.inputs, *node.outputs):
        spans.pin(value, f"{node.op_type} '{node.name}' mixes or bends channels")


def add_product(spans: Spans, product: Product) -> bool:
    node, source = product.node, product.node.inputs[0]
    weight = node.inputs[1]
    if source is None or weight is None or len(weight.uses()) != 1 or attribute(node, "transA", 0) or product.channel_axis is None:
        return False
    if any(v is not None and constant(v) is not None and len(v.uses()) != 1 for v in node.inputs[2:]) or constant(source) is not None:
        return False
    axis = (rank(source) or 0) - 1 if node.op_type == "MatMul" else 1
    spans.along(node.outputs[0], product.channel_axis, product.channels).writers.append(product)
    if source in spans.spans and is_flattened(source):
        return True         # the span in front of the flattening has it
    spans.along(source, axis, product.input_channels).readers.append((product, 1))
    return True


def is_homogeneous(node: ir.Node) -> bool:
    """f(s x) = s f(x), and channels stay where they are."""
    if not is_standard(node, *HOMOGENEOUS) or len([v for v in node.outputs if v.name]) != 1:
        return False
    if node.op_type == "Clip":
        low, high = (constant(input_at(node, i)) for i in (1, 2))
        return low is not None and float(low) == 0.0 and high is not None and float(high) > 0
    if node.op_type == "PRelu":
        return constant(input_at(node, 1)) is not None
    return node.op_type != "Pad" or pads_space(node)


def pads_space(node: ir.Node) -> bool:
    """Zeros, or copies, along other axes than samples and channels."""
    operator, pads = operator_of(node), integers(input_at(node, 1))
    if operator is None or operator.obstacle(node) or pads is None or input_at(node, 3) is not None:
        return False
    half = len(pads) // 2
    return not any((*pads[:2], *pads[half:half + 2]))


def add_clamp(spans: Spans, node: ir.Node, source: ir.Value) -> None:
    high = constant(input_at(node, 2))
    assert high is not None
    spans.of(source).clamps.append((source, float(high)))


def is_flattened(value: ir.Value) -> bool:
    node = value.producer()
    return node is not None and node.op_type in ("Flatten", "Reshape", "Squeeze")


def add_flattened(spans: Spans, node: ir.Node, source: ir.Value) -> bool:
    """[samples, channels, ...] becomes [samples, all the rest], which products alone read."""
    flat, before = node.outputs[0], rank(source)
    readers = [read_product(reader) for reader in flat.consumers()]
    if flat.is_graph_output() or rank(flat) != 2 or before is None or before < 3 or source.shape is None or not readers:
        return False
    channels = source.shape[1]
    if not isinstance(channels, int) or (flat.shape is not None and source.shape[0] != flat.shape[0] and node.op_type == "Squeeze"):
        return False
    fitting = [p for p in readers if p is not None and p.node.inputs[0] is flat and p.input_channels % channels == 0
               and not attribute(p.node, "transA", 0) and (weight := p.node.inputs[1]) is not None and len(weight.uses()) == 1]
    sizes = list(source.shape)[1:]
    fixed = [size for size in sizes if isinstance(size, int)]
    if len(fitting) != len(readers) or len(fixed) != len(sizes) or any(p.input_channels != prod(fixed) for p in fitting):
        return False
    span = spans.along(source, 1, channels)
    span.readers.extend((p, p.input_channels // channels) for p in fitting)
    spans.of(flat).pinned = "it is flattened"
    return True


def add_sum(spans: Spans, node: ir.Node) -> bool:
    """Two values of one shape, or a value and a constant for each channel, along the last axis."""
    first, second = node.inputs
    if first is None or second is None:
        return False
    for index, (value, other) in enumerate(((first, second), (second, first))):
        array = constant(other)
        if array is not None and constant(value) is None:
            return add_shift(spans, node, value, 1 - index)
    if first.shape is None or first.shape != second.shape or constant(first) is not None:
        return False
    for value in (second, node.outputs[0]):
        spans.join(first, value)
    return True


def add_shift(spans: Spans, node: ir.Node, value: ir.Value, index: int) -> bool:
    other = node.inputs[index]
    array = constant(other)
    dims = rank(value)
    if array is None or other is None or array.ndim != 1 or dims is None or array.size < 2 or len(other.uses()) != 1:
        return False
    if node.outputs[0].shape != value.shape:
        return False
    spans.along(value, dims - 1, array.size).shifts.append((node, index))
    spans.join(value, node.outputs[0])
    return True


def add_norm(spans: Spans, node: ir.Node, source: ir.Value) -> bool:
    """Its scale and bias are the last that it does: dividing them divides the result (SmoothQuant, Xiao 2022, section 4.2)."""
    dims = rank(source)
    arrays = [constant(v) for v in node.inputs[1:]]
    one_axis = dims is not None and attribute(node, "axis", -1) in (-1, dims - 1)
    if dims is None or not one_axis or len([v for v in node.outputs if v.name]) != 1:
        return False
    if any(a is None or a.ndim != 1 or a.size < 2 for a in arrays) or any(v is None or len(v.uses()) != 1 for v in node.inputs[1:]):
        return False
    if not arrays or arrays[0] is None:
        return False
    spans.pin(source, "it is normalized")
    span = spans.along(node.outputs[0], dims - 1, arrays[0].size)
    span.shifts.extend((node, index) for index in range(1, len(node.inputs)))
    return True


def add_gate(spans: Spans, node: ir.Node) -> bool:
    """One factor, the one behind a product, passes its channels on; the other, the gate, stays: up * silu(gate)."""
    first, second = node.inputs
    result = node.outputs[0]
    for value, gate in ((first, second), (second, first)):
        if value is None or gate is None or value is gate or value.shape is None or value.shape != result.shape:
            continue
        if constant(gate) is None and constant(value) is None and not spans.of(value).pinned and spans.of(value).channels:
            spans.pin(gate, f"it is a gate of '{result.name}'")
            spans.join(value, result)
            return True
    return False
