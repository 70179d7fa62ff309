"""Where the windows of a kernel stand on a tensor [batch, channels, *spatial]: strides, dilations, padding."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import product
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from bitsmith.errors import LoweringError
from bitsmith.numerics.formats import Array

Sizes = tuple[int, ...]
SPATIAL = 2      # axes before the spatial ones


@dataclass(frozen=True)
class Window:
    """kernel, strides, dilations: one number for each spatial axis

    pads       (before, after) of each spatial axis; a negative one crops
    ceil_mode  a last window may reach beyond the padding, as long as it starts inside the tensor or the padding before it
    """

    kernel: Sizes
    strides: Sizes
    dilations: Sizes
    pads: tuple[tuple[int, int], ...]
    ceil_mode: bool = False

    @classmethod
    def of(cls, kernel: Sequence[int], *, strides: Sequence[int] = (), dilations: Sequence[int] = (),
           pads: Sequence[tuple[int, int]] = (), ceil_mode: bool = False) -> Self:
        """What is left out is 1 (strides, dilations) or 0 (pads)."""
        ones = (1,) * len(kernel)
        pairs = tuple((before, after) for before, after in pads)
        window = cls(tuple(kernel), tuple(strides) or ones, tuple(dilations) or ones, pairs or ((0, 0),) * len(kernel), ceil_mode)
        counts = {len(window.strides), len(window.dilations), len(window.pads)}
        if counts != {len(kernel)} or min(window.kernel + window.strides + window.dilations, default=1) < 1:
            raise LoweringError(f"{window} needs as many positive strides, dilations and pairs of pads as the kernel has axes.")
        return window

    @property
    def extents(self) -> Sizes:
        """How far the kernel reaches along each axis, dilation included."""
        return tuple((k - 1) * d + 1 for k, d in zip(self.kernel, self.dilations, strict=True))

    def output_sizes(self, sizes: Sizes) -> Sizes:
        """Number of windows along each spatial axis. Raises LoweringError where not even one fits."""
        counts = []
        for size, extent, stride, (before, after) in zip(sizes, self.extents, self.strides, self.pads, strict=True):
            free = size + before + after - extent
            count = free // stride + 1
            reaches_beyond = self.ceil_mode and free % stride > 0 and count * stride < size + before
            counts.append(count + reaches_beyond)
        if min(counts, default=1) < 1:
            raise LoweringError(f"A kernel of {self.kernel} with dilations {self.dilations} does not fit {sizes} padded by {self.pads}.")
        return tuple(counts)

    def covered(self, sizes: Sizes) -> Sizes:
        """How much of each padded axis the windows touch."""
        return tuple((n - 1) * s + e for n, s, e in zip(self.output_sizes(sizes), self.strides, self.extents, strict=True))

    def place(self, values: Array, filler: int | float) -> Array:
        """What the windows touch: the values, with the filler around them."""
        sizes = values.shape[SPATIAL:]
        covered = self.covered(sizes)
        if covered == sizes and not any(before for before, _ in self.pads):
            return values
        placed = np.full(values.shape[:SPATIAL] + covered, filler, values.dtype)
        source, target = [slice(None)] * SPATIAL, [slice(None)] * SPATIAL
        for size, length, (before, _) in zip(sizes, covered, self.pads, strict=True):
            source.append(slice(max(0, -before), max(0, min(size, length - before))))
            target.append(slice(max(0, before), max(0, before, min(length, size + before))))
        placed[tuple(target)] = values[tuple(source)]
        return placed

    def views(self, placed: Array) -> Iterator[Array]:
        """For each kernel position, row by row, what all windows [..., *output] see there; `placed` as `place` returns it."""
        outputs = self._outputs_on(placed.shape[-len(self.kernel):])
        for position in product(*map(range, self.kernel)):
            starts = [p * d for p, d in zip(position, self.dilations, strict=True)]
            ends = [start + (n - 1) * s + 1 for start, n, s in zip(starts, outputs, self.strides, strict=True)]
            yield placed[last_axes(map(slice, starts, ends, self.strides))]

    def gather(self, placed: Array) -> Array:
        """All windows as a view [..., *output, *kernel]; `placed` as `place` returns it."""
        axes = tuple(range(-len(self.kernel), 0))
        every = np.lib.stride_tricks.sliding_window_view(placed, self.extents, axis=axes)
        return np.asarray(every[last_axes(slice(None, None, step) for step in self.strides + self.dilations)])

    def counts(self, sizes: Sizes, *, include_pad: bool) -> npt.NDArray[np.int64]:
        """How many elements of the tensor each window holds, [*output]; with `include_pad` those of the padding too."""
        per_axis = []
        for axis, outputs in enumerate(self.output_sizes(sizes)):
            before, after = self.pads[axis]
            starts = np.arange(outputs)[:, None] * self.strides[axis] - before
            positions = starts + np.arange(self.kernel[axis]) * self.dilations[axis]
            low, high = (-before, sizes[axis] + after) if include_pad else (0, sizes[axis])
            per_axis.append(((positions >= low) & (positions < high)).sum(1))
        return reduce(np.multiply.outer, per_axis)

    def _outputs_on(self, covered: Sizes) -> Sizes:
        return tuple((c - e) // s + 1 for c, e, s in zip(covered, self.extents, self.strides, strict=True))


def dilate(values: Array, steps: Sizes, filler: int) -> Array:
    """The values with `step - 1` fillers between neighbours along each spatial axis."""
    if all(step == 1 for step in steps):
        return values
    spread: npt.NDArray[Any] = np.full(values.shape[:SPATIAL] + dilated_sizes(values.shape[SPATIAL:], steps), filler, values.dtype)
    spread[last_axes(slice(None, None, step) for step in steps)] = values
    return spread


def dilated_sizes(sizes: Sizes, steps: Sizes) -> Sizes:
    return tuple((size - 1) * step + 1 for size, step in zip(sizes, steps, strict=True))


def last_axes(slices: Iterable[slice]) -> tuple[Any, ...]:
    """An index that cuts the last axes only."""
    return ..., *slices
