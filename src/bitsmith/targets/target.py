"""What every backend offers: what it accepts, and how it writes."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import onnx_ir as ir

from bitsmith.integer.instructions import Arithmetic
from bitsmith.planning.accepts import Accepts
from bitsmith.planning.plan import Plan


class Target(Protocol):
    """A place where quantized networks run."""

    @property
    def accepts(self) -> Accepts: ...
    @property
    def arithmetic(self) -> Arithmetic: ...
    def wanted(self, wishes: Sequence[str]) -> "Target":
        """The target as wished, behind the colon of its name. Raises TargetError for other wishes."""
        ...

    def explain(self, network: ir.Model, plan: Plan) -> Plan:
        """The plan with reasons for what this target writes otherwise than one would think."""
        ...

    def build(self, network: ir.Model, plan: Plan) -> ir.Model:
        """The network with Q/DQ where the plan has encodings, for onnxruntime to run."""
        ...

    def write(self, network: ir.Model, plan: Plan, path: Path) -> list[Path]:
        """Write the network as the plan says and return the files written. Raises TargetError for what it cannot store."""
        ...
