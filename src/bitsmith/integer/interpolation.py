"""Functions of one 16-bit value: a short table, straight lines between its entries, and the proof of how far that is from the function."""

from dataclasses import dataclass

import numpy as np

from bitsmith.integer.arithmetic import LookUp
from bitsmith.integer.codes import CodeRange
from bitsmith.numerics.formats import Array

FRACTION = 5                    # bits behind the point of entries: with them and shifts of up to 7, 32 bits hold every sum
SHIFTS = (7, 6, 5, 4)           # of 65,536 codes: 513, 1025, 2049, 4097 entries
BEYOND = 2**15                  # codes by which entries may leave the range, so that lines bend where saturation begins
CLOSE, FAR = 1, 8               # codes: an error that no longer table would be worth, and one that no short table is


@dataclass(frozen=True, eq=False)
class Interpolate:
    """With place = code - source.low, i = place // 2**shift and part = place % 2**shift:

    code = (table[i] * 2**shift + (table[i + 1] - table[i]) * part) / 2**(shift + 5), rounded, ties upward, clamped

    table  int32, zero point included, 5 bits behind the point; [entries], or [channels, entries] along an axis
    error  the most that a code differs from the function's own, over all codes
    """

    inputs: tuple[str]
    output: str
    source: CodeRange
    table: Array
    shift: int
    codes: CodeRange
    axis: int | None = None
    error: int = 0

    def run(self, codes: Array) -> Array:
        places = np.subtract(codes, self.source.low, dtype=np.int64)
        at, part = places >> self.shift, places & ((1 << self.shift) - 1)
        rows: tuple[Array, ...] = ()
        if self.axis is not None:
            shape = [1] * codes.ndim
            shape[self.axis] = -1
            rows = (np.arange(len(self.table)).reshape(shape),)
        left, right = (self.table[(*rows, at + step)].astype(np.int64) for step in (0, 1))
        total = (left << self.shift) + (right - left) * part
        bits = self.shift + FRACTION
        return self.codes.clamp((total + (1 << (bits - 1))) >> bits)


def shortened(exact: LookUp, steps: Array, codes: CodeRange) -> LookUp | Interpolate:
    """The shortest table that is within a code of the function everywhere, else the one of least error; `exact` itself where all are far.

    steps  the function of every code, unrounded and unclamped, zero point included: float64, of the shape of exact.table
    """
    if np.isnan(steps).any():
        return exact
    tried = []
    for shift in SHIFTS:
        tried.append(with_error(exact, knots(steps, shift, codes), shift, codes))
        if tried[-1].error <= CLOSE:
            return tried[-1]
    best = min(tried, key=lambda table: table.error)
    return best if best.error <= FAR else exact


def knots(steps: Array, shift: int, codes: CodeRange) -> Array:
    """int32: the function at every 2**shift-th code, and one more, so that the last line ends in the last code."""
    inside = np.clip(steps, codes.low - BEYOND, codes.high + BEYOND)
    taken, length = inside[..., ::1 << shift], 1 << shift
    last = inside[..., -1:]
    beyond = taken[..., -1:] + (last - taken[..., -1:]) * (length / (length - 1))
    return np.rint(np.concatenate([taken, beyond], -1) * 2.0**FRACTION).astype(np.int32)


def with_error(exact: LookUp, table: Array, shift: int, codes: CodeRange) -> Interpolate:
    """The instruction, with its error over all codes."""
    every = np.arange(exact.source.low, exact.source.high + 1)
    error = 0
    for row, own in zip(np.atleast_2d(table), np.atleast_2d(exact.table), strict=True):
        found = Interpolate(exact.inputs, exact.output, exact.source, row, shift, codes).run(every)
        error = max(error, int(np.abs(found.astype(np.int64) - own).max()))
    return Interpolate(exact.inputs, exact.output, exact.source, table, shift, codes, exact.axis, error)
