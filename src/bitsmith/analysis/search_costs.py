"""What an assignment of widths costs: bytes, bit operations, energy; of a whole plan, and of one layer at a time."""

from collections.abc import Mapping
from dataclasses import dataclass

import onnx_ir as ir

from bitsmith.analysis.cost import multiply_accumulates, weight_arrays
from bitsmith.analysis.describe_layers import DYNAMIC_BITS, own_constants, stored_bytes
from bitsmith.analysis.energy import FLOAT32, INT8
from bitsmith.graph import constant
from bitsmith.planning.plan import Plan

COSTS = ("bytes", "bitops", "energy")
FLOAT_BITS = 32


@dataclass(frozen=True)
class Costs:
    """bytes        of all constants, codes packed tight, with their scales
    bitops       multiply-accumulates of one sample times both operands' bits; 32 of those in float
    energy       picojoule of these multiply-accumulates: published figures, in proportion to widths
    weight_bits  mean over all weights
    """

    bytes: float
    bitops: float
    energy: float
    weight_bits: float

    def of(self, cost: str) -> float:
        return {"bytes": self.bytes, "bitops": self.bitops, "energy": self.energy}[cost]


def costs_of(graph: ir.Graph, plan: Plan) -> Costs:
    """The costs of a whole network under a plan."""
    constants = {v.name or "": v for node in graph for v in own_constants(node)}
    packed = sum(stored_bytes(value, plan.encodings.get(name)) for name, value in constants.items())
    products = [(multiply_accumulates(node) or 0, *operand_widths(node, plan)) for node in graph]
    weights = {v.name or "": v for node in graph for v in weight_arrays(node)}
    sizes = {name: array.size for name, v in weights.items() if (array := constant(v)) is not None}
    bits = sum(size * (plan.encodings[name].format.bits if name in plan.encodings else FLOAT_BITS) for name, size in sizes.items())
    return Costs(packed, sum(bit_operations(*p) for p in products), sum(mac_energy(*p) for p in products),
                 bits / max(1, sum(sizes.values())))


def operand_widths(node: ir.Node, plan: Plan) -> tuple[int, int]:
    """Bits of a product's two operands; 32 of both where it computes in float."""
    names = [v.name or "" for v in node.inputs[:2] if v is not None]
    found = [width_of(name, plan) for name in names]
    if len(found) < 2 or node.name in plan.in_float or FLOAT_BITS in found:
        return FLOAT_BITS, FLOAT_BITS
    return found[0], found[1]


def width_of(name: str, plan: Plan) -> int:
    if name in plan.encodings:
        return plan.encodings[name].format.bits
    return DYNAMIC_BITS if name in plan.dynamic else FLOAT_BITS


def bit_operations(macs: int, first: int, second: int) -> float:
    return float(macs) * first * second


def mac_energy(macs: int, first: int, second: int) -> float:
    """Picojoule. A multiplier's energy goes with the product of its widths, an adder's with the width of its sum."""
    if FLOAT_BITS in (first, second):
        return macs * FLOAT32.energy
    return macs * (INT8.multiply_energy * first * second / 64 + INT8.add_energy * (first + second) / 16)


@dataclass(frozen=True)
class Bill:
    """What a cost is made of: a constant, a part of each single choice, and a part of each two choices together.

    A choice is (layer, role); single[choice][bits] and pairs[first, second][bits of the first, bits of the second] are added up.
    """

    constant: float
    single: Mapping[tuple[str, str], Mapping[int, float]]
    pairs: Mapping[tuple[tuple[str, str], tuple[str, str]], Mapping[tuple[int, int], float]]

    def total(self, chosen: Mapping[tuple[str, str], int]) -> float:
        """The cost of an assignment."""
        alone = sum(parts[chosen[choice]] for choice, parts in self.single.items())
        return self.constant + alone + sum(parts[chosen[a], chosen[b]] for (a, b), parts in self.pairs.items())
