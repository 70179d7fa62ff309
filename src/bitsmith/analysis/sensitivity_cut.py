"""Cuts a network in front of one layer: what lies before runs once for a batch, what lies behind once for every setting of the layer."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import onnx_ir as ir
from onnx_ir.convenience import extract

from bitsmith.analysis.sensitivity_layers import Adjustable
from bitsmith.graph import constant
from bitsmith.numerics.encoding import Encoding
from bitsmith.numerics.formats import Array
from bitsmith.running.feeds import Batch
from bitsmith.running.session import Session
from bitsmith.targets.onnx.insert import Readers

SCALE, LOW, HIGH = "/bitsmith_scale", "/bitsmith_low", "/bitsmith_high"
OPEN = {SCALE: np.float32(2.0**-80), LOW: np.float32(-np.inf), HIGH: np.float32(np.inf)}       # passes numbers from 2^-57 to 2^47


class Cut:
    """A network with one layer that can be set while it runs.

    network   in normal form; left as it is
    layer     whose weights become inputs, and whose results pass a switch: scale, lowest and highest step
    """

    def __init__(self, network: ir.Model, layer: Adjustable) -> None:
        self.layer = layer
        behind = network.clone()
        names = cut_names(behind.graph, layer)
        self.weights = {name: numbers(network.graph, name) for name in layer.weights}
        passing = [value_named(behind.graph, name) for name in names]
        for name in layer.weights:
            give(behind.graph.initializers[name])
        switches = [switch for name in layer.values for switch in add_switch(behind.graph, name)]
        outputs = [v.name or "" for v in behind.graph.outputs]
        self.fed = {name: value.name or "" for name, value in zip(names, passing, strict=True)}       # a result is renamed by its switch
        part = extract(behind.graph, [*self.fed.values(), *layer.weights, *switches], outputs)
        self.before = None if set(names) <= {v.name for v in network.graph.inputs} else Session(network, names)
        self.behind = Session(ir.Model(part, ir_version=behind.ir_version, functions=list(behind.functions.values())))

    def arrive(self, batch: Batch) -> Mapping[str, Array]:
        """What the part behind reads, for one batch; the same for all settings."""
        found = batch if self.before is None else self.before.run(batch)
        return {fed: found[name] for name, fed in self.fed.items()}

    def run(self, arrived: Mapping[str, Array], setting: Mapping[str, Encoding]) -> dict[str, Array]:
        """The network's outputs where those of the layer's weights and values that `setting` names pass through these encodings."""
        feeds = dict(arrived)
        for name, array in self.weights.items():
            feeds[name] = setting[name].simulate(array) if name in setting else array
        for name in self.layer.values:
            feeds |= {f"{name}{part}": number for part, number in switch_setting(setting.get(name)).items()}
        return self.behind.run(feeds)


def numbers(graph: ir.Graph, name: str) -> Array:
    array = constant(graph.initializers[name])
    assert array is not None
    return array


def give(weight: ir.Value) -> None:
    """An initializer becomes a plain value, to be fed."""
    graph = weight.graph
    assert isinstance(graph, ir.Graph)
    del graph.initializers[weight.name or ""]
    weight.const_value = None
    graph.inputs.append(weight)


def switch_setting(encoding: Encoding | None) -> dict[str, Array]:
    """Scale, lowest and highest step of an encoding with one scale; None: everything passes."""
    if encoding is None:
        return {part: np.asarray(number) for part, number in OPEN.items()}
    ends = (encoding.format.lowest, encoding.format.highest)
    steps = [(np.float32(end) - encoding.zero_point).astype(np.float32).reshape(()) for end in ends]
    return dict(zip((SCALE, LOW, HIGH), (encoding.scale.reshape(()), *steps), strict=True))


def add_switch(graph: ir.Graph, name: str) -> list[str]:
    """Whoever read the value reads Clip(Round(value / scale), low, high) * scale. Returns the names of the three new inputs.

    Rounding comes before the zero point, so these are the numbers that QuantizeLinear and DequantizeLinear give, bit for bit.
    """
    value = value_named(graph, name)
    readers = Readers(value)
    scale, low, high = (add_scalar(graph, f"{name}{part}") for part in (SCALE, LOW, HIGH))
    steps, last = value, value.producer()
    for op_type, operands in (("Div", [scale]), ("Round", []), ("Clip", [low, high]), ("Mul", [scale])):
        made = ir.Value(name=f"{name}/bitsmith_{op_type}", type=value.type, shape=value.shape)
        node = ir.Node("", op_type, [steps, *operands], outputs=[made], name=f"{made.name}")
        put_behind(graph, last, node)
        steps, last = made, node
    if readers.outputs:
        value.name, steps.name = f"{name}/bitsmith_before", name
    readers.redirect(graph, steps)
    return [scale.name or "", low.name or "", high.name or ""]


def put_behind(graph: ir.Graph, last: ir.Node | None, node: ir.Node) -> None:
    if last is None:
        graph.insert_before(graph[0], node)
    else:
        graph.insert_after(last, node)


def add_scalar(graph: ir.Graph, name: str) -> ir.Value:
    value = ir.Value(name=name, type=ir.TensorType(ir.DataType.FLOAT), shape=ir.Shape([]))
    graph.inputs.append(value)
    return value


def value_named(graph: ir.Graph, name: str) -> ir.Value:
    return next(v for v in [*graph.inputs, *(o for node in graph for o in node.outputs)] if v.name == name)


def cut_names(graph: ir.Graph, layer: Adjustable) -> list[str]:
    """Names of the values that pass from what lies before a layer to what does not, in the network's order."""
    nodes = list(graph)
    start = first_place(nodes, layer)
    made = {v: None for v in graph.inputs if not v.is_initializer()} | {v: None for node in nodes[:start] for v in node.outputs}
    read = {v for node in nodes[start:] for v in reads(node)} | set(graph.outputs)
    return [v.name or "" for v in made if v in read]


def first_place(nodes: Sequence[ir.Node], layer: Adjustable) -> int:
    """The first node that anything of the layer changes the result of."""
    weights, values = set(layer.weights), set(layer.values)
    places = [i for i, node in enumerate(nodes) if any(v is not None and v.name in weights for v in node.inputs)]
    made = [i + 1 for i, node in enumerate(nodes) if any(v.name in values for v in node.outputs)]
    fed = [0] if values - {v.name for node in nodes for v in node.outputs} else []
    return min([*places, *made, *fed], default=0)


def reads(node: ir.Node) -> Iterator[ir.Value]:
    """The values that a node reads, those within its branches included."""
    yield from (v for v in node.inputs if v is not None)
    for attribute in node.attributes.values():
        branches = [attribute.value] if attribute.type == ir.AttributeType.GRAPH else attribute.value if (
            attribute.type == ir.AttributeType.GRAPHS) else []
        for branch in branches:
            yield from (v for inner in branch for v in reads(inner))
            yield from branch.outputs
