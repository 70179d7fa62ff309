"""Ranges of what a curve alone reads (SiLU, HardSwish, Gelu) by what comes out behind it: the flat part needs no codes."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import onnx_ir as ir

from bitsmith.calibration.statistics import Bins
from bitsmith.graph import consumers, rank
from bitsmith.improving.draft import Draft, Progress, with_reasons
from bitsmith.numerics import Encoding, Integer
from bitsmith.numerics.encoding import spanning
from bitsmith.numerics.formats import Array
from bitsmith.operators import is_clamp
from bitsmith.operators.float_meaning import copy_nodes
from bitsmith.operators.regions import Region, find_region
from bitsmith.planning.plan import Plan
from bitsmith.rewrites.products import read_product
from bitsmith.running.session import Session

SHARES = (1.0, 0.85, 0.7, 0.6, 0.5, 0.42, 0.35, 0.3, 0.25, 0.2, 0.15, 0.1, 0.07, 0.05, 0.03)    # of either end of the range
GAIN = 0.02             # of the error: less is not worth a change


@dataclass(frozen=True)
class Curve:
    """A coded value, the chain of pointwise nodes that alone reads it, and the chain's result."""

    source: ir.Value
    region: Region
    result: ir.Value

    def at(self, reals: Array) -> Array:
        """What the curve makes of numbers, of any shape; float64."""
        dims = rank(self.source) or 1
        part = copy_nodes(self.region.nodes, {self.source: ir.Shape([None] * dims)}, [self.result], {})
        feed = reals.astype(np.float32).reshape(-1, *[1] * (dims - 1))
        made = Session(part, optimise=False).run({self.source.name or "": feed})[self.result.name or ""]
        return made.astype(np.float64).reshape(reals.shape)


def fit_to_curves(draft: Draft, progress: Progress | None = None) -> Draft:
    """Give values that a curve alone reads the range that leaves the least squared error behind the curve, counted statistics told.

    HardSwish makes 0 of all below -3, SiLU next to nothing of all below -6: codes spent there are lost. Needs statistics and no data.
    """
    encodings, said = dict(draft.plan.encodings), dict[str, str]()
    for curve in find_curves(draft.network.graph, draft.plan):
        name = curve.source.name or ""
        if name not in draft.statistics or not draft.statistics[name].count:
            continue
        old = encodings[name]
        new = best_encoding(curve, old, draft.statistics[name].bins())
        if new is not None:
            encodings[name] = new
            told = f"{float(new.lowest):.4g} to {float(new.highest):.4g} instead of {float(old.lowest):.4g} to {float(old.highest):.4g}"
            said[name] = f"{told}, which leaves less error behind '{curve.result.name}'"
    return replace(draft, plan=with_reasons(replace(draft.plan, encodings=encodings), said))


def find_curves(graph: ir.Graph, plan: Plan) -> Iterator[Curve]:
    """The longest chain behind each value that a product or a sum makes in codes of one scale of its own."""
    coded = {value for node in graph for value in node.outputs if value.name in plan.encodings}
    found: set[ir.Value] = set()
    for node in reversed(graph):
        result = node.outputs[0]
        region = find_region(result, coded)
        if region is None or region.axis is not None or region.source not in coded or region.source in found:
            continue
        if is_alone(region, result) and fits(region.source, plan.encodings[region.source.name or ""]):
            found.add(region.source)
            yield Curve(region.source, region, result)


def is_alone(region: Region, result: ir.Value) -> bool:
    """Nobody else reads the source or what lies between, and it is more than a clamp."""
    inside = set(region.nodes)
    between = [region.source, *(value for node in region.nodes for value in node.outputs if value is not result)]
    if any(value.is_graph_output() or not inside.issuperset(consumers(value)) for value in between):
        return False
    return not all(is_clamp(node) for node in region.nodes)


def fits(source: ir.Value, encoding: Encoding) -> bool:
    """Its codes are its own, integers, and lie where they like."""
    maker, format = source.producer(), encoding.format
    if maker is None or not isinstance(format, Integer) or encoding.scale.size != 1 or rank(source) in (None, 0):
        return False
    zero, middle = int(encoding.zero_point), (format.lowest + format.highest + 1) // 2
    two_sided = encoding.lowest < 0 < encoding.highest
    powers = float(np.log2(encoding.scale)).is_integer()
    made_here = read_product(maker) is not None or maker.op_type == "Add"
    return bool(made_here and two_sided and zero != middle and not powers)


def best_encoding(curve: Curve, old: Encoding, bins: Bins) -> Encoding | None:
    """Of some ranges within what was seen, the one that errs least; None where that is the old one."""
    centres = bins.centres
    exact = curve.at(centres)
    low, high = (min(float(old.lowest), float(bins.low[0])), max(float(old.highest), float(bins.high[-1])))
    tried = [old, *(spanning(low * a, high * b, old.format) for a in SHARES for b in SHARES[:9])]
    codes = np.arange(old.format.lowest, old.format.highest + 1)
    tables = curve.at(np.stack([encoding.dequantize(codes) for encoding in tried]))
    errors = [
        float((bins.counts * (table[encoding.quantize(centres).astype(np.int64) - codes[0]] - exact) ** 2).sum())
        for encoding, table in zip(tried, tables, strict=True)
    ]
    best = int(np.argmin(errors))
    return tried[best] if errors[best] < errors[0] * (1 - GAIN) else None
