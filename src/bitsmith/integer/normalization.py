"""Softmax and layer normalization in integers: tables of exponentials, one division for each row, an integer square root."""

from dataclasses import dataclass
from math import isqrt, prod
from typing import Self

import numpy as np

from bitsmith.errors import LoweringError
from bitsmith.integer.codes import CodeRange
from bitsmith.numerics.encoding import Encoding
from bitsmith.numerics.formats import Array

LOW_BITS = 8                    # of a distance, looked up in one table; the others in another one
FINE, COARSE = 28, 30           # fraction bits of exponentials: of the table of small distances and of all, of that of large ones
WHOLE = 62                      # a quotient has so many fraction bits
MOST_TERMS = 2**16
UNIT = 30                       # fraction bits of a deviation in units of the whole row's


@dataclass(frozen=True, eq=False)
class Softmax:
    """exp(x) / sum of exp(x) along an axis. With d = largest code - code:

    exponential = low[d % 256] * high[d // 256] / 2**30, rounded;  reciprocal = 2**62 // their sum
    code = exponential * reciprocal / 2**(62 - bits), rounded, + zero point

    low, high  int32: exp(-scale * d) with 28 fraction bits, exp(-scale * 256 d) with 30
    bits       the scale of the result is 2**-bits
    """

    inputs: tuple[str]
    output: str
    axis: int
    low: Array
    high: Array
    bits: int
    codes: CodeRange

    @classmethod
    def of(cls, name: str, output: str, axis: int, source: Encoding, target: tuple[Encoding, CodeRange]) -> Self:
        """Raises LoweringError where the result's scale is no power of two."""
        encoding, codes = target
        step, scale = float(encoding.scale.reshape(())), float(source.scale.reshape(()))
        bits, count = round(-float(np.log2(step))), len(CodeRange.of(source))
        if step != 2.0**-bits or not 0 <= bits <= 16:
            raise LoweringError(f"'{output}' is a softmax whose scale is {step:.6g}; integers need a power of two, such as 1/256")
        low = np.exp(-scale * np.arange(min(count, 2**LOW_BITS))) * 2.0**FINE
        high = np.exp(-scale * 2**LOW_BITS * np.arange(-(-count // 2**LOW_BITS))) * 2.0**COARSE
        return cls((name,), output, axis, np.rint(low).astype(np.int32), np.rint(high).astype(np.int32), bits, codes)

    def __post_init__(self) -> None:
        if self.axis < 1:
            raise LoweringError(f"'{self.output}' is a softmax over axis {self.axis}; axes count from the front, and 0 is the batch.")

    def run(self, codes: Array) -> Array:
        if codes.shape[self.axis] >= MOST_TERMS:
            raise LoweringError(f"'{self.output}' is a softmax of {codes.shape[self.axis]} numbers; integers take {MOST_TERMS - 1}.")
        distance = codes.max(self.axis, keepdims=True).astype(np.int64) - codes
        low, high = (table.astype(np.int64) for table in (self.low, self.high))
        exponentials = (low[distance % 2**LOW_BITS] * high[distance >> LOW_BITS] + (1 << (COARSE - 1))) >> COARSE
        reciprocals = (1 << WHOLE) // exponentials.sum(self.axis, keepdims=True)
        shift = WHOLE - self.bits
        return self.codes.clamp(((exponentials * reciprocals + (1 << (shift - 1))) >> shift) + self.codes.zero_point)


@dataclass(frozen=True, eq=False)
class LayerNormalize:
    """(x - mean) / sqrt(variance + epsilon) * gain + bias over the last axes. Of n codes, with d = n * code - sum of the codes:

    square = sum of d**2 * 2**fraction + floor;  root = square root of square * 4**k, k so large that it has 31 bits, cut off
    unit = d * (2**62 // root) / 2**(32 - fraction / 2 - k), rounded: d / sqrt(square) with 30 fraction bits, between -1 and 1
    code = (unit * gain + bias * 2**(shift - bias_shift)) / 2**shift, rounded, + zero point

    axes          how many of the last ones
    gain, bias    int32 [numbers in those axes]
    floor         epsilon * n**3 / scale**2, with `fraction` bits behind the point
    """

    inputs: tuple[str]
    output: str
    axes: int
    gain: Array
    bias: Array
    fraction: int
    floor: int
    shift: int
    bias_shift: int
    codes: CodeRange

    def run(self, codes: Array) -> Array:
        rows = codes.reshape(-1, prod(codes.shape[codes.ndim - self.axes:])).astype(np.int64)
        deviations = rows.shape[1] * rows - rows.sum(1, keepdims=True)
        squares = (np.square(deviations).sum(1) << self.fraction) + self.floor
        reciprocals, shifts = (np.asarray(part, np.int64).reshape(-1, 1) for part in self._roots(squares))
        units = (deviations * reciprocals + (np.int64(1) << (shifts - 1))) >> shifts
        bias = self.bias.astype(np.int64) << (self.shift - self.bias_shift)
        total = (units * self.gain + bias + (1 << (self.shift - 1))) >> self.shift
        return self.codes.clamp(total + self.codes.zero_point).reshape(codes.shape)

    def _roots(self, squares: Array) -> tuple[list[int], list[int]]:
        """(reciprocal of the root, how far to shift) for each row."""
        found = [self._root(max(1, int(square))) for square in squares]
        return [reciprocal for reciprocal, _ in found], [shift for _, shift in found]

    def _root(self, square: int) -> tuple[int, int]:
        k = (WHOLE - square.bit_length()) // 2
        return (1 << WHOLE) // isqrt(square << 2 * k), max(1, WHOLE - UNIT - self.fraction // 2 - k)


def normalization_of(name: str, output: str, source: Encoding, target: tuple[Encoding, CodeRange],
                     line: tuple[Array, Array], epsilon: float) -> LayerNormalize:
    """The finest LayerNormalize that stays within 63 bits; line: gain and bias as reals, of the shape of the normalized axes.

    Raises LoweringError for rows that are too long for that, or gains that are too large.
    """
    (encoding, codes), (gain, bias) = target, (part.astype(np.float64) for part in line)
    count, steps = gain.size, len(CodeRange.of(source)) - 1
    least = epsilon * count**3 / float(source.scale) ** 2
    room = WHOLE - 1 - max((count**3 * steps**2).bit_length(), int(np.frexp(least)[1]))
    if room < 0 or count * steps >= 2**31:
        raise LoweringError(f"'{output}' normalizes {count} numbers at once, too many for {source.format.bits} bits each")
    fraction = room // 2 * 2
    gains, biases = gain.ravel() * np.sqrt(count) / float(encoding.scale), bias.ravel() / float(encoding.scale)
    fine, fine_bias = (min(30, 30 - int(np.frexp(np.abs(part).max(initial=0))[1])) for part in (gains, biases))
    shift = min(UNIT + fine, UNIT + fine_bias)
    if shift < UNIT:
        raise LoweringError(f"'{output}' multiplies by {np.abs(gain).max():.3g} and adds {np.abs(bias).max():.3g}: too much for integers")
    gain_codes, bias_codes = (np.rint(part * 2.0**bits).astype(np.int32) for part, bits in ((gains, shift - UNIT), (biases, fine_bias)))
    floor = round(least * 2.0**fraction)
    return LayerNormalize((name,), output, gain.ndim, gain_codes, bias_codes, fraction, floor, shift, fine_bias, codes)
