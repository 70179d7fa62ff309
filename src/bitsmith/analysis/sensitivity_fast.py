"""All sensitivities from one pass: every sample is disturbed in one layer only, and different samples in different layers."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from bitsmith.analysis.sensitivity_cut import numbers, value_named
from bitsmith.analysis.sensitivity_file import BOTH, Effect
from bitsmith.analysis.sensitivity_layers import ACTIVATIONS, WEIGHTS, Adjustable, Choices
from bitsmith.analysis.sensitivity_samples import Samples
from bitsmith.calibration.statistics import Statistics
from bitsmith.graph import consumers
from bitsmith.numerics.encoding import Encoding
from bitsmith.numerics.formats import Array
from bitsmith.rewrites.edits import add_constant
from bitsmith.running.session import Session
from bitsmith.targets.onnx.insert import Readers

PROBE = 4               # bits: enough noise to see, not so much that nothing is left
LEAST_SAMPLES = 8       # disturbed in each layer and role; fewer data are passed several times

Offered = Mapping[str, Mapping[int, Mapping[str, Encoding]]]


@dataclass(frozen=True)
class Mix:
    """A place where samples are disturbed or not: an input that is 1 for those that are, and 0 for the others.

    part  (layer, role) that it belongs to
    shape what its array looks like: -1 for the samples
    """

    name: str
    part: tuple[str, str]
    shape: tuple[int, ...]


def estimate(network: ir.Model, choices: Choices, samples: Samples, offered: Offered, roles: Sequence[str]) -> list[Effect]:
    """Noise of all layers and roles at all widths, from one pass over the samples.

    A sample runs through the network with one layer's weights or result in `PROBE` bits. The noise at other widths follows from the
    error that they make in the layer itself: output noise grows with it in proportion, as long as it is small. Layers whose values
    have unknown rank are not estimated.
    """
    probes = {role: min(widths, key=lambda bits: abs(bits - PROBE)) for role, widths in offered.items() if widths}
    mixed, mixes = with_mixes(network, choices.layers, {role: offered[role][bits] for role, bits in probes.items()})
    noise = probe(Session(mixed), mixes, samples)
    errors = Errors(network.graph, choices.statistics)
    found: list[Effect] = []
    for layer in choices.layers:
        single = {
            role: errors.scale(layer, role, noise[layer.name, role], {bits: offered[role][bits] for bits in offered[role]}, probes[role])
            for role in probes if (layer.name, role) in noise
        }
        found += effects_of(layer, roles, single)
    return found


def effects_of(layer: Adjustable, roles: Sequence[str], single: Mapping[str, Mapping[int, float]]) -> Iterator[Effect]:
    """Both together disturb as much as each alone."""
    for role in roles:
        parts = [single.get(part, {}) for part in ((WEIGHTS, ACTIVATIONS) if role == BOTH else (role,))]
        for bits in parts[0]:
            if all(bits in part for part in parts):
                yield Effect(layer.name, role, bits, sum(part[bits] for part in parts))


@dataclass(frozen=True)
class Errors:
    """What encodings do to the numbers of a layer itself."""

    graph: ir.Graph
    statistics: Mapping[str, Statistics]

    def scale(
        self, layer: Adjustable, role: str, noise: float, encodings: Mapping[int, Mapping[str, Encoding]], probed: int
    ) -> dict[int, float]:
        """Bits -> noise of the outputs, in proportion to the error in the layer."""
        power = {bits: sum(self.of(name, role, found[name]) for name in layer.names(role)) for bits, found in encodings.items()}
        return {bits: noise * power[bits] / power[probed] if power[probed] > 0 else 0.0 for bits in encodings}

    def of(self, name: str, role: str, encoding: Encoding) -> float:
        """The power of an encoding's error: of a weight exactly, of a value's counted numbers by their bins' centres."""
        if role == WEIGHTS:
            array = numbers(self.graph, name)
            return float(np.square(encoding.simulate(array) - array, dtype=np.float64).sum())
        bins = self.statistics[name].bins()
        return float((np.square(encoding.simulate(bins.centres) - bins.centres) * bins.counts).sum())


