"""Statistics of every channel of a value: one record for each index along one axis, exact and mergeable as those of the whole."""

from collections.abc import Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Self, overload

import numpy as np

from bitsmith.calibration.counting import count
from bitsmith.calibration.statistics import Statistics
from bitsmith.errors import StatisticsError
from bitsmith.numerics.formats import Array

MOST_CHANNELS = 2**15       # of all values together. Each takes some 60 kB while it is counted, so that all take 2 GB


@dataclass(frozen=True, eq=False)
class Channels(Sequence[Statistics]):
    """axis   along which the channels run; axis 0 is that of samples
    parts  the statistics of each; a sample of a channel is what one sample has in it
    """

    axis: int
    parts: tuple[Statistics, ...]

    @classmethod
    def empty(cls, axis: int, channels: int) -> Self:
        return cls(axis, tuple(Statistics(kept=None) for _ in range(channels)))

    @overload
    def __getitem__(self, index: int) -> Statistics: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Statistics]: ...
    def __getitem__(self, index: int | slice) -> Statistics | Sequence[Statistics]:
        return self.parts[index]

    def __len__(self) -> int:
        return len(self.parts)

    def observe(self, values: Array, name: str = "") -> None:
        """Count an array [samples, ...] channel by channel. Raises StatisticsError where it has another number of channels."""
        if not values.size:
            return
        if values.ndim <= self.axis or values.shape[self.axis] != len(self):
            raise StatisticsError(f"Value '{name}' should have {len(self)} channels along axis {self.axis}; its shape is {values.shape}.")
        with np.errstate(over="ignore"):
            moved = np.ascontiguousarray(np.moveaxis(values, self.axis, 0), np.float32).reshape(len(self), len(values), -1)
        for numbers, part in zip(moved, self.parts, strict=True):
            count(numbers, part.record)

    def merge(self, other: "Channels", name: str = "") -> "Channels":
        """The statistics of both together, channel by channel. Raises StatisticsError where they are of different channels."""
        if (self.axis, len(self)) != (other.axis, len(other)):
            raise StatisticsError(f"Statistics of '{name}' have {len(self)} channels along axis {self.axis} in one part, {len(other)} "
                                  f"along axis {other.axis} in another; calibrate the same network.")
        return Channels(self.axis, tuple(a.merge(b) for a, b in zip(self, other, strict=True)))


class Shared:
    """Channels that several threads count into, one at a time, so that memory does not grow with their number."""

    def __init__(self, channels: Channels) -> None:
        self.channels = channels
        self.lock = Lock()

    def observe(self, values: Array, name: str) -> None:
        with self.lock:
            self.channels.observe(values, name)
