"""The target `c`: what it accepts, and the folder that it writes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import onnx_ir as ir

from bitsmith.errors import BitsmithError, TargetError
from bitsmith.files import write_atomically
from bitsmith.integer.instructions import Arithmetic
from bitsmith.loading.to_onnx import save
from bitsmith.planning.accepts import Accepts
from bitsmith.planning.plan import Plan
from bitsmith.targets.c.firmware import Choices, Firmware, translate
from bitsmith.targets.c.flavours import FLAVOURS
from bitsmith.targets.c.rounding import ARITHMETICS
from bitsmith.targets.c.run import program_of
from bitsmith.targets.c.sizes import input_sizes
from bitsmith.targets.c.source import write_source

ACTIVATIONS = ("uint8", "int8", "int16", "uint16", *(f"uint{bits}" for bits in (7, 6, 5, 4, 3, 2)), "ternary", "binary")
ROUNDINGS = ("multiplier", "shift", "float")
WEIGHTS = ("int8", "int4", *(f"int{bits}" for bits in (7, 6, 5, 3, 2)), "ternary", "binary")
PACKS = (1, 2, 3, 4)


@dataclass(frozen=True)
class CTarget:
    """simulate  how the network is written with Q/DQ, for onnxruntime to show what the integers will do
    rounding  from accumulators to codes: by integer multiplier and shift, or by shift alone where scales are powers of two
    flavour   which kernels
    channels_last  image inputs come as cameras give them, [height][width][channels]
    prefix    of every name in the C, and of its files
    math_curves  activation functions are computed by math.h instead of looked up in tables, for comparison
    compute   'integer', or 'float': float32 arithmetic, with weights as floats or as codes that are unpacked in the kernel
    """

    simulate: Callable[[ir.Model, Plan], ir.Model]
    rounding: str = "multiplier"
    flavour: str = "portable"
    channels_last: bool = False
    prefix: str = "net"
    compute: str = "integer"
    math_curves: bool = False

    @property
    def name(self) -> str:
        """With all wishes, so that `target_named` finds the same again."""
        found = [self.rounding] * (self.rounding != "multiplier") + [self.flavour] * (self.flavour != "portable")
        found += ["channels-last"] * self.channels_last + ["compute-float"] * (self.compute == "float")
        found += ["math-curves"] * self.math_curves
        return ":".join(["c", ",".join(found)] if found else ["c"])

    def wanted(self, wishes: Sequence[str]) -> "CTarget":
        """The target as wished: a way of rounding, a flavour, or one of the words below. Raises TargetError for other wishes."""
        target = self
        for wish in wishes:
            if wish in ROUNDINGS:
                target = replace(target, rounding=wish)
            elif wish in FLAVOURS:
                target = replace(target, flavour=wish)
            elif wish == "channels-last":
                target = replace(target, channels_last=True)
            elif wish == "math-curves":
                target = replace(target, math_curves=True)
            elif wish == "compute-float":
                target = replace(target, compute="float")
            else:
                known = ", ".join((*ROUNDINGS, *FLAVOURS, "channels-last", "compute-float", "math-curves"))
                raise TargetError(f"The target 'c' does not know {wish!r}; it knows {known}.")
        return target

    @property
    def arithmetic(self) -> Arithmetic:
        """How the integer program rounds that the C equals."""
        return ARITHMETICS[self.rounding]

    @property
    def accepts(self) -> Accepts:
        """Codes everywhere where there is no float arithmetic; in weights only, and one scale for each channel, where all of it is."""
        if self.compute == "float":
            return Accepts(self.name, (), WEIGHTS, packs=PACKS, blocked_weights=False, dynamic=False,
                           faster_in_float=all_in_float)
        return Accepts(self.name, ACTIVATIONS, WEIGHTS, packs=PACKS, floats=False, blocked_weights=False, dynamic=False)

    @property
    def choices(self) -> Choices:
        return Choices(self.rounding, self.flavour, self.channels_last, self.compute, self.math_curves)

    def explain(self, network: ir.Model, plan: Plan) -> Plan:
        """The plan has it all."""
        return plan

    def build(self, network: ir.Model, plan: Plan) -> ir.Model:
        """The network with Q/DQ; its roundings are those of onnxruntime, so that single codes may differ from the C."""
        return self.simulate(network, plan)

    def translate(self, network: ir.Model, plan: Plan) -> Firmware:
        """The firmware. Raises TargetError and LoweringError for what has no arithmetic here, by name."""
        return translate(program_of(network, plan, self.choices), input_sizes(network), self.choices)

    def write(self, network: ir.Model, plan: Plan, path: Path) -> list[Path]:
        """Write the folder: C, a way to build it, its sizes, and the network and plan that it was made from.

        Raises TargetError for what cannot be C, BitsmithError where the folder cannot be written.
        """
        firmware = self.translate(network, plan)
        title = network.graph.name or path.name
        texts = write_source(firmware, title=title, prefix=self.prefix)
        make_folder(path)
        for name, text in texts.items():
            write_atomically(path / name, text.encode())
        made_with = {**plan.made_with, "c": {**vars(self.choices), "prefix": self.prefix}}
        plan_path = path / f"{self.prefix}.plan.json"
        replace(plan, made_with=made_with).save(plan_path)
        return [*(path / name for name in texts), *save(network, path / f"{self.prefix}.onnx"), plan_path]


def all_in_float(graph: ir.Graph) -> dict[str, str]:
    """Every node."""
    return {node.name or "": "this target computes in float" for node in graph}


def make_folder(path: Path) -> None:
    try:
        path.mkdir(exist_ok=True)
    except OSError as problem:
        raise BitsmithError(f"Cannot make the folder '{path}': {problem.strerror}. Choose another output with -o.") from problem
