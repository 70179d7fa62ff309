"""Convolutions and matrix products of float32 numbers. Sums begin at 0 and go term by term, each product and each sum rounded once."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from bitsmith.errors import LoweringError
from bitsmith.integer.windows import SPATIAL, Sizes, Window, dilate
from bitsmith.numerics.formats import Array
from bitsmith.real.limits import NO_LIMITS, Limits

TILE = 2**17            # partial sums at a time: what stays in the cache


@dataclass(frozen=True, eq=False)
class Weights:
    """steps  float32, or whole numbers that stand for `scale` each; outputs along the first axis
    scale  float32 [outputs]; None: the steps are the weights
    bias   float32 [outputs]
    """

    steps: Array
    scale: Array | None
    bias: Array

    def finish(self, sums: Array, limits: Limits) -> Array:
        """Sums [outputs, ...] of steps -> results."""
        shape = (-1, *(1,) * (sums.ndim - 1))
        scaled = sums if self.scale is None else sums * self.scale.reshape(shape)
        return limits.apply(scaled + self.bias.reshape(shape))


@dataclass(frozen=True, eq=False)
class RealConvolve:
    """Over a window: kernel rows, then columns, then the channels of a group. Padding is 0.

    inputs          [batch, channels, *spatial]
    weights         [out, channels / groups, *kernel]
    input_dilation  steps between neighbouring inputs, zeros in between: the strides of a transposed convolution
    """

    inputs: tuple[str]
    output: str
    weights: Weights
    window: Window
    groups: int = 1
    input_dilation: Sizes = ()
    limits: Limits = NO_LIMITS

    def __post_init__(self) -> None:
        steps = self.weights.steps
        if steps.shape[SPATIAL:] != self.window.kernel or len(steps) % self.groups:
            raise LoweringError(f"'{self.output}': weights {steps.shape} do not fit {self.window} and {self.groups} groups.")
        object.__setattr__(self, "input_dilation", tuple(self.input_dilation) or (1,) * len(self.window.kernel))

    @cached_property
    def matrix(self) -> Array:
        """Weights in the order of the sum, [out, terms]."""
        return np.moveaxis(self.weights.steps, 1, -1).reshape(len(self.weights.steps), -1)

    def run(self, reals: Array) -> Array:
        placed = self.window.place(dilate(reals, self.input_dilation, 0), 0)
        windows, space = self.window.gather(placed), len(self.window.kernel)            # [batch, channels, *output, *kernel]
        outputs = windows.shape[2:2 + space]
        split = windows.reshape(len(reals), self.groups, -1, *windows.shape[2:])
        order = (1, *range(3 + space, 3 + 2 * space), 2, 0, *range(3, 3 + space))       # groups, kernel, channels, batch, output
        columns = split.transpose(order).reshape(self.groups, self.matrix.shape[1], -1)
        matrix = self.matrix.reshape(self.groups, -1, self.matrix.shape[1])
        sums = np.stack([sum_in_order(rows, terms) for rows, terms in zip(matrix, columns, strict=True)])
        found = self.weights.finish(sums.reshape(len(self.matrix), len(reals), *outputs), self.limits)
        return np.ascontiguousarray(found.swapaxes(0, 1))


def sum_in_order(left: Array, right: Array) -> Array:
    """[rows, terms] x [terms, columns], term after term."""
    wide = max(1, TILE // max(1, len(left)))
    left = left.astype(np.float32)
    return np.concatenate([sum_tile(left, right[:, at:at + wide]) for at in range(0, max(1, right.shape[1]), wide)], 1)


def sum_tile(left: Array, right: Array) -> Array:
    total = np.zeros((len(left), right.shape[1]), np.float32)
    with np.errstate(invalid="ignore", over="ignore"):
        for term in range(left.shape[1]):
            total += left[:, term, None] * right[term]
    return total


@dataclass(frozen=True, eq=False)
class RealMultiply:
    """Rows times a matrix of weights [out, terms]; the rows' elements in the order of their last axis."""

    inputs: tuple[str]
    output: str
    weights: Weights
    limits: Limits = NO_LIMITS

    def run(self, reals: Array) -> Array:
        rows = reals.reshape(-1, reals.shape[-1])
        sums = sum_in_order(self.weights.steps, np.ascontiguousarray(rows.T))
        return np.ascontiguousarray(self.weights.finish(sums, self.limits).T).reshape(*reals.shape[:-1], -1)


@dataclass(frozen=True, eq=False)
class RealMultiplyPair:
    """The product of two computed values as in numpy.matmul; batches broadcast."""

    inputs: tuple[str, str]
    output: str
    limits: Limits = NO_LIMITS

    def run(self, left: Array, right: Array) -> Array:
        total: Array = np.zeros((), np.float32)
        with np.errstate(invalid="ignore", over="ignore"):
            for term in range(left.shape[-1]):
                total = total + left[..., term, None] * right[..., term, None, :]
        return self.limits.apply(total)