class Mixer:
    """A copy of a network that is given places where samples are disturbed or not."""

    def __init__(self, network: ir.Model) -> None:
        self.model = network.clone()
        self.graph = self.model.graph
        first = next((v for v in self.graph.inputs if v.shape is not None and len(v.shape)), None)
        self.samples = None if first is None or first.shape is None else first.shape[0]
        self.mixes: list[Mix] = []

    def disturb_value(self, layer: str, name: str, encoding: Encoding) -> None:
        """A value through its codes."""
        value = value_named(self.graph, name)
        readers = Readers(value)
        lowest, highest = (np.float32(end) - encoding.zero_point.reshape(()) for end in (encoding.format.lowest, encoding.format.highest))
        scale, low, high = (self.constant(f"{name}/bitsmith_{part}", number) for part, number in
                            (("scale", encoding.scale.reshape(())), ("low", lowest), ("high", highest)))
        steps = self.node("Clip", [self.node("Round", [self.node("Div", [value, scale])]), low, high])
        self.mix(value, self.node("Mul", [steps, scale]), readers, (layer, ACTIVATIONS))

    def disturb_weight(self, layer: str, name: str, encoding: Encoding) -> None:
        """Every node that reads the weight once more, with what its codes say instead."""
        weight = self.graph.initializers[name]
        disturbed = self.constant(f"{name}/bitsmith_disturbed", encoding.simulate(numbers(self.graph, name)))
        for node in consumers(weight):
            readers = [Readers(value) for value in node.outputs]
            inputs = [disturbed if v is weight else v for v in node.inputs]
            twin = ir.Node(node.domain, node.op_type, inputs, list(node.attributes.values()), num_outputs=len(node.outputs))
            self.graph.append(twin)
            for value, other, uses in zip(node.outputs, twin.outputs, readers, strict=True):
                if uses.uses or uses.outputs:
                    self.mix(value, self.named(other, value), uses, (layer, WEIGHTS))

    def mix(self, value: ir.Value, other: ir.Value, readers: Readers, part: tuple[str, str]) -> None:
        """Whoever read the value reads value + which * (other - value); not where its rank is unknown."""
        if value.shape is None:
            return
        dims = list(value.shape)
        axis = next((i for i, dim in enumerate(dims) if not isinstance(dim, int) and dim == self.samples), 0)
        which = ir.Value(name=f"{value.name}/bitsmith_{part[1]}", type=ir.TensorType(ir.DataType.FLOAT))
        self.graph.inputs.append(which)
        change = self.node("Mul", [self.node("Sub", [other, value]), which])
        mixed = self.node("Add", [value, change])
        if readers.outputs:
            mixed.name, value.name = value.name, f"{value.name}/bitsmith_before"
        readers.redirect(self.graph, mixed)
        self.mixes.append(Mix(which.name or "", part, tuple(-1 if i == axis else 1 for i in range(len(dims)))))

    def node(self, op_type: str, inputs: Sequence[ir.Value]) -> ir.Value:
        """Appended; the graph is sorted in the end."""
        node = ir.Node("", op_type, inputs, num_outputs=1)
        self.graph.append(node)
        return self.named(node.outputs[0], inputs[0])

    def named(self, value: ir.Value, like: ir.Value) -> ir.Value:
        """A name that nobody has, and the type and shape of another value."""
        value.name = f"bitsmith_disturbed_{len(list(self.graph))}"
        value.type, value.shape = like.type, like.shape
        return value

    def constant(self, name: str, number: Array) -> ir.Value:
        return add_constant(self.graph, name, np.asarray(number, np.float32))


def with_mixes(
    network: ir.Model, layers: Sequence[Adjustable], encodings: Mapping[str, Mapping[str, Encoding]]
) -> tuple[ir.Model, list[Mix]]:
    """The network with every layer undisturbed and disturbed, and inputs that say which samples get which."""
    mixer = Mixer(network)
    for layer in layers:
        for name in layer.values if ACTIVATIONS in encodings else []:
            mixer.disturb_value(layer.name, name, encodings[ACTIVATIONS][name])
    for layer in layers:
        for name in layer.weights if WEIGHTS in encodings else []:
            mixer.disturb_weight(layer.name, name, encodings[WEIGHTS][name])
    mixer.graph.sort()
    return mixer.model, mixer.mixes


def probe(session: Session, mixes: Sequence[Mix], samples: Samples) -> dict[tuple[str, str], float]:
    """(layer, role) -> noise of the outputs as a share of their power, over the samples disturbed there."""
    parts = list(dict.fromkeys(mix.part for mix in mixes))
    place = {part: number for number, part in enumerate(parts)}
    noise, signal = np.zeros(len(parts)), np.zeros(len(parts))
    passes = math.ceil(LEAST_SAMPLES * len(parts) / samples.count) if parts else 0
    order = np.random.default_rng(0)
    for _ in range(passes):
        waiting = np.zeros(0, np.int64)
        for batch, _, reference in samples:
            count = len(next(iter(batch.values())))
            while len(waiting) < count:
                waiting = np.concatenate([waiting, order.permutation(len(parts))])
            chosen, waiting = waiting[:count], waiting[count:]
            switches = {m.name: (chosen == place[m.part]).astype(np.float32).reshape(m.shape) for m in mixes}
            found = session.run({**batch, **switches})
            np.add.at(noise, chosen, powers({name: found[name] - array for name, array in reference.items()}))
            np.add.at(signal, chosen, powers(reference))
    return {part: float(noise[i] / signal[i]) if signal[i] else 0.0 for i, part in enumerate(parts)}


def powers(outputs: Mapping[str, Array]) -> Array:
    """Sum of squares of each sample, over all outputs."""
    squares = [np.square(array.reshape(len(array), -1), dtype=np.float64).sum(axis=1) for array in outputs.values()]
    return np.asarray(np.sum(squares, axis=0))
