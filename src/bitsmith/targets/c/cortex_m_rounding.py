"""Requantization by SMMLA: the upper half of accumulator * multiplier + (rounding and zero point), then one shift."""

import numpy as np

from bitsmith.integer.bounds import weighted
from bitsmith.integer.codes import CodeRange
from bitsmith.integer.instructions import Convolve, MatrixMultiply
from bitsmith.integer.requantization import FixedPoint
from bitsmith.numerics.formats import Array
from bitsmith.targets.c.call import Fields, Table
from bitsmith.targets.c.rounding import ONE

BYTE = 8                # bits by which the second channel of a pair stands above the first
UPPER = 32
UNUSED = 40             # a shift, where the multiplier is 0


def saturate_part(codes: CodeRange) -> str:
    """One instruction where all codes of a byte are allowed."""
    return {(0, 255): "saturate_unsigned", (-128, 127): "saturate_signed"}.get((codes.low, codes.high), "saturate_between")


def finish_fields(step: Convolve | MatrixMultiply, ordered: Array, signs: Array | None) -> Fields | None:
    """The struct `finish` for pairs of channels; weights [out, terms], counted from their zero point. None where a number does not fit.

    signs  [out], of the weights as they are stored in words of two channels; None where they are stored each by itself
    """
    if signs is None:
        return finish(step, ordered, np.ones(len(ordered), np.int64), folded(step, ordered))
    factors = signs * np.where(np.arange(len(ordered)) % 2, 1 << BYTE, 1)
    start = folded(step, ordered) * factors
    start[1::2] += start[0::2][:len(start) // 2]
    return finish(step, ordered, factors, start)


def spare_factors(step: Convolve) -> Array:
    """[out] powers of two by which 16-bit weights may be multiplied, so that shifts are large enough."""
    assert isinstance(step.requantize, FixedPoint)
    shift = np.broadcast_to(np.atleast_1d(step.requantize.shift), len(step.weights)).astype(np.int64)
    return np.asarray(1 << np.clip(UPPER + 1 - shift, 0, BYTE - 1))


def finish_multiplied(step: Convolve, ordered: Array, factors: Array) -> Fields | None:
    """The same for weights that are stored multiplied by the factors, each channel by itself."""
    return finish(step, ordered, factors, folded(step, ordered) * factors)


def folded(step: Convolve | MatrixMultiply, ordered: Array) -> Array:
    """The bias, with the code of 0 times the weights in it."""
    bias = np.zeros(len(ordered), np.int64) if step.bias is None else step.bias.astype(np.int64)
    return np.asarray(bias - step.source.zero_point * ordered.sum(1, dtype=np.int64))


def finish(step: Convolve | MatrixMultiply, ordered: Array, factors: Array, start: Array) -> Fields | None:
    """factors: by which each accumulator comes too large. start: wraps around, as sums do."""
    rounding = step.requantize
    if not isinstance(rounding, FixedPoint):
        return None
    each = (np.broadcast_to(np.atleast_1d(part), len(ordered)) for part in (rounding.multiplier, rounding.shift))
    multiplier, shift = (part.astype(np.int64) for part in each)
    multiplier, shift = np.where(multiplier == 0, 0, multiplier), np.where(multiplier == 0, UNUSED, shift)
    beyond = shift + np.log2(abs(factors)).astype(np.int64) - UPPER
    zero = 2 * rounding.codes.zero_point + 1
    reach = weighted(ordered, step.bias, *step.source.steps)
    fits = (np.maximum(-reach.lowest, reach.highest) * abs(factors) < 2**31) & (beyond >= 1) & (beyond < UPPER)
    fits &= abs(zero) * 2.0**np.clip(beyond, 0, UPPER) < ONE * 2
    if not fits.all():
        return None
    wrapped = (start.astype(np.int64) + 2**31) % 2**32 - 2**31
    offset = (zero << beyond) >> 1
    table = np.stack([wrapped, multiplier * np.sign(factors), offset, beyond], 1)
    filled = np.pad(table, ((0, len(table) % 2), (0, 0)))
    return Fields({"channels": Table(filled, "int32_t"), "low": rounding.codes.low, "high": rounding.codes.high})
