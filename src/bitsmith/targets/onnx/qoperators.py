"""The QOperator form: QLinearConv and its relatives, which read and write codes, for what the integer program does in integers."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from bitsmith.graph import constant, input_at, is_float
from bitsmith.lowering import integer_sites
from bitsmith.numerics import Encoding, Integer
from bitsmith.operators import is_clamp
from bitsmith.operators.site import Site
from bitsmith.planning.plan import Plan
from bitsmith.targets.onnx.constants import container
from bitsmith.targets.onnx.insert import ON_CODES, Writer, clip

MICROSOFT = "com.microsoft"
BYTES = (ir.DataType.UINT8, ir.DataType.INT8)
WINDOW = ("auto_pad", "kernel_shape", "pads", "strides")


@dataclass(frozen=True)
class Kernel:
    """name        of the operator, and its domain
    operands    how many are codes with a scale and a zero point
    attributes  of the float operator that this one has, too
    bias_first  the bias stands before the scale of what comes out
    in_real     of the kernel that ends in real numbers, where there is one
    """

    name: str
    operands: int
    attributes: tuple[str, ...] = ()
    domain: str = MICROSOFT
    bias_first: bool = False
    in_real: str = ""


OF_ONNX = {
    "Conv": Kernel("QLinearConv", 2, (*WINDOW, "dilations", "group"), domain=""),
    "MatMul": Kernel("QLinearMatMul", 2, domain=""),
}
KERNELS = {
    "Conv": OF_ONNX["Conv"],
    "MatMul": Kernel("QLinearMatMul", 2, domain="", in_real="MatMulIntegerToFloat"),
    "Gemm": Kernel("QGemm", 2, ("alpha", "transB"), bias_first=True, in_real="QGemm"),
    "Add": Kernel("QLinearAdd", 2),
    "Mul": Kernel("QLinearMul", 2),
    "AveragePool": Kernel("QLinearAveragePool", 1, (*WINDOW, "ceil_mode", "count_include_pad")),
    "GlobalAveragePool": Kernel("QLinearGlobalAveragePool", 1),
}


@dataclass(frozen=True)
class QOperators:
    """Which operators there are, how their weights are stored, and the sites of a network that can become them, by what these make."""

    kernels: Mapping[str, Kernel]
    stored_bits: Callable[[Encoding], int]
    sites: Mapping[str, Site]

    @classmethod
    def of(cls, network: ir.Model, plan: Plan, kernels: Mapping[str, Kernel], stored_bits: Callable[[Encoding], int]) -> "QOperators":
        """For what the integer program does in integers, raw inputs aside."""
        found = {site.output: site for site in integer_sites(network, plan).values()
                 if all(v is None or v.name in plan.encodings for v in site.node.inputs if v is None or is_float(v))}
        return cls(kernels, stored_bits, found)

    def make_codes(self, writer: Writer, value: ir.Value, scales: list[ir.Value]) -> ir.Value | None:
        """The codes of a value from an integer kernel; None where there is none for it."""
        name = value.name or ""
        site = self.sites.get(name)
        if site is None or site.codes is None or self.obstacle(site):
            return None
        kernel, limits = self.kernels[site.node.op_type], np.iinfo(site.codes.storage)
        whole = (site.codes.low, site.codes.high) == (limits.min, limits.max)
        codes_name = writer.fresh(f"{name}_quantized")
        codes = ir.Value(name=codes_name if whole else writer.fresh(f"{codes_name}_wide"), shape=value.shape,
                         type=ir.TensorType(ir.DataType.from_numpy(site.codes.storage)))
        bias = bias_of(writer, site)
        operands = [*of_codes(writer, site, kernel.operands), *([*bias, *scales] if kernel.bias_first else [*scales, *bias])]
        writer.put(value.producer(), node_for(writer, site, kernel, operands, codes))
        if whole:
            return codes
        ends = [np.asarray(end, site.codes.storage) for end in (site.codes.low, site.codes.high)]
        return clip(writer, codes.producer(), codes, ends, codes_name)

    def end_in_real(self, writer: Writer, values: Mapping[str, ir.Value]) -> None:
        """Kernels from codes to real numbers for products whose results have no codes."""
        for site in self.sites.values():
            if site.codes is None and not self.obstacle(site):
                kernel, old = self.kernels[site.node.op_type], values[site.output]
                operands = of_codes(writer, site, kernel.operands)
                if kernel.in_real != kernel.name:               # MatMulIntegerToFloat: codes, then scales, then zero points
                    operands = operands[::3] + operands[1::3] + operands[2::3]
                new = ir.Value(name=site.output, type=old.type, shape=old.shape)
                old.name = writer.fresh(f"{site.output}_real")
                real = Kernel(kernel.in_real, kernel.operands, kernel.attributes)
                writer.put(old.producer(), node_for(writer, site, real, [*operands, *bias_of(writer, site)], new))
                old.replace_all_uses_with(new, replace_graph_outputs=True)

    def obstacle(self, site: Site) -> str:
        """Why a node stays between Q and DQ; "" where it does not."""
        kernel, kind = self.kernels.get(site.node.op_type), site.node.op_type
        if kernel is None:
            return f"there is no QOperator for {kind}"
        if site.codes is None and not kernel.in_real:
            return f"there is no QOperator for {kind} that ends in real numbers"
        types = [self.type_of(site, i) for i in range(kernel.operands)]
        outcome = types[0] if site.codes is None else ir.DataType.from_numpy(site.codes.storage)
        computed = [site.encoding(i) for i in range(kernel.operands) if constant(site.value(i)) is None]
        computed += [] if site.codes is None else [site.target]
        if not all(t in BYTES for t in (*types, outcome)) or not all(isinstance(e.format, Integer) for e in computed):
            return f"{kernel.name} takes codes of one byte"
        if outcome is not types[0] or (types[-1] is not outcome and (types[-1] is ir.DataType.UINT8 or constant(site.value(1)) is None)):
            return f"{kernel.name} takes codes of one sign"
        return "" if input_at(site.node, 2) is None or fits(site) else f"the bias of '{site.output}' has a scale of its own"

    def type_of(self, site: Site, index: int) -> ir.DataType:
        """How the codes of an operand are held: those of constants perhaps packed."""
        encoding = site.encoding(index)
        bits = 8 * encoding.format.storage.itemsize
        return container(encoding, bits if constant(site.value(index)) is None else self.stored_bits(encoding))

    def reasons(self, network: ir.Model, plan: Plan) -> dict[str, str]:
        """Of every node that computes codes, moves none, and stays between Q and DQ."""
        sites = {site.node.name: site for site in self.sites.values()}
        found = {}
        for node in network.graph:
            moves = node.op_type in ON_CODES or is_clamp(node)
            if node.name in sites and not moves:
                found[node.name or ""] = self.obstacle(sites[node.name])
            elif node.name not in plan.reasons and not moves and any(v.name in plan.encodings for v in node.outputs):
                found[node.name or ""] = f"there is no QOperator for {node.op_type}"
        return {name: f"between Q and DQ: {why}" for name, why in found.items() if why}


def of_codes(writer: Writer, site: Site, count: int) -> list[ir.Value]:
    """Codes, scale and zero point of each operand."""
    coded = [writer.coded[site.input(i)] for i in range(count)]
    return [part for codes, scales in coded for part in (codes, *scales)]


def bias_of(writer: Writer, site: Site) -> list[ir.Value | None]:
    """The int32 codes of the operand that joins the sum; a gap where it was left out."""
    if site.node.op_type not in ("Conv", "Gemm"):
        return []
    return [writer.coded[site.input(2)][0] if input_at(site.node, 2) is not None else None]


def fits(site: Site) -> bool:
    """True where the bias has the scale that these kernels take for granted: input * weight."""
    weight, array = site.encoding(1), constant(site.value(1))
    assert array is not None
    return bool(np.all(site.encoding(2).scale == (site.encoding(0).scale * weight.blocks.spread(weight.scale, array.shape)).ravel()))


def node_for(writer: Writer, site: Site, kernel: Kernel, operands: Sequence[ir.Value | None], made: ir.Value) -> ir.Node:
    """The operator, with what it shares with the float one; the graph learns of its domain."""
    if kernel.domain:
        writer.graph.opset_imports[kernel.domain] = 1
    kept = [a for name, a in site.node.attributes.items() if name in kernel.attributes]
    return ir.Node(kernel.domain, kernel.name, operands, kept, outputs=[made], name=writer.fresh(f"{made.name}_{kernel.name}"))
