"""Backends by name. A new one is a folder here and a line in `TARGETS`."""

from bitsmith.errors import TargetError
from bitsmith.targets import c, onnx
from bitsmith.targets.target import Target

TARGETS: dict[str, Target] = {**onnx.TARGETS, "c": c.CTarget(onnx.STANDARD.build)}

__all__ = ["TARGETS", "Target", "target_named"]


def target_named(name: str) -> Target:
    """The target with this name; behind a colon it may say how it is wanted: 'c:shift', 'onnxruntime:qoperator'.

    Raises TargetError for a name that no target has, or a wish that it does not know.
    """
    plain, _, wishes = name.partition(":")
    if plain not in TARGETS:
        raise TargetError(f"No target is called {name!r}; there are {', '.join(TARGETS)}.")
    target = TARGETS[plain]
    return target.wanted(wishes.split(",")) if wishes else target
