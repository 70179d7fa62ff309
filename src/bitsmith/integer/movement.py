"""Codes that only move: nothing here changes a number."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from bitsmith.errors import DataError, LoweringError
from bitsmith.numerics.formats import Array

FILL = -1       # in Take: not an element of the source but the filler


@dataclass(frozen=True, eq=False)
class Take:
    """Along each axis named, the source's index of every output element, or FILL: slices, splits, crops, flips, padding of every
    kind, nearest-neighbour resizing, tiling, gathering by constant indices.

    indices  by axis, not 0, the batch; int64
    filler   the code that stands where an index is FILL
    """

    inputs: tuple[str]
    output: str
    indices: Mapping[int, Array]
    filler: int = 0

    def __post_init__(self) -> None:
        if min(self.indices, default=1) < 1:
            raise LoweringError(f"'{self.output}' takes along axis {min(self.indices)}; axes count from the front, and 0 is the batch.")

    def run(self, codes: Array) -> Array:
        for axis, indices in self.indices.items():
            codes = self._take(codes, axis, indices)
        return np.ascontiguousarray(codes)

    def _take(self, codes: Array, axis: int, indices: Array) -> Array:
        before = (slice(None),) * axis
        inside = indices >= 0
        found = codes[(*before, as_slice(indices[inside]))]
        if inside.all():
            return found
        filled = np.full((*codes.shape[:axis], len(indices), *codes.shape[axis + 1:]), self.filler, codes.dtype)
        filled[(*before, as_slice(np.flatnonzero(inside)))] = found
        return filled


def as_slice(indices: Array) -> slice | Array:
    """Evenly rising indices as a slice, which needs no copy; others as they are."""
    if len(indices) and (steps := np.unique(np.diff(indices))).size <= 1 and (not steps.size or steps[0] > 0):
        return slice(int(indices[0]), int(indices[-1]) + 1, int(steps[0]) if steps.size else 1)
    return indices


@dataclass(frozen=True, eq=False)
class Gather:
    """Rows of a constant table by computed indices, which come in as integers; negative ones count from the end.

    table  codes [rows, ...]
    """

    inputs: tuple[str]
    output: str
    table: Array

    def run(self, indices: Array) -> Array:
        rows = len(self.table)
        if indices.size and not (-rows <= indices.min() and indices.max() < rows):
            raise DataError(f"'{self.inputs[0]}' asks for rows {indices.min()}..{indices.max()} of '{self.output}', which has {rows}.")
        return np.asarray(self.table[indices])


@dataclass(frozen=True, eq=False)
class Concatenate:
    """Values of one encoding, one after another along an axis that is not the batch."""

    inputs: tuple[str, ...]
    output: str
    axis: int

    def __post_init__(self) -> None:
        if self.axis < 1:
            raise LoweringError(f"'{self.output}' concatenates along axis {self.axis}; axes count from the front, and 0 is the batch.")

    def run(self, *codes: Array) -> Array:
        batch = max(map(len, codes))
        return np.concatenate([np.broadcast_to(c, (batch, *c.shape[1:])) for c in codes], self.axis)


@dataclass(frozen=True, eq=False)
class Transpose:
    """Axes in another order; axis 0, the batch, stays."""

    inputs: tuple[str]
    output: str
    order: tuple[int, ...]

    def __post_init__(self) -> None:
        if self.order[0] != 0:
            raise LoweringError(f"'{self.output}' transposes by {self.order}, which moves the batch; axis 0 must stay first.")

    def run(self, codes: Array) -> Array:
        return np.ascontiguousarray(codes.transpose(self.order))


@dataclass(frozen=True, eq=False)
class Reshape:
    """Each sample in another shape; one length may be -1: what is left."""

    inputs: tuple[str]
    output: str
    shape: tuple[int, ...]

    def run(self, codes: Array) -> Array:
        known = [length for length in self.shape if length != -1]
        rest = int(np.prod(codes.shape[1:])) // max(1, int(np.prod(known)))
        return codes.reshape(len(codes), *(rest if length == -1 else length for length in self.shape))


@dataclass(frozen=True, eq=False)
class Constant:
    """Codes that are there from the start, [1, ...]: the same for every sample."""

    output: str
    codes: Array
    inputs: tuple[()] = ()

    def run(self) -> Array:
        return self.codes
