"""Requantization as fields of a struct: integer multiplier and shift, shift only, or float."""

from collections.abc import Mapping

import numpy as np

from bitsmith.errors import TargetError
from bitsmith.integer.bounds import Bounds
from bitsmith.integer.codes import CodeRange
from bitsmith.integer.instructions import FIXED_POINT, FLOAT32, SHIFT, Arithmetic
from bitsmith.integer.requantization import NARROW, WIDEST, EvenShift, FixedPoint, FloatScale, Requantize
from bitsmith.integer.rescaling import Average, EvenAverage, EvenTotal, FixedAverage, FixedTotal, Total
from bitsmith.targets.c.call import Entries, Entry, Fields, Table

ONE = 2**30             # the multiplier of a power of two
ARITHMETICS: Mapping[str, Arithmetic] = {"multiplier": FIXED_POINT, "shift": SHIFT, "float": FLOAT32}
PARTS: Mapping[str, str] = {"multiplier": "requantize_multiplier", "shift": "requantize_shift", "float": "requantize_float"}


def accumulator_type(bounds: Bounds, requantize: Requantize, owner: str) -> str:
    """The C type of accumulators. Raises TargetError where they, or their product with the multiplier, are not proven to fit."""
    if bounds.fit(NARROW).all():
        return "int32_t"
    factor = int(requantize.multiplier.max(initial=0)) if isinstance(requantize, FixedPoint) else 1
    if not bounds.fit(WIDEST).all() or bounds.largest * factor > 2**62:
        raise TargetError(f"The accumulator of '{owner}' may reach {bounds.largest}, beyond int{WIDEST}: give its operands fewer bits.")
    return "int64_t"


def rounding_part(rounding: str) -> dict[str, str]:
    """Which file requantizes."""
    return {"requantize": PARTS[rounding]}


def rounding_fields(requantize: Requantize, rounding: str) -> Fields:
    """The struct `requantize` of a kernel."""
    if rounding == "float":
        return float_fields(requantize)
    if isinstance(requantize, EvenShift):
        shift = np.atleast_1d(requantize.shift)
        step = int(len(shift) > 1)
        return Fields({"shift": Table(shift, "int8_t"), "step": step, "odd": requantize.odd, **code_fields(requantize.codes)})
    if not isinstance(requantize, FixedPoint):
        raise TargetError(f"Integer C needs an integer program, and this one rounds by {type(requantize).__name__}.")
    multiplier, shift = np.atleast_1d(requantize.multiplier), np.atleast_1d(requantize.shift)
    scales: Entries = {"multiplier": Table(multiplier, "int32_t"), "shift": Table(shift, "uint8_t")}
    return Fields({**scales, "step": int(len(multiplier) > 1), **code_fields(requantize.codes)})


def float_fields(requantize: Requantize) -> Fields:
    if not isinstance(requantize, FloatScale):
        raise TargetError(f"Rounding in float needs a program in float32, and this one rounds by {type(requantize).__name__}.")
    multiplier = np.atleast_1d(requantize.multiplier)
    scales: Entries = {"multiplier": Table(multiplier, "float"), "step": int(len(multiplier) > 1), "zero_first": int(requantize.zero_first)}
    return Fields({**scales, **code_fields(requantize.codes)})


def code_fields(codes: CodeRange) -> dict[str, Entry]:
    return {"zero_point": codes.zero_point, "low": codes.low, "high": codes.high}


def nearest_part(how: Total | Average) -> dict[str, str]:
    """Which file takes sums and averages to the nearest codes; none where that is done in float."""
    if isinstance(how, (EvenTotal, EvenAverage)):
        return {"nearest": "nearest_even"}
    return {"nearest": "nearest_upward"} if isinstance(how, (FixedTotal, FixedAverage)) else {}


def odd_of(how: Total | Average) -> int:
    """1 where ties go to odd steps from the zero point."""
    return how.odd if isinstance(how, (EvenTotal, EvenAverage)) else 0


def way_of(requantize: Requantize, rounding: str) -> str:
    """A mean over a count that is no power of two needs a multiplier, even where all scales are powers of two."""
    return "multiplier" if rounding == "shift" and isinstance(requantize, FixedPoint) else rounding
