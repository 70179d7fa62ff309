"""Which codes a format has. A format is a set of positions on a line; an Encoding says where that line lies."""

import re
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np

from bitsmith.errors import RecipeError
from bitsmith.numerics.arrays import Array as Array  # whoever speaks of formats speaks of arrays
from bitsmith.numerics.minifloat import MINIFLOATS
from bitsmith.numerics.powers_of_two import PowersOfTwo
from bitsmith.numerics.signs import BINARY, TERNARY

Ties = Literal["even", "away"]


class Format(Protocol):
    """A set of codes, each a step on a line whose zero an Encoding places.

    held_bits        of a code as it is held: more than `bits` where codes are spread out
    integral         codes stand for whole numbers of steps, so that integer arithmetic can sum them up
    scaled           False where codes stand for numbers as they are, so that the only scale is 1
    lowest, highest  the ends of the line, in steps; for integers they are codes, too
    limits           steps beyond these saturate
    step             the smallest distance of two codes, around 0

    `encode` takes steps from zero to the nearest codes; `decode` takes codes to the steps they stand for, zero point included.
    `scale_for` is the scale with which codes reach from `low` (at most 0) to `high` (at least 0), before any rounding of the scale, and
    `zero_for` the code of 0.0 with a scale; both per block. Only integers have zero points other than 0.
    """

    @property
    def name(self) -> str: ...
    @property
    def bits(self) -> int: ...
    @property
    def held_bits(self) -> int: ...
    @property
    def storage(self) -> np.dtype[Any]: ...
    @property
    def lowest(self) -> int: ...
    @property
    def highest(self) -> int: ...
    @property
    def integral(self) -> bool: ...
    @property
    def scaled(self) -> bool: ...
    @property
    def limits(self) -> tuple[float, float]: ...
    @property
    def step(self) -> float: ...
    def scale_for(self, low: Array, high: Array, *, symmetric: bool) -> Array: ...
    def zero_for(self, low: Array, scale: Array, *, symmetric: bool) -> Array: ...
    def encode(self, steps: Array, zero_point: Array) -> Array: ...
    def decode(self, codes: Array) -> Array: ...


def round_to_even(positions: Array) -> Array:
    """Nearest integers, ties to even (IEEE 754 roundTiesToEven; what ONNX QuantizeLinear does)."""
    return np.asarray(np.rint(positions))


def round_away(positions: Array) -> Array:
    """Nearest integers, ties away from zero (MATLAB's `round`)."""
    whole = np.trunc(positions)
    with np.errstate(invalid="ignore"):         # infinities have no fraction, and stay
        rounded: Array = whole + np.copysign(np.abs(positions - whole) >= 0.5, positions)
    return rounded


ROUNDINGS = {"even": round_to_even, "away": round_away}


@dataclass(frozen=True)
class Integer:
    """Signed or unsigned integers of 2 to 16 bits (and int32, for biases and accumulators).

    `restricted` leaves the lowest signed code out, so that the range is symmetric: -127..127 for int8.
    `ties` says where a value half-way between two codes goes.
    """

    bits: int
    signed: bool = True
    restricted: bool = False
    ties: Ties = "even"

    def __post_init__(self) -> None:
        if not (2 <= self.bits <= 16 or (self.bits == 32 and self.signed)):
            raise RecipeError(f"Integers have 2 to 16 bits (or are int32), not {self.bits}; choose for instance 'int8'.")
        if self.ties not in ROUNDINGS:
            raise RecipeError(f"Ties go to 'even' or 'away', not to {self.ties!r}.")
        if self.restricted and not self.signed:
            raise RecipeError("Only signed integers have a restricted range; write 'int8-restricted', not 'uint8-restricted'.")

    @property
    def name(self) -> str:
        sign = "int" if self.signed else "uint"
        return f"{sign}{self.bits}" + "-restricted" * self.restricted + "-away" * (self.ties == "away")

    @property
    def lowest(self) -> int:
        return -(1 << (self.bits - 1)) + self.restricted if self.signed else 0

    @property
    def highest(self) -> int:
        return (1 << (self.bits - self.signed)) - 1

    @property
    def held_bits(self) -> int:
        return self.bits

    @property
    def integral(self) -> bool:
        return True

    @property
    def scaled(self) -> bool:
        return True

    @property
    def limits(self) -> tuple[float, float]:
        return self.lowest - 0.5, self.highest + 0.5

    @property
    def step(self) -> float:
        return 1.0

    @property
    def storage(self) -> np.dtype[Any]:
        """The smallest numpy type that holds a code."""
        width = 8 if self.bits <= 8 else 16 if self.bits <= 16 else 32
        return np.dtype(f"{'int' if self.signed else 'uint'}{width}")

    def scale_for(self, low: Array, high: Array, *, symmetric: bool) -> Array:
        """Affine: (high - low) / (codes - 1) (Jacob 2018, section 3). Symmetric: the smallest that reaches both ends."""
        if not symmetric:
            return np.asarray((high - low) / float(self.highest - self.lowest))
        zero_point = self.zero_for(low, np.ones_like(low), symmetric=True)
        above, below = self.highest - zero_point, zero_point - self.lowest
        return np.asarray(np.maximum(high / above, -low / np.maximum(below, 1)))

    def zero_for(self, low: Array, scale: Array, *, symmetric: bool) -> Array:
        """Affine: the code nearest to that of 0.0. Symmetric: 0, or, for unsigned codes and values of both signs, the middle."""
        if not symmetric:
            return np.asarray(np.clip(np.rint(self.lowest - low / scale), self.lowest, self.highest))
        middle = 0 if self.signed else (self.highest + 1) // 2
        return np.where(low < 0, middle, 0)

    def encode(self, steps: Array, zero_point: Array) -> Array:
        """Round, add the zero point, saturate. NaN becomes the zero point."""
        moved = ROUNDINGS[self.ties](steps)
        if np.isnan(moved.max(initial=0)):                  # NaN wins every comparison
            moved = np.nan_to_num(moved, nan=0.0, posinf=np.inf, neginf=-np.inf)
        if zero_point.any():
            moved = moved + zero_point.astype(moved.dtype)  # exact wherever the sum is a code
        codes: Array = np.clip(moved, self.lowest, self.highest).astype(self.storage)
        return codes

    def decode(self, codes: Array) -> Array:
        return codes


INTEGER = re.compile(r"(u?)int(\d+)(-restricted)?(-away)?")
SIGNS = {format.name: format for format in (TERNARY, BINARY)}
POWERS_OF_TWO = re.compile(r"pow2_(\d+)")


def parse_format(name: str) -> Format:
    """The format with this name: `int8`, `uint4`, `int8-restricted`, `int16-away`, `float8_e4m3`, `float16`, `pow2_4`, `ternary` ...

    Raises RecipeError for a name that no format has.
    """
    if name in MINIFLOATS:
        return MINIFLOATS[name]
    if name in SIGNS:
        return SIGNS[name]
    if powers := POWERS_OF_TWO.fullmatch(name):
        return PowersOfTwo(int(powers[1]))
    found = INTEGER.fullmatch(name)
    if not found:
        raise RecipeError(
            f"No format is called {name!r}; there are int2 to int16 and uint2 to uint16, '-restricted' or '-away' added, "
            f"{', '.join(MINIFLOATS)}, pow2_2 to pow2_4, {' and '.join(SIGNS)}."
        )
    unsigned, bits, restricted, away = found.groups()
    return Integer(int(bits), signed=not unsigned, restricted=bool(restricted), ties="away" if away else "even")
