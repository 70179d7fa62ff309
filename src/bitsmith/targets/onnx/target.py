"""An ONNX target: a description of a runtime and of the form in which it likes its Q/DQ."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

import onnx_ir as ir

from bitsmith.errors import TargetError
from bitsmith.integer.instructions import FLOAT32, Arithmetic
from bitsmith.loading.to_onnx import save
from bitsmith.numerics import Encoding, Integer
from bitsmith.planning.accepts import Accepts
from bitsmith.planning.plan import Plan
from bitsmith.targets.onnx.insert import insert_quantization


@dataclass(frozen=True)
class OnnxTarget:
    """accepts      what the runtime takes
    arithmetic   how the runtime rounds
    moves_codes  movements (Pad, Slice, MaxPool ...) stand on codes, without Q/DQ around them
    refinements  change the finished file without changing what it computes; they know which nodes compute in float
    """

    accepts: Accepts
    moves_codes: bool = False
    arithmetic: Arithmetic = FLOAT32
    refinements: tuple[Callable[[ir.Model, Collection[str]], bool], ...] = ()

    def write(self, network: ir.Model, plan: Plan, path: Path) -> list[Path]:
        """Write a Q/DQ file and, beside it, the plan."""
        plan_path = path.with_suffix(".plan.json")
        written = save(self.build(network, plan), path)
        plan.save(plan_path)
        return [*written, plan_path]

    def build(self, network: ir.Model, plan: Plan) -> ir.Model:
        """The network with Q/DQ where the plan has encodings, as a new model; weights become codes."""
        for name, encoding in plan.encodings.items():
            check_storable(name, encoding)
        model = insert_quantization(network, plan, moves_codes=self.moves_codes, stored_bits=self.accepts.stored_bits)
        for refine in self.refinements:
            refine(model, plan.in_float)
        return model


def check_storable(name: str, encoding: Encoding) -> None:
    """ONNX rounds ties to even; what it cannot say is refused by name."""
    format = encoding.format
    if isinstance(format, Integer) and format.ties != "even":
        raise TargetError(f"'{name}' has format {format.name}: ONNX rounds ties to even; leave '-away' out of the recipe.")
