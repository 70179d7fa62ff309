"""Learned rounding: which neighbour each weight goes to, block by block, by gradients. Needs the extra `torch`."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import onnx_ir as ir

from bitsmith.errors import LoadError
from bitsmith.graph import constant
from bitsmith.improving.blocks import Block, find_blocks
from bitsmith.improving.draft import Draft, Progress, with_reasons
from bitsmith.improving.gather_moments import SAMPLES, put_numbers, simulate_activations
from bitsmith.improving.layers import Layer, find_layers
from bitsmith.improving.round_weights import round_weights
from bitsmith.numerics import Encoding, Format, Integer
from bitsmith.numerics.formats import Array
from bitsmith.numerics.signs import TERNARY
from bitsmith.running.session import Session
from bitsmith.training.differentiable import without_meaning
from bitsmith.training.reconstruct import Learned, Task, reconstruct

STEPS = 300
ENOUGH = 256        # samples; AdaRound comes within 2 points of float with these and gains little from more (Nagel 2020, section 5)
SEED = 0


def learn_rounding(draft: Draft, progress: Progress | None = None) -> Draft:
    """Round weights as `round_weights` does, then learn better codes block by block: AdaRound, BRECQ and QDrop in one.

    A block lies between two values through which everything passes. A block whose error on samples kept aside did not fall keeps what it
    had, and so does one with an operator that has no differentiable meaning; the plan's reasons say so. Scales stay as they were chosen.

    Raises LoadError where PyTorch is not installed, GoneError where the data cannot be read again.
    """
    check_torch()
    rounded = round_weights(draft)
    network, reasons = rounded.network.clone(), dict(rounded.plan.reasons)
    layers = {layer.weight: layer for layer in find_layers(draft.network.graph, draft.plan.encodings)[0]}
    learnable = {name for name in layers if has_neighbours(rounded.plan.encodings[name].format)}
    blocks, simulated = list(find_blocks(draft.network.graph, learnable)), simulate_activations(rounded)
    for number, block in enumerate(blocks):
        inside = [layers[v.name or ""] for node in block.nodes for v in node.inputs if v is not None and v.name in learnable]
        said = learn_block(block, inside, draft, replace(rounded, network=network), simulated)
        reasons |= {layer.weight: f"{reasons[layer.weight]}; {said}" for layer in inside}
        if progress is not None:
            progress(number + 1, len(blocks))
    better = replace(rounded, network=network, plan=replace(rounded.plan, reasons=reasons))
    few = sum(len(next(iter(batch.values()))) for batch in draft.samples("learn_rounding").limit(ENOUGH))
    said = f"its rounding was learned from {few} samples, which it may fit too closely: give {ENOUGH} or more, or use 'round_weights'"
    return better if few >= ENOUGH else replace(better, plan=with_reasons(better.plan, {network.graph.name or "network": said}))


def has_neighbours(format: Format) -> bool:
    """True where every whole number between the ends is a code: what is learned is which of two neighbours to take."""
    return isinstance(format, Integer) or format == TERNARY


def check_torch() -> None:
    try:
        import torch  # noqa: F401
    except ImportError as problem:
        raise LoadError("Learned rounding needs PyTorch; install bitsmith[torch], or use the refinement 'round_weights'.") from problem


def learn_block(block: Block, layers: list[Layer], exact: Draft, rounded: Draft, simulated: ir.Model) -> str:
    """Put what was learned into the rounded network and the simulated one. Says how it went."""
    if strange := without_meaning(block.nodes):
        return f"not learned: {strange[0].op_type} has no differentiable meaning"
    encodings = rounded.plan.encodings
    task = task_of(block, layers, exact, rounded)
    given, wanted = values_of(exact, exact.network, [block.source, block.result])
    (read,) = values_of(exact, simulated, [read_name(block, simulated)])
    learned = reconstruct(task, read, given, wanted, steps=STEPS, seed=SEED)
    if not learned.after < learned.before:
        return "learned rounding gained nothing"
    accept(learned, encodings, rounded.network, simulated)
    return f"learned with its block: {learned.after / learned.before:.2f} of the squared error before"


def task_of(block: Block, layers: list[Layer], exact: Draft, rounded: Draft) -> Task:
    before, after = exact.network.graph.initializers, rounded.network.graph.initializers
    encodings = rounded.plan.encodings
    weights = {layer.weight: (numbers(before, layer.weight), encodings[layer.weight],
                              encodings[layer.weight].quantize(numbers(after, layer.weight))) for layer in layers}
    biases = {layer.bias: numbers(after, layer.bias) for layer in layers if layer.bias is not None}
    made = {v.name or "" for node in block.nodes for v in node.outputs}
    return Task(block.nodes, block.source, block.result, weights, biases, {name: e for name, e in encodings.items() if name in made})


def values_of(draft: Draft, model: ir.Model, names: list[str]) -> list[Array]:
    """Values for all samples."""
    session = Session(model, names)
    parts = [session.run(batch) for batch in draft.samples("learn_rounding").limit(SAMPLES)]
    return [np.concatenate([part[name] for part in parts]) for name in names]


def read_name(block: Block, simulated: ir.Model) -> str:
    """What the simulated network's readers of the block's source read."""
    first = next(node for node in block.nodes if any(v is not None and v.name == block.source for v in node.inputs))
    index = next(i for i, v in enumerate(first.inputs) if v is not None and v.name == block.source)
    twin = next(node for node in simulated.graph if node.name == first.name)
    found = twin.inputs[index]
    assert found is not None
    return found.name or ""


def accept(learned: Learned, encodings: Mapping[str, Encoding], network: ir.Model, simulated: ir.Model) -> None:
    for name, codes in learned.codes.items():
        real = encodings[name].dequantize(codes.astype(encodings[name].format.storage))
        put_numbers(network, name, real)
        put_numbers(simulated, name, real)
    for name, bias in learned.biases.items():
        put_numbers(network, name, bias)
        put_numbers(simulated, name, encodings[name].simulate(bias) if name in encodings else bias)


def numbers(stored: Mapping[str, ir.Value], name: str) -> Array:
    array = constant(stored[name])
    assert array is not None
    return array
