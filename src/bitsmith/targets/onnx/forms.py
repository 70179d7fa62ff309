"""Which nodes of a graph ONNX Runtime runs faster in float32 than in int8. Reads shapes, asks `speed` and `fastest`."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import onnx_ir as ir

from bitsmith.graph import attribute, consumers, sole_consumer
from bitsmith.targets.onnx.fastest import Link, fastest, total
from bitsmith.targets.onnx.speed import NODE, Cost, Crossing, Shape, cost, crossing

CLAMPS = ("Relu", "Clip")
CLAMPED = ("Conv", "Gemm", "MatMul", "Add", "Mul")              # kernels that clamp what they write
MOVEMENTS = frozenset({"MaxPool", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose", "Slice", "Pad", "Gather", "Split"})
ENDS_IN_FLOAT = frozenset({"Gemm", "MatMul"})
WORTH = 0.98            # of the time all in int8: a smaller gain is no reason to keep layers in float32
LITTLE = 1.0            # µs
SIDE = 64               # a size that the graph leaves open, the first axis excepted, which counts as one sample


def faster_in_float(graph: ir.Graph) -> Mapping[str, str]:
    """Names of the nodes that should stay float32, each with the reason. A node without a name goes by that of its first output."""
    layers = Layers.of(graph)
    int8 = fastest(layers.costs, layers.links, layers.followers)
    able = frozenset(name for name, (_, codes) in layers.costs.items() if codes != float("inf"))
    if total(layers.costs, layers.links, int8) > WORTH * total(layers.costs, layers.links, able):
        return {}
    return {name: reason(layers.costs[name]) for name in layers.costs if name in able - int8}


def reason(found: Cost) -> str:
    """Why a layer stays float32, in a user's words."""
    if abs(found.real - found.int8) < LITTLE:
        return "float32 like the layers around it"
    if found.real < found.int8:
        return f"faster in float32: about {found.real:.1f} µs, in int8 {found.int8:.1f}"
    return f"faster in float32 here: int8 would save about {found.real - found.int8:.1f} µs and pay more to get there and back"


@dataclass
class Layers:
    """costs      of each node that runs by itself: clamps are part of the layer before them
    links      the values between them
    followers  (leader, follower): movements run on codes beside whoever has them
    """

    costs: dict[str, Cost] = field(default_factory=dict)
    links: list[Link] = field(default_factory=list)
    followers: list[tuple[str, str]] = field(default_factory=list)
    owners: dict[ir.Node, str] = field(default_factory=dict)

    @classmethod
    def of(cls, graph: ir.Graph) -> "Layers":
        """All layers and links of a graph; constants and what is computed of them alone are no links."""
        layers = cls()
        for node in graph:
            layers.add(node)
        for value in graph.inputs:
            layers.link(value)
        for node in graph:
            for value in node.outputs:
                layers.link(value)
        return layers

    def add(self, node: ir.Node) -> None:
        """Count a node, or leave it to the layer whose output it clamps."""
        before = node.inputs[0].producer() if node.inputs and node.inputs[0] is not None else None
        if node.op_type in CLAMPS and before in self.owners and before.op_type in CLAMPED and sole_consumer(before.outputs[0]) is node:
            self.owners[node] = self.owners[before]
            return
        name = node.name or node.outputs[0].name or ""
        self.owners[node] = name
        self.costs[name] = cost_of(node)

    def link(self, value: ir.Value) -> None:
        """A value, where it leads from one layer to others."""
        node = value.producer()
        maker = None if node is None else self.owners[node]
        readers = [self.owners[n] for n in consumers(value) if n in self.owners and self.owners[n] != maker]
        ends: list[str | None] = [*dict.fromkeys(readers)]
        if value.is_graph_output():
            ends.append(None)
        if not ends or value.const_value is not None:
            return
        paid = crossing(shape_of(value), fed=node is None)
        if node is not None and node.op_type in ENDS_IN_FLOAT:
            paid = Crossing(paid.quantize, 0.0)
        self.links.append(Link(maker, tuple(ends), paid))
        if node is not None and maker is not None:
            self.followers += [(maker, self.owners[n]) for n in consumers(value) if n.op_type in MOVEMENTS and n in self.owners]
            self.followers += [(reader, maker) for reader in readers if node.op_type in MOVEMENTS]


def cost_of(node: ir.Node) -> Cost:
    """A node's cost, from its shapes and attributes."""
    inputs = [shape_of(v) for v in node.inputs if v is not None]
    if node.domain or not inputs or not node.outputs:
        return Cost(NODE, float("inf"))
    clamp = sole_consumer(node.outputs[0])
    return cost(
        node.op_type, inputs, shape_of(node.outputs[0]), kernel=attribute(node, "kernel_shape", ()), group=attribute(node, "group", 1),
        clipped=clamp is not None and clamp.op_type == "Clip" and len([v for v in clamp.inputs if v is not None]) == 3,
    )


def shape_of(value: ir.Value) -> Shape:
    """Sizes as numbers, for one sample; () where even the rank is unknown."""
    if value.shape is None:
        return ()
    return tuple(size if isinstance(size, int) else 1 if axis == 0 else SIDE for axis, size in enumerate(value.shape))
