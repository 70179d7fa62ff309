"""Requantization as fields of a struct: integer multiplier and shift, shift only, or float."""

from collections.abc import Iterable, Mapping

import numpy as np

from bitsmith.errors import TargetError
from bitsmith.integer.codes import CodeRange
from bitsmith.integer.requantization import FixedPoint, FloatScale, Requantize
from bitsmith.targets.c.call import Entries, Entry, Fields, Table

ONE = 2**30             # the multiplier of a power of two
PARTS: Mapping[str, str] = {"multiplier": "requantize_multiplier", "shift": "requantize_shift", "float": "requantize_float"}


def rounding_part(rounding: str) -> dict[str, str]:
    """Which file requantizes."""
    return {"requantize": PARTS[rounding]}


def rounding_fields(requantize: Requantize, rounding: str) -> Fields:
    """The struct `requantize` of a kernel."""
    if rounding == "float":
        return float_fields(requantize)
    if not isinstance(requantize, FixedPoint):
        raise TargetError(f"Integer C needs an integer program, and this one rounds by {type(requantize).__name__}.")
    multiplier, shift = np.atleast_1d(requantize.multiplier), np.atleast_1d(requantize.shift)
    if rounding == "shift":
        scales: Entries = {"shift": Table(np.where(multiplier == 0, 62, shift - 30), "int8_t")}
    else:
        scales = {"multiplier": Table(multiplier, "int32_t"), "shift": Table(shift, "uint8_t")}
    return Fields({**scales, "step": int(len(multiplier) > 1), **code_fields(requantize.codes)})


def float_fields(requantize: Requantize) -> Fields:
    if not isinstance(requantize, FloatScale):
        raise TargetError(f"Rounding in float needs a program in float32, and this one rounds by {type(requantize).__name__}.")
    multiplier = np.atleast_1d(requantize.multiplier)
    scales: Entries = {"multiplier": Table(multiplier, "float"), "step": int(len(multiplier) > 1), "zero_first": int(requantize.zero_first)}
    return Fields({**scales, **code_fields(requantize.codes)})


def code_fields(codes: CodeRange) -> dict[str, Entry]:
    return {"zero_point": codes.zero_point, "low": codes.low, "high": codes.high}


def way_of(requantize: Requantize, rounding: str) -> str:
    """A mean over a count that is no power of two needs a multiplier, even where all scales are powers of two."""
    return "multiplier" if rounding == "shift" and not only_shifts([requantize]) else rounding


def only_shifts(requantizes: Iterable[Requantize]) -> bool:
    """True where every real multiplier is a power of two."""
    return all(isinstance(r, FixedPoint) and bool(np.isin(r.multiplier, (0, ONE)).all()) for r in requantizes)
