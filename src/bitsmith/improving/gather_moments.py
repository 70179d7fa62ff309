"""Runs a network, in float and as its plan says, and gathers what layers read and what their results lack."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial, reduce
from typing import TypeVar

import numpy as np
import onnx_ir as ir

from bitsmith.graph import constant, consumers, input_at
from bitsmith.improving.as_matrices import Positions
from bitsmith.improving.draft import Draft
from bitsmith.improving.frontier import Frontier, in_order
from bitsmith.improving.layers import Layer
from bitsmith.improving.second_order import Moments
from bitsmith.loading.data import Data
from bitsmith.numerics.formats import Array
from bitsmith.running.session import Session
from bitsmith.targets.onnx.insert import insert_quantization
from bitsmith.targets.onnx.set_apart import keep_products_apart

ROWS = 2**14            # that a layer's moments are summed over
SAMPLES = 512
HELD = 2**26            # numbers: results in float that wait for their layers

R = TypeVar("R")


@dataclass(frozen=True)
class Samples:
    """The data, and for each of its samples so many results that layers are judged by, chosen by chance from a fixed seed."""

    data: Data
    count: int

    @classmethod
    def of(cls, data: Data) -> "Samples":
        return cls(data.limit(SAMPLES), min(SAMPLES, data.samples or SAMPLES))

    def positions(self, layer: int, batch: int) -> Positions:
        """The same for the same layer and batch."""
        wanted = -(-ROWS // self.count)

        def choose(total: int) -> Array:
            chance = np.random.default_rng([layer, batch, total])
            return np.arange(total) if wanted >= total else np.sort(chance.choice(total, wanted, replace=False))

        return choose

    def each(self, run: Callable[[int, dict[str, Array]], R]) -> Iterator[R]:
        """What `run` makes of every batch, on all processors, in order."""
        return in_order(lambda numbered: run(*numbered), enumerate(self.data))


def simulate_activations(draft: Draft) -> ir.Model:
    """The network with Q/DQ at its activations, its weights and biases as the real numbers that their codes stand for."""
    stored = draft.network.graph.initializers
    computed = {name: e for name, e in draft.plan.encodings.items() if name not in stored or constant(stored[name]) is None}
    plan = replace(draft.plan, encodings=computed)
    model = insert_quantization(draft.network, plan, moves_codes=False)
    for name, encoding in draft.plan.encodings.items():
        if name not in computed and (array := constant(stored[name])) is not None:
            put_numbers(model, name, encoding.simulate(array))
    keep_products_apart(model, ())
    return model


def put_numbers(model: ir.Model, name: str, array: Array) -> None:
    """Other real numbers for a weight or bias."""
    value = model.graph.initializers[name]
    value.const_value = ir.tensor(np.ascontiguousarray(array, np.float32), name=name)


def wanted_results(network: ir.Model, layers: Sequence[Layer], samples: Samples) -> Iterator[list[Array]]:
    """For each layer what it should make, batch after batch [groups, rows, channels]: of several layers in one pass, as memory permits."""
    for first, part in parts(layers, samples):
        session = Session(network, [layer.made for layer in part], threads=1)
        by_batch = samples.each(partial(results_of, session, first, part, samples))
        yield from (list(column) for column in zip(*by_batch, strict=True))


def results_of(
    session: Session, first: int, layers: Sequence[Layer], samples: Samples, number: int, batch: dict[str, Array]
) -> list[Array]:
    """What each layer makes of one batch."""
    made = session.run(batch)
    places = (samples.positions(first + index, number) for index in range(len(layers)))
    return [layer.product.results(made[layer.made], at) for layer, at in zip(layers, places, strict=True)]


def parts(layers: Sequence[Layer], samples: Samples) -> Iterator[tuple[int, Sequence[Layer]]]:
    """(number of the first, layers): as many as can wait together."""
    first = held = 0
    for index, layer in enumerate(layers):
        size = max(ROWS, samples.count) * channels_of(layer)
        if held and held + size > HELD:
            yield first, layers[first:index]
            first, held = index, 0
        held += size
    if layers[first:]:
        yield first, layers[first:]


def channels_of(layer: Layer) -> int:
    weight = constant(layer.node.inputs[1])
    assert weight is not None
    groups, channels, _ = layer.product.weights(weight).shape
    return int(groups * channels)


def gather_moments(simulated: Frontier, number: int, layer: Layer, wanted: Sequence[Array], samples: Samples) -> Moments:
    """What the layer reads, everything before it quantized, and how far its results would be from those wanted, were it in float.

    simulated   is run as far as the layer, whose weights and those behind it are still to be found
    """
    read, beside = names_in(simulated.network, layer)
    weight, bias = constant(layer.node.inputs[1]), constant(input_at(layer.node, 2))
    assert weight is not None
    matrix = layer.product.weights(weight).swapaxes(1, 2)

    def look(batch_number: int, found: dict[str, Array]) -> Moments:
        at = samples.positions(number, batch_number)
        x = layer.product.rows(found[read], at)
        made = x @ matrix + (0 if bias is None else bias.reshape(len(matrix), 1, -1))
        for name in beside:
            made += layer.product.results(found[name], at)
        return Moments.of(x, wanted[batch_number] - made)

    return reduce(Moments.merge, simulated.each([read, *beside], read, look))


def names_in(simulated: ir.Model, layer: Layer) -> tuple[str, list[str]]:
    """What the layer reads in the simulated network, and what is added to its result there."""
    (node,) = consumers(simulated.graph.initializers[layer.weight])
    read = node.inputs[0]
    assert read is not None
    if layer.sum is None:
        return read.name or "", []
    add, index = layer.sum
    twin = next(n for n in simulated.graph if n.name == add.name)
    other = twin.inputs[index]
    assert other is not None
    return read.name or "", [other.name or ""]
