"""Arithmetic on one or several values, element by element."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from bitsmith.errors import LoweringError
from bitsmith.integer.bounds import Bounds, multiplied
from bitsmith.integer.codes import CodeRange
from bitsmith.integer.requantization import Requantize
from bitsmith.integer.rescaling import Total
from bitsmith.numerics.formats import Array

MOST_PAIRS = 2**16


@dataclass(frozen=True, eq=False)
class AddRescaled:
    """The sum of values of different encodings, subtracted ones included: `total` says with which arithmetic. Operands broadcast."""

    inputs: tuple[str, ...]
    output: str
    sources: tuple[CodeRange, ...]
    total: Total

    def run(self, *codes: Array) -> Array:
        """By a table of all pairs where there are few enough."""
        if self._table is not None:
            return pick_pairs(self._table, self.sources, codes)
        return self.total.apply(codes)

    @cached_property
    def _table(self) -> Array | None:
        return self.total.apply(every_pair(self.sources)) if few_pairs(self.sources) else None


@dataclass(frozen=True, eq=False)
class MultiplyRescaled:
    """The product of two values: (left - zero point) * (right - zero point), then back to codes. Operands broadcast."""

    inputs: tuple[str, str]
    output: str
    sources: tuple[CodeRange, CodeRange]
    requantize: Requantize

    @property
    def bounds(self) -> Bounds:
        """Worst case of the product."""
        return multiplied(1, self.sources[0].steps, self.sources[1].steps)

    def run(self, *codes: Array) -> Array:
        """By a table of all pairs where there are few enough."""
        return self._multiply(codes) if self._table is None else pick_pairs(self._table, self.sources, codes)

    def _multiply(self, codes: Sequence[Array]) -> Array:
        left, right = (np.subtract(c, source.zero_point, dtype=np.int64) for c, source in zip(codes, self.sources, strict=True))
        return self.requantize.apply(left * right)

    @cached_property
    def _table(self) -> Array | None:
        return self._multiply(every_pair(self.sources)) if few_pairs(self.sources) else None


@dataclass(frozen=True, eq=False)
class Rescale:
    """Codes of one encoding -> codes of another: code - zero point, then requantized."""

    inputs: tuple[str]
    output: str
    source: CodeRange
    requantize: Requantize

    def run(self, codes: Array) -> Array:
        return self.requantize.apply(np.subtract(codes, self.source.zero_point, dtype=np.int32))


@dataclass(frozen=True, eq=False)
class LookUp:
    """Any function of one value: table[code - source.low], or table[channel, code - source.low] along an axis.

    table  codes, [number of codes in] or [channels, number of codes in]
    """

    inputs: tuple[str]
    output: str
    source: CodeRange
    table: Array
    axis: int | None = None

    def __post_init__(self) -> None:
        if self.table.shape[-1] != len(self.source) or self.table.ndim != 1 + (self.axis is not None):
            raise LoweringError(f"'{self.output}': a table of shape {self.table.shape} does not fit {self.source}.")

    def run(self, codes: Array) -> Array:
        places = np.subtract(codes, self.source.low, dtype=np.intp)
        if self.axis is None:
            return np.asarray(self.table[places])
        shape = [1] * codes.ndim
        shape[self.axis] = -1
        return np.asarray(self.table[np.arange(len(self.table)).reshape(shape), places])


@dataclass(frozen=True, eq=False)
class Clamp:
    """Codes below `low` become `low`, codes above `high` become `high`."""

    inputs: tuple[str]
    output: str
    low: int
    high: int

    def run(self, codes: Array) -> Array:
        return np.clip(codes, codes.dtype.type(self.low), codes.dtype.type(self.high))


def few_pairs(sources: Sequence[CodeRange]) -> bool:
    """True for two operands of 8 bits or less: a table of all their pairs is quicker than the arithmetic."""
    return len(sources) == 2 and len(sources[0]) * len(sources[1]) <= MOST_PAIRS


def every_pair(sources: Sequence[CodeRange]) -> tuple[Array, Array]:
    """All codes of the first operand down, all of the second across."""
    left, right = (np.arange(source.low, source.high + 1) for source in sources)
    return left[:, None], right[None, :]


def pick_pairs(table: Array, sources: Sequence[CodeRange], codes: Sequence[Array]) -> Array:
    """The table's entries for the operands' codes."""
    left, right = (np.subtract(c, source.low, dtype=np.intp) for c, source in zip(codes, sources, strict=True))
    left *= table.shape[1]
    return np.asarray(table.reshape(-1)[left + right])
