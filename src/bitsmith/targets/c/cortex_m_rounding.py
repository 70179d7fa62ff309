"""Requantization by SMMLA, the upper half of accumulator * multiplier + addend: ties upward with a shift behind it, or to even."""

import numpy as np

from bitsmith.integer.bounds import weighted
from bitsmith.integer.codes import CodeRange
from bitsmith.integer.instructions import Convolve, MatrixMultiply
from bitsmith.integer.requantization import EvenShift, FixedPoint, Requantize
from bitsmith.numerics.formats import Array
from bitsmith.targets.c.call import Entries, Fields, Table
from bitsmith.targets.c.rounding import ONE

BYTE = 8                # bits by which the second channel of a pair stands above the first
UPPER = 32
UNUSED = 40             # a shift, where the multiplier is 0
LEAST = 2               # shift by SMMLA: its multiplier 2**(32 - shift) is below 2**31
TOP = 31                # the bit that says whether a number is odd is shifted there


def saturate_part(codes: CodeRange) -> str:
    """One instruction where all codes of a byte are allowed, two where they end at some other than the last."""
    if lack(codes):
        return "saturate_capped_unsigned" if codes.low == 0 else "saturate_capped_signed"
    return {(0, 255): "saturate_unsigned", (-128, 127): "saturate_signed"}.get((codes.low, codes.high), "saturate_between")


def lack(codes: CodeRange) -> int:
    """How far the highest code is from the last of a byte, if the lowest is the first; else 0. It is added until codes are clamped."""
    if codes.storage.itemsize > 1:
        return 0
    return max(0, {0: 255, -128: 127}.get(codes.low, codes.high) - codes.high)


def limits(codes: CodeRange) -> Entries:
    return {"low": lack(codes) or codes.low, "high": codes.high}


def rounds(rounding: Requantize | None) -> bool:
    """True for what is rounded in integers."""
    return isinstance(rounding, (FixedPoint, EvenShift))


def finish_part(rounding: Requantize | None) -> dict[str, str]:
    """What takes sums to codes."""
    return {"ties": "ties_even", "finish": "finish_even"} if isinstance(rounding, EvenShift) else {"finish": "finish"}


def finish_fields(step: Convolve | MatrixMultiply, ordered: Array, signs: Array | None) -> Fields | None:
    """The struct `finish` for pairs of channels; weights [out, terms], counted from their zero point. None where a number does not fit.

    signs  [out], of the weights as they are stored in words of two channels; None where they are stored each by itself
    """
    if signs is None:
        return finish(step, ordered, np.ones(len(ordered), np.int64))
    return finish(step, ordered, signs * np.where(np.arange(len(ordered)) % 2, 1 << BYTE, 1), paired=True)


def spare_factors(step: Convolve) -> Array:
    """[out] powers of two by which 16-bit weights may be multiplied, so that shifts are large enough."""
    assert isinstance(step.requantize, (FixedPoint, EvenShift))
    least = LEAST if isinstance(step.requantize, EvenShift) else UPPER + 1
    return np.asarray(1 << np.clip(least - each_channel(step.requantize.shift, len(step.weights)), 0, BYTE - 1))


def each_channel(numbers: Array, channels: int) -> Array:
    """One for all, or one for each -> [channels]."""
    return np.broadcast_to(np.atleast_1d(numbers), channels).astype(np.int64)


def folded(step: Convolve | MatrixMultiply, ordered: Array) -> Array:
    """The bias, with the code of 0 times the weights in it."""
    bias = np.zeros(len(ordered), np.int64) if step.bias is None else step.bias.astype(np.int64)
    return np.asarray(bias - step.source.zero_point * ordered.sum(1, dtype=np.int64))


def finish(step: Convolve | MatrixMultiply, ordered: Array, factors: Array, *, paired: bool = False) -> Fields | None:
    """factors: by which each accumulator comes too large. paired: the first channel's sum is part of the second's."""
    assert step.requantize is not None
    bounds = weighted(ordered, step.bias, *step.source.steps)
    reach = np.maximum(-bounds.lowest, bounds.highest)
    found = rounding_table(step.requantize, reach, factors)
    if found is None:
        return None
    start = folded(step, ordered) * factors + found[:, 0]
    if paired:
        start[1::2] += start[0::2][:len(start) // 2]
    found[:, 0] = (start + 2**31) % 2**32 - 2**31           # sums wrap around
    filled = np.pad(found, ((0, len(found) % 2), (0, 0)))
    return Fields({"channels": Table(filled, "int32_t"), **limits(step.requantize.codes)})


def rounding_table(rounding: Requantize, reach: Array, factors: Array) -> Array | None:
    """[out, 4]: what is added to accumulators, then see the struct `finish`. None where that does not fit. reach: of the accumulators."""
    if isinstance(rounding, FixedPoint):
        return by_multiplier(rounding, reach, factors)
    return by_shift(rounding, reach, factors) if isinstance(rounding, EvenShift) else None


def by_multiplier(rounding: FixedPoint, reach: Array, factors: Array) -> Array | None:
    multiplier, shift = (each_channel(part, len(factors)) for part in (rounding.multiplier, rounding.shift))
    beyond = np.where(multiplier == 0, UNUSED, shift) + bits_of(factors) - UPPER
    zero = 2 * (rounding.codes.zero_point + lack(rounding.codes)) + 1
    fits = (reach * abs(factors) < 2**31) & (beyond >= 1) & (beyond < UPPER)
    fits &= abs(zero) * 2.0**np.clip(beyond, 0, UPPER) < ONE * 2
    if not fits.all():
        return None
    return np.stack([np.zeros_like(beyond), multiplier * np.sign(factors), (zero << beyond) >> 1, beyond], 1)


def by_shift(rounding: EvenShift, reach: Array, factors: Array) -> Array | None:
    """With half a step, less 1, a sum that was a tie ends in ones: adding the bit above them carries where the code would be odd.

    Negated sums begin with minus half a step, and end in zeros. A shift beyond a sum's bits leaves 0, whichever it is.
    """
    enough = np.maximum(np.frexp(reach.astype(np.float64))[1] + 1, LEAST)
    shift = np.minimum(each_channel(rounding.shift, len(factors)), enough) + bits_of(factors)
    step = 1 << np.clip(shift, LEAST, UPPER)
    if not ((shift >= LEAST) & (reach * abs(factors) + (step >> 1) + rounding.odd * step < 2**31)).all():
        return None
    signs = np.sign(factors)
    start = signs * rounding.odd * step + np.where(signs > 0, (step >> 1) - 1, -(step >> 1))
    zero = np.full_like(shift, rounding.codes.zero_point + lack(rounding.codes) - rounding.odd)
    return np.stack([start, TOP - shift, signs * (2**UPPER // step), zero], 1)


def bits_of(factors: Array) -> Array:
    return np.asarray(np.log2(abs(factors)), np.int64)
