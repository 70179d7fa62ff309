"""From sums to codes on x86: what the kernels' parts `scaling_multiplier` and `scaling_shift` need, sixteen channels at a time."""

from dataclasses import dataclass

import numpy as np

from bitsmith.integer.bounds import Bounds
from bitsmith.integer.codes import CodeRange
from bitsmith.integer.requantization import EvenShift, FixedPoint, Requantize
from bitsmith.numerics.formats import Array
from bitsmith.targets.c.call import Fields, Table
from bitsmith.targets.c.rounding import code_fields
from bitsmith.targets.c.x86_layout import in_lanes

LEAST_SHIFT, MOST_SHIFT = 33, 62    # of multipliers
MOST_EVEN = 30                      # of shifts alone: what is shifted further becomes 0, as long as it is small
LIMIT = 2**31


@dataclass(frozen=True, eq=False)
class Scaling:
    """The struct `scaling`, and the file that defines it."""

    fields: Fields
    part: str


def scaling_of(requantize: Requantize | None, sums: Bounds, channels: int) -> Scaling | None:
    """None where numbers are too large. One multiplier or shift for all channels, or several in turn."""
    if isinstance(requantize, FixedPoint):
        table = multiplier_table(requantize, channels)
        return None if table is None else Scaling(Fields({"channels": table, "codes": limits(requantize.codes)}), "scaling_multiplier")
    if isinstance(requantize, EvenShift):
        table = shift_table(requantize, sums.largest, channels)
        return None if table is None else Scaling(Fields({"channels": table, "odd": requantize.odd, "codes": limits(requantize.codes)}),
                                                  "scaling_shift")
    return None


def limits(codes: CodeRange) -> Fields:
    """The struct `lanes_codes`."""
    return Fields(code_fields(codes))


def multiplier_table(requantize: FixedPoint, channels: int) -> Table | None:
    """None where a multiplier is a quarter or more."""
    multiplier, shift = (np.resize(part, channels).astype(np.int64) for part in (requantize.multiplier, requantize.shift))
    shift = np.where(multiplier == 0, MOST_SHIFT, shift)
    if shift.min(initial=MOST_SHIFT) < LEAST_SHIFT:
        return None
    return blocks(multiplier, np.left_shift(np.int64(1), shift - LEAST_SHIFT), shift - 32)


def shift_table(requantize: EvenShift, reach: int, channels: int) -> Table | None:
    """None where a shift goes to the left, or where a sum and one half may leave 32 bits."""
    shift = np.resize(requantize.shift, channels).astype(np.int64)
    largest = int(shift.max(initial=1))
    if shift.min(initial=1) < 1 or reach + 2 ** (min(largest, MOST_EVEN) - 1) >= LIMIT or (largest > MOST_EVEN and reach >= LIMIT // 4):
        return None
    shift = np.minimum(shift, MOST_EVEN)
    return blocks(np.left_shift(np.int64(1), shift - 1) - 1, shift)


def blocks(*parts: Array) -> Table:
    """[channels] of each part -> [channels / 16][parts][16]."""
    return Table(np.stack([in_lanes(part) for part in parts], 1).reshape(-1), "int32_t")
