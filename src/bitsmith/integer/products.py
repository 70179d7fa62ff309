"""Sums of products of codes: convolution and matrix product. Exact integers, computed in floating point where that is proven exact."""

from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Any

import numpy as np

from bitsmith.errors import LoweringError
from bitsmith.integer.bounds import Bounds, multiplied, weighted
from bitsmith.integer.codes import CodeRange
from bitsmith.integer.requantization import Requantize, along
from bitsmith.integer.windows import SPATIAL, Sizes, Window, dilate, dilated_sizes
from bitsmith.numerics.formats import Array

EXACT = ((np.float32, 2**24), (np.float64, 2**53))      # integers up to here add up exactly
TILE_BYTES = 4 * 2**20                                  # of unfolded windows at a time: what stays in the cache


@dataclass(frozen=True, eq=False)
class Convolve:
    """sum over a window of (code - zero point) * (weight - zero point), plus bias; then back to codes. Padding is the zero point.

    inputs              codes [batch, channels, *spatial], within `source`
    weights             codes [out, channels / groups, *kernel]
    weights_zero_point  int32, () or [out]
    bias                int32 [out], at the scale input * weights
    input_dilation      steps between neighbouring inputs, zero points in between: the strides of a transposed convolution,
                        whose weights come flipped here
    requantize          None: the int32 accumulators come out
    """

    inputs: tuple[str]
    output: str
    source: CodeRange
    weights: Array
    weights_zero_point: Array
    window: Window
    bias: Array | None = None
    groups: int = 1
    input_dilation: Sizes = ()
    requantize: Requantize | None = None

    def __post_init__(self) -> None:
        if self.weights.shape[SPATIAL:] != self.window.kernel or len(self.weights) % self.groups:
            raise LoweringError(f"'{self.output}': weights {self.weights.shape} do not fit {self.window} and {self.groups} groups.")
        object.__setattr__(self, "input_dilation", tuple(self.input_dilation) or (1,) * len(self.window.kernel))

    @cached_property
    def bounds(self) -> Bounds:
        """Worst case of the accumulators, [out]."""
        return weighted(self._steps.reshape(len(self.weights), -1), self.bias, *self.source.steps)

    def run(self, codes: Array) -> Array:
        precise = exact_type(self.bounds, self.bias)
        outputs = prod(self.window.output_sizes(dilated_sizes(codes.shape[SPATIAL:], self.input_dilation)))
        unfolded = codes.shape[1] * prod(self.window.kernel) * outputs * precise.itemsize
        samples = max(1, TILE_BYTES // max(1, unfolded))
        return np.concatenate([self._convolve(codes[i:i + samples], precise) for i in range(0, max(1, len(codes)), samples)])

    def _convolve(self, codes: Array, precise: np.dtype[Any]) -> Array:
        zero = self.source.zero_point
        placed = self.window.place(dilate(codes, self.input_dilation, zero), zero)
        steps = np.subtract(placed.swapaxes(0, 1), zero, dtype=precise, order="C")               # [channels, batch, *spatial]
        depthwise = self.weights.shape[1] == 1 < self.groups
        sums = self._depthwise(steps) if depthwise else self._unfolded(steps)                    # [out, batch, *output]
        if self.bias is not None:
            sums += along(self.bias, sums.ndim, 0).astype(precise)
        return np.ascontiguousarray(finish(sums, self.requantize, axis=0).swapaxes(0, 1))

    def _unfolded(self, steps: Array) -> Array:
        """Unfold the windows into a matrix and multiply, group by group."""
        windows, space = self.window.gather(steps), len(self.window.kernel)               # [channels, batch, *output, *kernel]
        unfolded = windows.transpose(0, *range(-space, 0), *range(1, windows.ndim - space))     # [channels, *kernel, batch, *output]
        columns = np.ascontiguousarray(unfolded).reshape(self.groups, self.weights[0].size, -1)
        weights = self._steps.astype(steps.dtype).reshape(self.groups, -1, self.weights[0].size)
        return np.asarray(np.matmul(weights, columns).reshape(len(self.weights), *unfolded.shape[1 + space:]))

    def _depthwise(self, steps: Array) -> Array:
        """One input channel for each group: add up the kernel's positions."""
        weights = self._steps.astype(steps.dtype).reshape(self.groups, -1, prod(self.window.kernel))
        total: Any = np.zeros((), steps.dtype)
        for position, view in enumerate(self.window.views(steps)):
            term = view[:, None] * weights[:, :, position].reshape(*weights.shape[:2], *(1,) * (view.ndim - 1))
            total = np.add(total, term, out=term)
        return np.asarray(total.reshape(len(self.weights), *total.shape[2:]))

    @cached_property
    def _steps(self) -> Array:
        """The weights, counted from their zero point."""
        return np.asarray(self.weights.astype(np.int32) - along(self.weights_zero_point, self.weights.ndim, 0))


@dataclass(frozen=True, eq=False)
class MatrixMultiply:
    """sum of (left - zero point) * (right - zero point) over the last axis of left and the last but one of right, plus bias; batched.

    inputs              codes (left,) within `source`, or (left, right) within `source` and `other`; they broadcast as in numpy.matmul
    weights             the right operand, [..., terms, out], where it is constant
    weights_zero_point  int32, () or [out]
    bias                int32 [out], at the scale left * right
    requantize          None: the int32 accumulators come out
    """

    inputs: tuple[str, ...]
    output: str
    source: CodeRange
    other: CodeRange | None = None
    weights: Array | None = None
    weights_zero_point: Array | None = None
    bias: Array | None = None
    requantize: Requantize | None = None

    def __post_init__(self) -> None:
        given = (2, True, False) if self.weights is None else (1, False, True)
        if (len(self.inputs), self.other is not None, self.weights_zero_point is not None) != given:
            raise LoweringError(f"'{self.output}' needs one input, weights and their zero point, or two inputs and their ranges.")

    def bounds(self, terms: int) -> Bounds:
        """Worst case of the accumulators, () or [out], where the sum has so many terms."""
        if self.other is not None:
            return multiplied(terms, self.source.steps, self.other.steps)
        return self._weighted

    def run(self, left: Array, *right: Array) -> Array:
        precise = exact_type(self.bounds(left.shape[-1]), self.bias)
        a = np.subtract(left, self.source.zero_point, dtype=precise)
        b = self._steps.astype(precise) if self.other is None else np.subtract(right[0], self.other.zero_point, dtype=precise)
        sums = np.matmul(a.reshape(-1, a.shape[-1]), b).reshape(*a.shape[:-1], b.shape[-1]) if b.ndim == 2 else np.matmul(a, b)
        if self.bias is not None:
            sums += self.bias.astype(precise)
        return finish(sums, self.requantize, axis=-1)

    @cached_property
    def _weighted(self) -> Bounds:
        """Of each output channel over all matrices of the batch."""
        columns = np.moveaxis(self._steps, -2, -1)
        each = weighted(columns.reshape(prod(columns.shape[:-1]), columns.shape[-1]), None, *self.source.steps)
        lowest, highest = (side.reshape(prod(columns.shape[:-2]), columns.shape[-2]) for side in (each.lowest, each.highest))
        start = np.int64(0) if self.bias is None else self.bias.astype(np.int64)
        return Bounds(start + lowest.min(0), start + highest.max(0))

    @cached_property
    def _steps(self) -> Array:
        """The weights, counted from their zero point."""
        assert self.weights is not None
        assert self.weights_zero_point is not None
        return np.asarray(self.weights.astype(np.int32) - self.weights_zero_point)


def finish(sums: Array, requantize: Requantize | None, *, axis: int) -> Array:
    """Accumulators as they are, or as codes."""
    return sums.astype(np.int32) if requantize is None else requantize.apply(sums, axis=axis)


def exact_type(bounds: Bounds, bias: Array | None) -> np.dtype[Any]:
    """The floating point type in which sums within the bounds, with and without their bias, are exact."""
    magnitude = bounds.largest + (0 if bias is None else int(np.abs(bias.astype(np.int64)).max(initial=0)))
    for kind, limit in EXACT:
        if magnitude <= limit:
            return np.dtype(kind)
    raise LoweringError(f"A sum of products reaches {magnitude}, beyond every accumulator; narrow the codes or the weights.")
