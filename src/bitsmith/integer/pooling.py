"""Pooling: the largest code or the average of a window, the mean over whole axes."""

from dataclasses import dataclass
from functools import reduce

import numpy as np

from bitsmith.errors import LoweringError
from bitsmith.integer.codes import CodeRange
from bitsmith.integer.requantization import Requantize
from bitsmith.integer.rescaling import Average
from bitsmith.integer.windows import SPATIAL, Window
from bitsmith.numerics.formats import Array


@dataclass(frozen=True, eq=False)
class MaxPool:
    """The largest code of each window; padding never wins. Codes [batch, channels, *spatial]."""

    inputs: tuple[str]
    output: str
    window: Window

    def run(self, codes: Array) -> Array:
        placed = self.window.place(codes, int(np.iinfo(codes.dtype).min))
        first, *others = self.window.views(placed)
        largest = first.copy()
        for view in others:
            np.maximum(largest, view, out=largest)
        return largest


@dataclass(frozen=True, eq=False)
class AveragePool:
    """The average of each window, over the elements inside the tensor or, with `include_pad`, over zeros in the padding as well."""

    inputs: tuple[str]
    output: str
    window: Window
    average: Average
    include_pad: bool = False

    def run(self, codes: Array) -> Array:
        placed = self.window.place(self.average.terms(codes), 0)
        total = reduce(np.add, self.window.views(placed))
        return self.average.finish(total, self.window.counts(codes.shape[SPATIAL:], include_pad=self.include_pad))


@dataclass(frozen=True, eq=False)
class Mean:
    """The mean over whole axes: sum of (code - zero point), then back to codes; the multiplier holds the division by the count.

    axes       not 0, the batch
    keep_axes  whether they stay, with length 1
    """

    inputs: tuple[str]
    output: str
    source: CodeRange
    axes: tuple[int, ...]
    requantize: Requantize
    keep_axes: bool = True

    def __post_init__(self) -> None:
        if min(self.axes, default=0) < 1:
            raise LoweringError(f"'{self.output}' is a mean over axes {self.axes}; axes count from the front, and 0 is the batch.")

    def run(self, codes: Array) -> Array:
        count = int(np.prod([codes.shape[axis] for axis in self.axes]))
        total = codes.sum(self.axes, dtype=np.int64, keepdims=self.keep_axes) - count * self.source.zero_point
        return self.requantize.apply(total)
