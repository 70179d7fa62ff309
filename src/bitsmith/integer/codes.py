"""Which codes a value can hold: what instructions know of what comes in and of what may come out."""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from bitsmith.errors import LoweringError
from bitsmith.numerics.encoding import Encoding
from bitsmith.numerics.formats import Array


@dataclass(frozen=True)
class CodeRange:
    """The code of 0.0, the lowest and highest code (clamps included), and how codes are stored."""

    zero_point: int
    low: int
    high: int
    storage: np.dtype[Any]

    @classmethod
    def of(cls, encoding: Encoding, low: int | None = None, high: int | None = None) -> Self:
        """All codes of an encoding of a whole tensor, or those from `low` to `high` only."""
        if encoding.scale.size != 1:
            raise LoweringError(f"An activation has one scale, not {encoding.scale.size}; only weights may have one for each channel.")
        form = encoding.format
        lowest, highest = form.lowest if low is None else low, form.highest if high is None else high
        return cls(int(encoding.zero_point.reshape(())), lowest, highest, form.storage)

    def __len__(self) -> int:
        return self.high - self.low + 1

    @property
    def steps(self) -> tuple[int, int]:
        """The lowest and highest code, counted from the zero point."""
        return self.low - self.zero_point, self.high - self.zero_point

    def clamp(self, integers: Array) -> Array:
        """Integers, zero point included -> codes."""
        return np.clip(integers, self.low, self.high).astype(self.storage)

    def round(self, steps: Array, *, zero_first: bool = False) -> Array:
        """float32 steps from zero -> codes, ties to even. Overwrites `steps`.

        `zero_first` adds the zero point before the rounding: a tie then goes to the even code, not to the even step.
        """
        zero = np.float32(self.zero_point)
        if zero_first:
            steps += zero
        np.rint(steps, out=steps)
        if not zero_first:
            steps += zero
        return self.clamp(steps)
