"""Windows and whole axes of float32 numbers: the largest, the average, the mean, softmax. Sums begin at 0 and go element by element."""

from dataclasses import dataclass
from functools import reduce
from math import inf, prod

import numpy as np

from bitsmith.errors import LoweringError
from bitsmith.integer.windows import SPATIAL, Window
from bitsmith.numerics.formats import Array


def larger(one: Array, other: Array) -> Array:
    return np.where(other > one, other, one)


@dataclass(frozen=True, eq=False)
class RealMaxPool:
    """The largest number of each window; padding never wins, nor does what is no number. [batch, channels, *spatial]."""

    inputs: tuple[str]
    output: str
    window: Window

    def run(self, reals: Array) -> Array:
        views = self.window.views(self.window.place(reals, -inf))
        return np.ascontiguousarray(reduce(larger, views, np.full((), -inf, np.float32)))


@dataclass(frozen=True, eq=False)
class RealAveragePool:
    """The average of each window, over the elements inside the tensor or, with `include_pad`, over zeros in the padding as well."""

    inputs: tuple[str]
    output: str
    window: Window
    include_pad: bool = False

    def run(self, reals: Array) -> Array:
        total: Array = reduce(np.add, self.window.views(self.window.place(reals, 0)), np.zeros((), np.float32))
        return np.asarray(total / self.window.counts(reals.shape[SPATIAL:], include_pad=self.include_pad).astype(np.float32))


@dataclass(frozen=True, eq=False)
class RealMean:
    """The mean over whole axes, the first of them outermost.

    axes       not 0, the batch; rising
    keep_axes  whether they stay, with length 1
    """

    inputs: tuple[str]
    output: str
    axes: tuple[int, ...]
    keep_axes: bool = True

    def __post_init__(self) -> None:
        if min(self.axes, default=0) < 1:
            raise LoweringError(f"'{self.output}' is a mean over axes {self.axes}; axes count from the front, and 0 is the batch.")

    def run(self, reals: Array) -> Array:
        count = prod(reals.shape[axis] for axis in self.axes)
        first = np.moveaxis(reals, self.axes, range(len(self.axes)))
        total: Array = reduce(np.add, first.reshape(count, *first.shape[len(self.axes):]), np.zeros((), np.float32))
        mean = np.asarray(total / np.float32(count))
        return np.expand_dims(mean, self.axes) if self.keep_axes else mean


@dataclass(frozen=True, eq=False)
class RealSoftmax:
    """exp(x - largest) over their sum, along one axis that is not the batch."""

    inputs: tuple[str]
    output: str
    axis: int

    def run(self, reals: Array) -> Array:
        powers = np.exp(reals - reals.max(self.axis, keepdims=True))
        total: Array = reduce(np.add, np.moveaxis(powers, self.axis, 0), np.zeros((), np.float32))
        return np.asarray(powers / np.expand_dims(total, self.axis))
