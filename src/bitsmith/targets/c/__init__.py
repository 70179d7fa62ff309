"""C99 for microcontrollers, computing exactly what the integer program computes. A flavour is a choice of kernels."""

from collections.abc import Callable

import onnx_ir as ir

from bitsmith.planning.plan import Plan
from bitsmith.targets.c.target import CTarget

__all__ = ["CTarget", "targets"]


def targets(simulate: Callable[[ir.Model, Plan], ir.Model]) -> dict[str, CTarget]:
    """By name. `simulate` writes a network with Q/DQ, which is another target's matter."""
    found = (CTarget(simulate), CTarget(simulate, "c-shift", rounding="shift"))
    return {target.name: target for target in found}
