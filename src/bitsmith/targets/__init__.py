"""Backends by name. A new one is a folder here and a line in `TARGETS`."""

from bitsmith.errors import TargetError
from bitsmith.targets import c, onnx
from bitsmith.targets.target import Target

TARGETS: dict[str, Target] = {**onnx.TARGETS, **c.targets(onnx.STANDARD.build)}

__all__ = ["TARGETS", "Target", "target_named"]


def target_named(name: str) -> Target:
    """The target with this name. Raises TargetError for a name that no target has."""
    if name not in TARGETS:
        raise TargetError(f"No target is called {name!r}; there are {', '.join(TARGETS)}.")
    return TARGETS[name]
