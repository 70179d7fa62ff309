"""The target `c`: what it accepts, and the folder that it writes."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import onnx_ir as ir

from bitsmith.errors import BitsmithError
from bitsmith.files import write_atomically
from bitsmith.integer.instructions import FIXED_POINT
from bitsmith.loading.to_onnx import save
from bitsmith.lowering import lower
from bitsmith.planning.accepts import Accepts
from bitsmith.planning.plan import Plan
from bitsmith.targets.c.firmware import Firmware, translate
from bitsmith.targets.c.sizes import input_sizes
from bitsmith.targets.c.source import write_source

ACTIVATIONS = ("uint8", "int8", "int16", "uint16", *(f"uint{bits}" for bits in (7, 6, 5, 4, 3, 2)))
WEIGHTS = ("int8", "int4", *(f"int{bits}" for bits in (7, 6, 5, 3, 2)))


@dataclass(frozen=True)
class CTarget:
    """simulate  how the network is written with Q/DQ, for onnxruntime to show what the integers will do
    name      of the target
    rounding  from accumulators to codes: by integer multiplier and shift, or by shift alone where scales are powers of two
    flavour   which kernels
    prefix    of every name in the C, and of its files
    """

    simulate: Callable[[ir.Model, Plan], ir.Model]
    name: str = "c"
    rounding: str = "multiplier"
    flavour: str = "portable"
    prefix: str = "net"

    @property
    def accepts(self) -> Accepts:
        """Codes everywhere: there is no float arithmetic."""
        return Accepts(self.name, ACTIVATIONS, WEIGHTS, floats=False, blocked_weights=False, dynamic=False)

    def build(self, network: ir.Model, plan: Plan) -> ir.Model:
        """The network with Q/DQ; its roundings are those of onnxruntime, so that single codes may differ from the C."""
        return self.simulate(network, plan)

    def translate(self, network: ir.Model, plan: Plan) -> Firmware:
        """The firmware. Raises TargetError and LoweringError for what has no integer arithmetic, by name."""
        program = lower(network, plan, arithmetic=FIXED_POINT)
        return translate(program, input_sizes(network), rounding=self.rounding, flavour=self.flavour)

    def write(self, network: ir.Model, plan: Plan, path: Path) -> list[Path]:
        """Write the folder: C, a way to build it, its sizes, and the network and plan that it was made from.

        Raises TargetError for what cannot be C, BitsmithError where the folder cannot be written.
        """
        firmware = self.translate(network, plan)
        title = network.graph.name or path.name
        texts = write_source(firmware, title=title, prefix=self.prefix, flavour=self.flavour)
        make_folder(path)
        for name, text in texts.items():
            write_atomically(path / name, text.encode())
        made_with = {**plan.made_with, "c": {"rounding": self.rounding, "flavour": self.flavour, "prefix": self.prefix}}
        plan_path = path / f"{self.prefix}.plan.json"
        replace(plan, made_with=made_with).save(plan_path)
        return [*(path / name for name in texts), *save(network, path / f"{self.prefix}.onnx"), plan_path]


def make_folder(path: Path) -> None:
    try:
        path.mkdir(exist_ok=True)
    except OSError as problem:
        raise BitsmithError(f"Cannot make the folder '{path}': {problem.strerror}. Choose another output with -o.") from problem
