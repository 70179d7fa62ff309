"""Encodings whose scales are changed together: which they are, what holds them in the network with Q/DQ, and the plan with other ones."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import onnx_ir as ir

from bitsmith.graph import constant
from bitsmith.improving.draft import Draft
from bitsmith.numerics import Encoding, Integer
from bitsmith.numerics.encoding import LARGEST_SCALE, SMALLEST_SCALE, are_powers_of_two
from bitsmith.numerics.formats import Array
from bitsmith.planning.plan import Plan
from bitsmith.planning.recipe import Rule
from bitsmith.planning.weights import bias_of, encode_bias, make_room, uses_of

DECODED = "_dequantized"     # behind the name of a constant that has codes: what these are decoded to


@dataclass(frozen=True)
class Group:
    """Values that share an encoding, and what holds it in the network with Q/DQ.

    held      initializers with the scale; of a weight, the value that its DequantizeLinear makes
    weights   a weight's real numbers; None for activations
    """

    values: tuple[str, ...]
    encoding: Encoding
    held: tuple[str, ...]
    weights: Array | None = None

    @property
    def in_powers(self) -> bool:
        """Are all scales powers of two? They stay such."""
        return are_powers_of_two(self.encoding.scale)

    def scaled(self, factor: float) -> Encoding:
        """The same codes, wider or narrower by exp(factor)."""
        wider = np.exp2(np.rint(factor / np.log(2))) if self.in_powers else np.exp(factor)
        scale = np.clip(self.encoding.scale.astype(np.float64) * wider, SMALLEST_SCALE, LARGEST_SCALE)
        return replace(self.encoding, scale=scale.astype(np.float32))


def find_groups(draft: Draft, network: ir.Model) -> list[Group]:
    """Activations and weights of up to 8 bits, by the first node that reads what they hold; network: as the draft is simulated."""
    first: dict[str, int] = {}
    for number, node in enumerate(network.graph):
        for value in node.inputs:
            if value is not None:
                first.setdefault(value.name or "", number)
    groups = [*find_activations(draft.plan, network), *find_weights(draft, network)]
    return sorted(groups, key=lambda group: min(first.get(name, len(first)) for name in group.held))


def find_activations(plan: Plan, network: ir.Model) -> list[Group]:
    """By the encoding they share, where the network has their scales under the names that these are given."""
    shared: dict[int, list[str]] = {}
    for name, encoding in plan.encodings.items():
        if encoding.scale.size == 1 and isinstance(encoding.format, Integer) and encoding.format.bits <= 8:
            shared.setdefault(id(encoding), []).append(name)
    found = []
    for names in shared.values():
        encoding = plan.encodings[names[0]]
        scales = tuple(f"{name}_scale" for name in names if f"{name}_scale" in network.graph.initializers)
        held = [constant(network.graph.initializers[scale]) for scale in scales]
        as_planned = all(h is not None and np.array_equal(h, encoding.scale) for h in held)
        if scales and as_planned and not any(name in network.graph.initializers for name in names):
            found.append(Group(tuple(names), encoding, scales))
    return found


def find_weights(draft: Draft, network: ir.Model) -> list[Group]:
    """Those that nothing has rounded yet, where the network decodes them under the name given to that."""
    found, decoded = [], decoded_in(network)
    for name, encoding in draft.plan.encodings.items():
        array, exact = (constant(m.graph.initializers.get(name)) for m in (draft.network, draft.reference))
        narrow = isinstance(encoding.format, Integer) and encoding.format.bits <= 8
        untouched = array is not None and exact is not None and np.array_equal(array, exact)
        if array is not None and untouched and narrow and f"{name}{DECODED}" in decoded:
            found.append(Group((name,), encoding, (f"{name}{DECODED}",), array))
    return found


def find_biases(draft: Draft, network: ir.Model) -> dict[str, Array]:
    """Biases that the network decodes, by name."""
    decoded = decoded_in(network)
    found = {bias.name or "": constant(bias) for node in draft.network.graph if (bias := bias_of(node)) is not None}
    return {name: bias for name, bias in found.items() if bias is not None and f"{name}{DECODED}" in decoded}


def decoded_in(network: ir.Model) -> set[str | None]:
    return {v.name for node in network.graph if node.op_type == "DequantizeLinear" for v in node.outputs}


def scale_plan(draft: Draft, groups: Iterable[Group], factors: Sequence[float] | Array) -> Plan:
    """The plan with every group's scale times exp(factor), and biases at the scale that their products have then."""
    encodings, powers = dict(draft.plan.encodings), set()
    for group, factor in zip(groups, factors, strict=True):
        encodings |= dict.fromkeys(group.values, group.scaled(factor))
        powers |= set(group.values) if group.in_powers else set()
    for node in draft.network.graph:
        bias = bias_of(node)
        if bias is not None and bias.name in encodings:
            (use,) = uses_of(node, Rule())
            make_room(replace(use, asked=Rule(power_of_two=use.weight.name in powers)), bias, encodings)
            encodings[bias.name] = encode_bias(use, bias, encodings)
    return replace(draft.plan, encodings=encodings)
