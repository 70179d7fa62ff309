"""A network with scales and decoded weights as inputs, tried with many: nothing is built again for another try, and only what lies
behind the first change is run."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import onnx_ir as ir

from bitsmith.graph import constant
from bitsmith.improving.draft import Draft, Progress
from bitsmith.improving.frontier import MOST_KEPT, in_order
from bitsmith.improving.loss import OutputLoss
from bitsmith.improving.scale_groups import DECODED, Group, find_biases, scale_plan
from bitsmith.improving.stepwise import cut_out, has_branches
from bitsmith.numerics.formats import Array
from bitsmith.rewrites.edits import discard
from bitsmith.running.serialized import serialize
from bitsmith.running.session import open_session

Batch = dict[str, Array]


@dataclass
class Trial:
    """What the outputs lose with the scales of the groups times exp(factors), and what was tried.

    network   as the draft is simulated; gets the inputs
    groups    in the order in which the network reads them, as `find_groups` has them
    cut       of so many groups in front of it the settled factors count, and what is read behind is kept, by the number of the batch
    """

    draft: Draft
    network: ir.Model
    groups: Sequence[Group]
    loss: OutputLoss
    progress: Progress | None
    tried: dict[bytes, float] = field(default_factory=dict)
    cut: int = 0

    def __post_init__(self) -> None:
        self.biases = find_biases(self.draft, self.network)
        self.settled = np.zeros(len(self.groups))
        for name, array in self.held(self.settled).items():
            make_input(self.network.graph, name, array)
        self.kept: dict[int, Batch] = {}
        self.behind = [] if has_branches(self.network) else nodes_behind(self.network.graph, self.groups)
        self.outputs = [v.name or "" for v in self.network.graph.outputs]
        self.whole = self.part = runner(self.network, self.outputs)

    def held(self, factors: Array) -> Batch:
        """What the inputs are given: what the network with such a plan would hold."""
        encodings = scale_plan(self.draft, self.groups, factors).encodings
        found = {f"{name}{DECODED}": encodings[name].simulate(bias) for name, bias in self.biases.items()}
        for group in self.groups:
            encoding = encodings[group.values[0]]
            found |= dict.fromkeys(group.held, encoding.scale if group.weights is None else encoding.simulate(group.weights))
        return found

    def decide(self, factors: Array) -> float:
        key = b"".join(group.scaled(factor).scale.tobytes() for group, factor in zip(self.groups, factors, strict=True))
        if key not in self.tried:
            found = self.run(self.loss.deciding, factors)
            self.tried[key] = self.loss.decide(found.__getitem__)
            if self.progress is not None:
                self.progress(len(self.tried), None)
        return self.tried[key]

    def confirm(self, factors: Array) -> float:
        return self.loss.confirm(self.run(self.loss.confirming, factors).__getitem__)

    def run(self, numbers: Sequence[int], factors: Array) -> dict[int, list[Array]]:
        """The outputs for these batches, from what is kept where that is computed with the same factors."""
        held = self.held(factors)
        fits = self.cut > 0 and np.array_equal(factors[:self.cut], self.settled[:self.cut]) and self.kept.keys() >= set(numbers)
        run, given = (self.part, self.kept) if fits else (self.whole, dict(enumerate(self.loss.samples)))
        found = in_order(lambda number: run({**given[number], **held}), numbers)
        return {number: [values[name] for name in self.outputs] for number, values in zip(numbers, found, strict=True)}

    def about(self, here: Array, direction: Array) -> None:
        """Get ready for tries from here along a direction: what they have in common is computed now, where it fits into memory."""
        first = int(np.flatnonzero(direction)[0])
        if first < self.cut or not np.array_equal(here[:self.cut], self.settled[:self.cut]):
            self.cut, self.kept = 0, {}
        self.settled = here
        if self.behind and first > self.cut:
            self.advance(first)

    def advance(self, cut: int) -> None:
        start = {number: dict(self.loss.samples[number]) for number in self.loss.deciding} if self.cut == 0 else self.kept
        held, known = self.held(self.settled), next(iter(start.values()))
        wanted = [name for name in read_by(self.network.graph, self.behind[cut]) if name not in held]
        made = set(self.network.graph) - self.behind[cut] if self.cut == 0 else self.behind[self.cut] - self.behind[cut]
        run = self.cut_out(made, {**known, **held}, [name for name in wanted if name not in known])
        kept: dict[int, Batch] = {}
        for number, found in zip(start, in_order(lambda batch: run({**batch, **held}), start.values()), strict=True):
            kept[number] = {name: found[name] for name in wanted}
            if sum(array.nbytes for array in kept[number].values()) * len(start) > MOST_KEPT:
                return
        self.cut, self.kept = cut, kept
        outputs = [name for name in self.outputs if name not in wanted]
        self.part = self.cut_out(self.behind[cut], {**next(iter(kept.values())), **held}, outputs)

    def cut_out(self, nodes: set[ir.Node], known: Batch, wanted: Sequence[str]) -> Callable[[Batch], Batch]:
        return runner(cut_out(self.network, [node for node in self.network.graph if node in nodes], known, wanted), wanted)


def runner(network: ir.Model, wanted: Sequence[str]) -> Callable[[Batch], Batch]:
    """Known values -> these and the wanted ones."""
    if not wanted:
        return lambda batch: batch
    # not optimised: onnxruntime 1.31 takes Q and DQ with computed scales about a GlobalAveragePool for ones that it may leave out
    session = open_session(serialize(network), False, 1)
    read = [feed.name for feed in session.get_inputs()]
    return lambda batch: {**batch, **dict(zip(wanted, session.run(wanted, {name: batch[name] for name in read}), strict=True))}


def nodes_behind(graph: ir.Graph, groups: Sequence[Group]) -> list[set[ir.Node]]:
    """For every group, the nodes whose results depend on what it or a later one holds."""
    found: list[set[ir.Node]] = []
    nodes: set[ir.Node] = set()
    names: set[str] = set()
    for group in reversed(groups):
        names.update(group.held)
        for node in graph:
            if node not in nodes and any(v is not None and v.name in names for v in node.inputs):
                nodes.add(node)
                names.update(v.name or "" for v in node.outputs)
        found.append(set(nodes))
    return found[::-1]


def read_by(graph: ir.Graph, behind: set[ir.Node]) -> list[str]:
    """Inputs and values made in front that these nodes read or that the graph hands out."""
    read = [v for node in graph if node in behind for v in node.inputs if v is not None and constant(v) is None]
    made = [v for v in (*read, *graph.outputs) if v.producer() not in behind]
    return list(dict.fromkeys(v.name or "" for v in made))


def make_input(graph: ir.Graph, name: str, array: Array) -> None:
    """An input of that name in place of the initializer or of the node's result that had it."""
    held = graph.initializers.pop(name, None)
    made = ir.Value(name=name, shape=ir.Shape(array.shape), type=ir.TensorType(ir.DataType.FLOAT))
    old = held or next(v for node in graph for v in node.outputs if v.name == name)
    node = old.producer()
    old.replace_all_uses_with(made)
    if node is not None:
        discard(node)           # and its numbers: onnxruntime refuses those that nothing reads
    graph.inputs.append(made)
