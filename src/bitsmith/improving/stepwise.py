"""A network that is run value by value, each node once, so that what is computed may be changed before others read it."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

import numpy as np
import onnx_ir as ir

from bitsmith.graph import constant
from bitsmith.loading.data import Data
from bitsmith.numerics.formats import Array
from bitsmith.rewrites.edits import holds_graph
from bitsmith.running.session import Session

MOST_SAMPLES = 64           # more moved no network's accuracy, mean or signal to noise
MOST_NUMBERS = 2**24        # of the largest value, over all samples: 64 MB


@dataclass
class Stepwise:
    """network  without branches and loops; left as it is
    known    the values that are still to be read, by name: one array for each batch
    """

    network: ir.Model
    known: dict[str, list[Array]]
    done: set[ir.Node] = field(default_factory=set)

    @classmethod
    def start(cls, network: ir.Model, batches: Sequence[dict[str, Array]]) -> "Stepwise":
        """At the network's inputs."""
        return cls(network, {name: [batch[name] for batch in batches] for name in batches[0]})

    def advance(self, value: ir.Value) -> list[Array]:
        """The value, batch after batch, from what is known; it and all that others still read stay known."""
        if value.name not in self.known:
            nodes = needed(value, self.known)
            self.run([node for node in self.network.graph if node in nodes], value)
        return self.known[value.name or ""]

    def run(self, nodes: list[ir.Node], value: ir.Value) -> None:
        self.done.update(nodes)
        kept = list(dict.fromkeys([*(v.name or "" for node in nodes for v in node.outputs if self.is_wanted(v)), value.name or ""]))
        part = cut_out(self.network, nodes, {name: arrays[0] for name, arrays in self.known.items()}, kept)
        session = Session(part, kept)
        feeds = [feed.name for feed in session.feeds]
        found = [session.run({name: self.known[name][i] for name in feeds}) for i in range(len(next(iter(self.known.values()))))]
        self.known |= {name: [batch[name] for batch in found] for name in kept}
        values = {v.name: v for node in self.network.graph for v in (*node.inputs, *node.outputs) if v is not None}
        self.known = {n: arrays for n, arrays in self.known.items() if n == value.name or self.is_wanted(values.get(n))}

    def is_wanted(self, value: ir.Value | None) -> bool:
        """True for values that a node reads which has not run."""
        return value is not None and any(use.node not in self.done for use in value.uses())

    def shift(self, value: ir.Value, change: Array) -> None:
        """Add to a known value before others read it."""
        if change.any():
            self.known[value.name or ""] = [np.asarray(array + change.astype(array.dtype)) for array in self.known[value.name or ""]]


def has_branches(network: ir.Model) -> bool:
    return any(holds_graph(node) for node in network.graph)


def needed(value: ir.Value, known: Collection[str]) -> set[ir.Node]:
    """The nodes that make a value out of known ones."""
    found: set[ir.Node] = set()
    waiting = [value]
    while waiting:
        node = waiting.pop().producer()
        if node is not None and node not in found:
            found.add(node)
            waiting += [v for v in node.inputs if v is not None and v.name not in known]
    return found


def cut_out(network: ir.Model, nodes: Sequence[ir.Node], known: dict[str, Array], wanted: Sequence[str]) -> ir.Model:
    """A network of copies of these nodes."""
    copies: dict[ir.Value, ir.Value] = {}
    inputs: list[ir.Value] = []
    initializers: list[ir.Value] = []

    def copy(value: ir.Value) -> ir.Value:
        if value not in copies:
            copies[value] = ir.Value(name=value.name, type=value.type, shape=value.shape)
            if constant(value) is not None:
                copies[value].const_value = value.const_value
                initializers.append(copies[value])
            elif value.name in known:
                copies[value].type, copies[value].shape = ir.TensorType(ir.DataType.from_numpy(known[value.name].dtype)), None
                inputs.append(copies[value])
        return copies[value]

    made = [
        ir.Node(node.domain, node.op_type, [None if v is None else copy(v) for v in node.inputs], list(node.attributes.values()),
                outputs=[copy(v) for v in node.outputs], name=node.name)
        for node in nodes
    ]
    outputs = [v for node in made for v in node.outputs if v.name in set(wanted)]
    graph = ir.Graph(inputs, outputs, nodes=made, initializers=initializers, opset_imports=dict(network.graph.opset_imports), name="part")
    return ir.Model(graph, ir_version=network.ir_version, functions=list(network.functions.values()))


def few_samples(network: ir.Model, data: Data) -> list[dict[str, Array]]:
    """The first samples of the data in batches, so few that the network's largest value stays within bounds."""
    fixed = fixed_count(network)
    largest = max((numbers(v) for node in network.graph for v in node.outputs), default=1)
    count = max(1, min(MOST_SAMPLES, MOST_NUMBERS // max(1, largest)))
    size = fixed or min(count, 32)
    found = list(data.limit(max(count, size)).batches(size))
    if fixed and len(found) > 1 and len(next(iter(found[-1].values()))) < fixed:
        found.pop()
    return found


def numbers(value: ir.Value) -> int:
    """How many a sample has, where the shape is known."""
    return 1 if value.shape is None else int(np.prod([dim for dim in list(value.shape)[1:] if isinstance(dim, int)], dtype=np.int64))


def fixed_count(network: ir.Model) -> int | None:
    """How many samples the network takes at once; None where any number will do."""
    from bitsmith.running.feeds import fixed_samples, read_feeds
    from bitsmith.running.serialized import serialize

    return fixed_samples(read_feeds(serialize(network).message.graph))
