"""What BatchNormalization said of its results, kept in memory beside a value when it is folded; no file ever holds it."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import onnx_ir as ir

from bitsmith.numerics.formats import Array

KEY = "bitsmith.normal"


class Normal(NamedTuple):
    """Mean and variance of each channel, both float64 [channels]; a normal distribution, as far as anybody knows."""

    mean: Array
    variance: Array

    def line(self, multiply: Array, add: Array) -> "Normal":
        """Of multiply * x + add."""
        with np.errstate(over="ignore", invalid="ignore"):
            return Normal(self.mean * multiply + add, self.variance * multiply**2)


def note_normal(value: ir.Value, normal: Normal | None) -> None:
    value.meta[KEY] = normal


def noted_normal(value: ir.Value) -> Normal | None:
    """What was noted of the value; None where nothing was."""
    known: Mapping[str, object] = value.meta
    normal = known.get(KEY)
    return normal if isinstance(normal, Normal) else None


def follow_line(value: ir.Value, multiply: Array, add: Array) -> Normal | None:
    """The value becomes multiply * value + add. Returns what was noted of it before."""
    normal = noted_normal(value)
    if normal is not None:
        note_normal(value, normal.line(multiply, add))
    return normal
