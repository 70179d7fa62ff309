"""Between which numbers a result stays: the clamps that follow it."""

from dataclasses import dataclass
from math import inf

import numpy as np

from bitsmith.numerics.formats import Array


@dataclass(frozen=True)
class Limits:
    """What is below `low` becomes `low`, what is above `high` becomes `high`; -0.0 and NaN stay what they are."""

    low: float = -inf
    high: float = inf

    def apply(self, reals: Array) -> Array:
        low, high = np.float32(self.low), np.float32(self.high)
        return np.where(reals < low, low, np.where(reals > high, high, reals))


NO_LIMITS = Limits()
