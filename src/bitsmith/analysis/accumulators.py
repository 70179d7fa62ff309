"""How far the sums of products of a quantized network go: proven from its weights and the ranges of its codes, and seen on data."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import onnx_ir as ir

from bitsmith.errors import DataError
from bitsmith.graph import sole_consumer
from bitsmith.integer.bounds import Bounds
from bitsmith.integer.instructions import CallFloat, Instruction
from bitsmith.integer.pairs import could_saturate, count_saturated, pairs_of, worst_in_any_order, worst_pairs
from bitsmith.integer.products import Convolve, MatrixMultiply
from bitsmith.integer.program import Program
from bitsmith.loading.data import open_data
from bitsmith.lowering import lower
from bitsmith.numerics.formats import Array
from bitsmith.operators import is_clamp, operator_of
from bitsmith.planning.plan import Plan
from bitsmith.report.rows import Sums

WIDTHS = (16, 24, 32)
SAMPLES = 64            # run at a time
SATURATES = ("{} of {} layers could saturate on x86 without VNNI, where onnxruntime adds pairs of products up in 16 bits; cures: "
             "its session option session.x64quantprecision = 1, or weights = 7 in the recipe, proven safe")
Product = Convolve | MatrixMultiply
Progress = Callable[[int, int | None], None]


@dataclass(eq=False)
class Watched:
    """A product that notes how far its accumulators go; an instruction like the one that it stands for.

    pairs      of its weights, as x86 without VNNI adds products up; None where it does not
    lowest, highest   accumulators seen, by output channel; None before it ran
    saturated  sums of pairs seen that saturate, by output channel; None where nobody counted
    """

    product: Product
    pairs: Array | None
    lowest: Array | None = None
    highest: Array | None = None
    saturated: Array | None = None

    @property
    def inputs(self) -> tuple[str, ...]:
        return self.product.inputs

    @property
    def output(self) -> str:
        return self.product.output

    @property
    def seen(self) -> Bounds | None:
        return None if self.lowest is None or self.highest is None else Bounds(self.lowest, self.highest)

    def run(self, *codes: Array) -> Array:
        """What the product makes."""
        sums, requantize = self._plain.run(*codes), self.product.requantize
        axis = 1 if isinstance(self.product, Convolve) else sums.ndim - 1
        by_channel = np.moveaxis(sums, axis, 0).reshape(sums.shape[axis], -1).astype(np.int64)
        self._note(by_channel if self.product.weights is not None else by_channel.reshape(1, -1))
        if self.pairs is not None and self.product.weights is not None and (axis == 1 or self.product.weights.ndim == 2):
            found = count_saturated(self.product, self.pairs, codes[0])
            self.saturated = found if self.saturated is None else self.saturated + found
        return sums if requantize is None else requantize.apply(sums, axis=axis)

    def _note(self, sums: Array) -> None:
        if sums.size:
            low, high = sums.min(1), sums.max(1)
            self.lowest = low if self.lowest is None else np.minimum(low, self.lowest)
            self.highest = high if self.highest is None else np.maximum(high, self.highest)

    @cached_property
    def _plain(self) -> Product:
        return replace(self.product, requantize=None)


@dataclass(frozen=True, eq=False)
class Channels:
    """The accumulators of one layer, output channel by output channel; Sums says the same of all together.

    proven   the lowest and highest value that each can take, and does for some codes
    seen     on data; None where there were none
    """

    sums: Sums
    proven: Bounds
    seen: Bounds | None

    def to_dict(self) -> dict[str, Any]:
        channels = {"lowest": self.proven.lowest.ravel().tolist(), "highest": self.proven.highest.ravel().tolist(),
                    "bits": self.proven.bits.ravel().tolist()}
        if self.seen is not None:
            channels |= {"seen_lowest": self.seen.lowest.tolist(), "seen_highest": self.seen.highest.tolist()}
        return {**self.sums.to_dict(), "by_channel": channels}


@dataclass(frozen=True, eq=False)
class Accumulators:
    """layers    every product of codes, in the network's order
    left_out  products that compute in float: node -> why
    samples   that were run
    """

    layers: tuple[Channels, ...]
    left_out: Mapping[str, str] = field(default_factory=dict)
    samples: int = 0

    @property
    def saturating(self) -> list[str]:
        """The layers in which pairs of products could saturate on x86 processors without VNNI."""
        return [found.sums.layer for found in self.layers if found.sums.pairs]

    def to_dict(self) -> dict[str, Any]:
        """As plain data for JSON."""
        return {"samples": self.samples, "layers": [found.to_dict() for found in self.layers], "left_out": dict(self.left_out),
                "saturating": self.saturating}


def accumulators(network: ir.Model, plan: Plan, data: Any = None, *, progress: Progress | None = None) -> Accumulators:
    """The accumulators of every convolution and matrix product: their exact worst case from the weights, the bias and the input's codes,
    the smallest width that never overflows, and, with data, how far they went.

    data   anything that `open_data` takes

    Raises LoweringError where ranges are found at run time, DataError where data do not fit.
    """
    return look_at(lower(network, plan), network, plan, data, progress)


def look_at(program: Program, network: ir.Model, plan: Plan, data: Any = None, progress: Progress | None = None) -> Accumulators:
    """The same of a network whose program is known."""
    watched = {i.output: Watched(i, pairs_of(i)) for i in program.instructions if isinstance(i, Product)}
    samples = 0 if data is None else run_watched(program, watched, open_data(data, network), progress)
    layers, left_out = [], {}
    for node in network.graph:
        if is_product(node):
            product, name = product_at(node, watched, plan), node.name or node.outputs[0].name or ""
            if product is None:
                left_out[name] = program.in_float.get(name) or plan.reasons.get(name) or "the plan gives no codes"
            else:
                layers.append(describe(node, product, plan))
    return Accumulators(tuple(layers), left_out, samples)


def tell_of_pairs(network: ir.Model, plan: Plan) -> Plan:
    """The plan, saying which layers could saturate where pairs of products are added up in 16 bits, and what to do about it.

    Nothing is said of ranges found at run time.
    """
    if plan.dynamic or not any(is_product(node) and node.inputs[0] is not None and node.inputs[0].name in plan.encodings
                               for node in network.graph):
        return plan
    found = accumulators(network, plan)
    if not found.saturating:
        return plan
    reasons = dict(plan.reasons)
    weights = {node.outputs[0].name: node.inputs[1].name or "" for node in network.graph if is_product(node) and node.inputs[1] is not None}
    for sums in (layer.sums for layer in found.layers if layer.sums.pairs):
        name, said = weights[sums.output], f"{sums.pairs} of {sums.channels} channels could saturate on x86 without VNNI"
        reasons[name] = f"{reasons[name]}; {said}" if name in reasons else said
    told = SATURATES.format(len(found.saturating), len(found.layers))
    return replace(plan, reasons=reasons, made_with={**plan.made_with, "saturates": told})


def is_product(node: ir.Node) -> bool:
    operator = operator_of(node)
    return operator is not None and operator.is_product


def run_watched(program: Program, watched: Mapping[str, Watched], data: Any, progress: Progress | None) -> int:
    """Run the program with its products watched; the number of samples."""
    instructions: tuple[Instruction | CallFloat, ...] = tuple(
        i if isinstance(i, CallFloat) else watched.get(i.output, i) for i in program.instructions)
    program, done = replace(program, instructions=instructions), 0
    for batch in data.batches(SAMPLES):
        program.run(batch)
        done += len(next(iter(batch.values())))
        if progress is not None:
            progress(done, data.samples)
    if not done:
        raise DataError("There is nothing to look at: the data are empty.")
    return done


def product_at(node: ir.Node, watched: Mapping[str, Watched], plan: Plan) -> Watched | None:
    """The instruction that a node became: it makes the node's value, that of the clamps behind it, or its accumulators."""
    value = node.outputs[0]
    name = value.name or ""
    while value.name not in plan.encodings and (reader := sole_consumer(value)) is not None and is_clamp(reader):
        value = reader.outputs[0]
    return watched.get(value.name or "") or watched.get(f"{name} (accumulators)")


