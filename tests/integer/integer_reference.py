"""Slow, obvious meanings of the instructions: loops over positions, Python's own integers and fractions."""

from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt

from bitsmith.integer.codes import CodeRange
from bitsmith.integer.windows import Window

Array = npt.NDArray[Any]


def inputs_of(window: Window, output: Sequence[int], sizes: Sequence[int], steps: Sequence[int]) -> Iterator[tuple[Any, Any]]:
    """(kernel position, input position) of every element of the tensor that one window sees; `steps` between neighbouring inputs."""
    for position in product(*map(range, window.kernel)):
        places = [o * s + k * d - before
                  for o, s, k, d, (before, _) in zip(output, window.strides, position, window.dilations, window.pads, strict=True)]
        if all(0 <= place < (size - 1) * step + 1 and place % step == 0 for place, size, step in zip(places, sizes, steps, strict=True)):
            yield position, tuple(place // step for place, step in zip(places, steps, strict=True))


def output_sizes(window: Window, sizes: Sequence[int]) -> list[int]:
    """Count the windows one by one: each must end inside the padding; with `ceil_mode` one more may begin before the tensor ends."""
    found = []
    for size, stride, extent, (before, after) in zip(sizes, window.strides, window.extents, window.pads, strict=True):
        count = 0
        while count * stride + extent <= size + before + after:
            count += 1
        spare = (count - 1) * stride + extent < size + before + after
        if window.ceil_mode and spare and count * stride < size + before:
            count += 1
        found.append(count)
    return found


def convolve(codes: Array, zero: int, weights: Array, weights_zero: Array, bias: Array | None, window: Window, groups: int,
             steps: Sequence[int]) -> Array:
    """int64 accumulators."""
    x, w = codes.astype(np.int64) - zero, weights.astype(np.int64)
    w = w - np.broadcast_to(weights_zero, (len(w),)).reshape(-1, *(1,) * (w.ndim - 1))
    inner, outer = w.shape[1], len(w) // groups
    sizes = output_sizes(window, [(size - 1) * step + 1 for size, step in zip(codes.shape[2:], steps, strict=True)])
    sums = np.zeros((len(codes), len(w), *sizes), np.int64)
    for output in np.ndindex(*sizes):
        for kernel, place in inputs_of(window, output, codes.shape[2:], steps):
            for group in range(groups):
                left = x[(slice(None), slice(group * inner, (group + 1) * inner), *place)]
                right = w[(slice(group * outer, (group + 1) * outer), slice(None), *kernel)]
                sums[(slice(None), slice(group * outer, (group + 1) * outer), *output)] += left @ right.T
    return sums if bias is None else sums + bias.astype(np.int64).reshape(-1, *(1,) * len(sizes))


def windows(codes: Array, window: Window) -> Iterator[tuple[tuple[int, ...], list[Array]]]:
    """Each output position with the elements of the tensor that its window sees, in order, [batch, channels] each."""
    steps = [1] * len(window.kernel)
    for output in np.ndindex(*output_sizes(window, codes.shape[2:])):
        yield output, [codes[(slice(None), slice(None), *place)] for _, place in inputs_of(window, output, codes.shape[2:], steps)]


def to_float32(exact: Fraction) -> np.float32:
    """The nearest float32, ties to the even mantissa."""
    near = np.float32(float(exact))
    candidates = [np.nextafter(near, np.float32(-np.inf)), near, np.nextafter(near, np.float32(np.inf))]
    return min(candidates, key=lambda c: (abs(Fraction(float(c)) - exact), int(c.view(np.int32)) & 1))


def requantize_float(value: int, multiplier: float, codes: CodeRange, *, zero_first: bool = False) -> int:
    """Python's round sends ties to even."""
    steps = np.float32(value) * np.float32(multiplier)
    zero = codes.zero_point
    code = round(float(np.float32(steps + np.float32(zero)))) if zero_first else round(float(steps)) + zero
    return min(max(code, codes.low), codes.high)


def requantize_even(value: int, shift: int, codes: CodeRange, *, zero_first: bool = False) -> int:
    """Nearest integer, ties to even steps or to even codes."""
    exact, zero = Fraction(value) / Fraction(2) ** shift, codes.zero_point
    return min(max(round(exact + zero) if zero_first else round(exact) + zero, codes.low), codes.high)


def requantize_fixed(value: int, multiplier: int, shift: int, codes: CodeRange) -> int:
    """Nearest integer, ties upward."""
    code = int((Fraction(value * multiplier, 2**shift) + Fraction(1, 2)) // 1) + codes.zero_point
    return min(max(code, codes.low), codes.high)
