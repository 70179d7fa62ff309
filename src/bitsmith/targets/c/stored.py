"""How a value lies in memory: in which order of its axes, and of which C type."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from bitsmith.errors import TargetError

Sizes = tuple[int, ...]
C_TYPES = {"uint8": "uint8_t", "int8": "int8_t", "uint16": "uint16_t", "int16": "int16_t", "int32": "int32_t", "int64": "int32_t",
           "float32": "float"}


@dataclass(frozen=True)
class Stored:
    """One sample of a value.

    shape  as the network says, without the batch
    kind   of its codes; integers that the network takes as int64 are int32 here
    parts  the shape that the value had before it was reshaped: memory holds it in that shape
    order  the axes of `parts`, the one that varies slowest in memory first
    """

    shape: Sizes
    kind: np.dtype[Any]
    parts: Sizes
    order: Sizes

    @classmethod
    def natural(cls, shape: Sequence[int], kind: np.dtype[Any]) -> "Stored":
        """In the order of its axes, as numpy has it."""
        return cls(tuple(shape), kind, tuple(shape), tuple(range(len(shape))))

    @property
    def c_type(self) -> str:
        return C_TYPES[self.kind.name]

    @property
    def width(self) -> int:
        """Bytes of one element."""
        return min(4, self.kind.itemsize)

    @property
    def count(self) -> int:
        return prod(self.shape)

    @property
    def bytes(self) -> int:
        return self.count * self.width

    @property
    def is_plain(self) -> bool:
        """True where memory holds the shape that the network says."""
        return self.parts == self.shape

    @property
    def is_natural(self) -> bool:
        """True where the elements lie in numpy's order; axes of length 1 may stand anywhere."""
        long = [axis for axis in self.order if self.parts[axis] != 1]
        return long == sorted(long)

    @property
    def sizes(self) -> Sizes:
        """Lengths in memory's order."""
        return tuple(self.parts[axis] for axis in self.order)

    @property
    def strides(self) -> Sizes:
        """Elements from one to the next along each axis of `parts`."""
        steps = [0] * len(self.parts)
        step = 1
        for axis in reversed(self.order):
            steps[axis] = step
            step *= self.parts[axis]
        return tuple(steps)

    def reshaped(self, shape: Sizes) -> "Stored":
        """The same memory as another shape."""
        if self.is_natural:
            return Stored.natural(shape, self.kind)
        return Stored(shape, self.kind, self.parts, self.order)

    def in_order(self, order: Sizes) -> "Stored":
        """The same plain value in another order of memory."""
        return Stored(self.shape, self.kind, self.shape, order)

    def same_memory(self, other: "Stored") -> bool:
        """True where both hold the same elements in the same places."""
        if self.is_natural or other.is_natural:
            return self.is_natural and other.is_natural
        long, others = ([(axis, s.parts[axis]) for axis in s.order if s.parts[axis] != 1] for s in (self, other))
        return long == others and self.parts == other.parts

    def places(self) -> np.ndarray[Any, np.dtype[np.int64]]:
        """For each place in memory, the index of its element in numpy's order."""
        return np.arange(self.count).reshape(self.parts).transpose(self.order).reshape(-1)


def channels_last(rank: int) -> Sizes:
    """(C, H, W) -> H, W, C."""
    return (*range(1, rank), 0)


@dataclass(frozen=True)
class Loops:
    """Nested loops over several tensors at once: counts, outermost first, and each tensor's steps."""

    counts: Sizes
    steps: tuple[Sizes, ...]


def nest(counts: Sequence[int], *steps: Sequence[int], depth: int = 4, owner: str = "") -> Loops:
    """As few loops as do, filled up in front with loops of one turn. Raises TargetError where more than `depth` are needed."""
    merged: list[tuple[int, tuple[int, ...]]] = []
    for count, *each in zip(counts, *steps, strict=True):
        if count == 1:
            continue
        if merged and merged[-1][1] == tuple(step * count for step in each):
            merged[-1] = (merged[-1][0] * count, tuple(each))
        else:
            merged.append((count, tuple(each)))
    if len(merged) > depth:
        raise TargetError(f"'{owner}' needs {len(merged)} nested loops, and the target 'c' has {depth}; use fewer axes in the network.")
    filled = [(1, (0,) * len(steps))] * (depth - len(merged)) + merged
    return Loops(tuple(count for count, _ in filled), tuple(tuple(each[i] for _, each in filled) for i in range(len(steps))))