def describe(node: ir.Node, watched: Watched, plan: Plan) -> Channels:
    """What is proven, and what was seen."""
    product, name = watched.product, node.outputs[0].name or ""
    terms = terms_of(node, product)
    proven = product.bounds if isinstance(product, Convolve) else product.bounds(terms)
    pairs = None if node.op_type == "ConvTranspose" else watched.pairs      # onnxruntime has no integer kernel for it
    ends = product.source.low, product.source.high
    widths = sum(plan.encodings[v.name or ""].format.bits for v in node.inputs[:2] if v is not None)
    sums = Sums(
        node.name or name, node.op_type, name, terms, proven.bits.size, widths + max(0, terms - 1).bit_length(),
        int(proven.bits.max(initial=1)), proven.largest,
        seen=None if watched.seen is None else watched.seen.largest,
        seen_bits=None if watched.seen is None else int(watched.seen.bits.max(initial=1)),
        beyond={width: beyond(proven, width) for width in WIDTHS},
        seen_beyond={width: beyond(watched.seen, width) for width in WIDTHS} if watched.seen is not None else {},
        pairs=None if pairs is None else int(could_saturate(worst_pairs(pairs, *ends)).any(1).sum()),
        pairs_in_any_order=None if pairs is None else int(could_saturate(worst_in_any_order(pairs, *ends)).sum()),
        saturated=None if pairs is None or watched.saturated is None else int(watched.saturated.sum()),
    )
    return Channels(sums, proven, watched.seen)


def terms_of(node: ir.Node, product: Product) -> int:
    """How many products one accumulator adds up."""
    if product.weights is None:
        shape = node.inputs[0].shape if node.inputs[0] is not None else None
        return int(shape[-1]) if shape is not None and isinstance(shape[-1], int) else 0
    if isinstance(product, Convolve):
        return int(np.prod(product.weights.shape[1:]))
    return int(product.weights.shape[-2])


def beyond(bounds: Bounds, width: int) -> int:
    """How many channels leave signed integers of that many bits."""
    return int((~bounds.fit(width)).sum())
