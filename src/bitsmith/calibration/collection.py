"""The statistics of a network's values by name, and which network they are of."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from bitsmith.calibration.statistics import Statistics
from bitsmith.errors import StatisticsError


@dataclass(frozen=True, eq=False)
class Collection(Mapping[str, Statistics]):
    """statistics  by the name of their value
    network     fingerprint of the network they are of, in the caller's own words; '' where nobody said
    """

    statistics: Mapping[str, Statistics]
    network: str = ""

    def __getitem__(self, name: str) -> Statistics:
        return self.statistics[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.statistics)

    def __len__(self) -> int:
        return len(self.statistics)

    def check_network(self, network: str) -> None:
        """Raises StatisticsError where these are the statistics of another network."""
        if self.network and network and self.network != network:
            raise StatisticsError(f"These statistics are of another network ({self.network}, not {network}); calibrate this one.")

    def merge(self, other: "Collection") -> "Collection":
        """The statistics of both, of two runs over different samples. Raises StatisticsError where they are of different networks."""
        self.check_network(other.network)
        if set(self) != set(other):
            only = min(set(self) ^ set(other))
            raise StatisticsError(f"Only one of these has statistics of '{only}'; calibrate the same values in all parts.")
        merged = {name: statistics.merge(other[name]) for name, statistics in self.items()}
        return Collection(merged, self.network or other.network)
