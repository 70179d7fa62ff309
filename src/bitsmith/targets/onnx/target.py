"""An ONNX target: a description of a runtime and of the form in which it likes its Q/DQ."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import onnx_ir as ir

from bitsmith.errors import TargetError
from bitsmith.integer.instructions import FLOAT32, Arithmetic
from bitsmith.loading.to_onnx import save
from bitsmith.numerics import Encoding, Integer
from bitsmith.planning.accepts import Accepts
from bitsmith.planning.plan import Plan
from bitsmith.targets.onnx.insert import insert_quantization
from bitsmith.targets.onnx.qoperators import Kernel, QOperators


@dataclass(frozen=True)
class OnnxTarget:
    """accepts      what the runtime takes
    arithmetic   how the runtime rounds
    moves_codes  movements (Pad, Slice, MaxPool ...) stand on codes, without Q/DQ around them
    refinements  change the finished file without changing what it computes; they know which nodes compute in float
    written      what files hold instead of Q/DQ, where they are not for onnxruntime
    qoperators   which operators on codes the runtime has
    on_codes     these take the place of Q/DQ wherever they can
    """

    accepts: Accepts
    moves_codes: bool = False
    arithmetic: Arithmetic = FLOAT32
    refinements: tuple[Callable[[ir.Model, Collection[str]], bool], ...] = ()
    written: Callable[[ir.Model, Plan], ir.Model] | None = None
    qoperators: Mapping[str, Kernel] = field(default_factory=dict)
    on_codes: bool = False

    def wanted(self, wishes: Sequence[str]) -> "OnnxTarget":
        """The target as wished: 'qoperator'. Raises TargetError for other wishes."""
        if list(wishes) != ["qoperator"] or not self.qoperators:
            raise TargetError(f"Target '{self.accepts.target}' does not know {','.join(wishes)!r}; onnxruntime and onnx know 'qoperator'.")
        return replace(self, on_codes=True)

    def write(self, network: ir.Model, plan: Plan, path: Path) -> list[Path]:
        """Write the file and, beside it, the plan."""
        plan_path = path.with_suffix(".plan.json")
        written = save((self.written or self.build)(network, plan), path)
        plan.save(plan_path)
        return [*written, plan_path]

    def kernels_for(self, network: ir.Model, plan: Plan) -> QOperators | None:
        """The operators on codes that the network can have; None where Q/DQ are wanted."""
        if not self.on_codes:
            return None
        if plan.dynamic:
            raise TargetError(f"The range of '{min(plan.dynamic)}' is found at run time, which QOperators cannot do; use a static recipe.")
        return QOperators.of(network, plan, self.qoperators, self.accepts.stored_bits)

    def explain(self, network: ir.Model, plan: Plan) -> Plan:
        """The plan with the reason for every node that has no operator on codes, where these are wanted."""
        kernels = self.kernels_for(network, plan)
        return plan if kernels is None else replace(plan, reasons={**plan.reasons, **kernels.reasons(network, plan)})

    def build(self, network: ir.Model, plan: Plan) -> ir.Model:
        """The network with Q/DQ where the plan has encodings, as a new model; weights become codes."""
        for name, encoding in plan.encodings.items():
            check_storable(name, encoding)
        kernels = self.kernels_for(network, plan)
        model = insert_quantization(network, plan, moves_codes=self.moves_codes, stored_bits=self.accepts.stored_bits, kernels=kernels)
        for refine in self.refinements:
            refine(model, plan.in_float)
        return model


def check_storable(name: str, encoding: Encoding) -> None:
    """ONNX rounds ties to even; what it cannot say is refused by name."""
    format = encoding.format
    if isinstance(format, Integer) and format.ties != "even":
        raise TargetError(f"'{name}' has format {format.name}: ONNX rounds ties to even; leave '-away' out of the recipe.")
