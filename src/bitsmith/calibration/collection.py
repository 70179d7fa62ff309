"""The statistics of a network's values by name, of their channels where these were asked for, and which network they are of."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from bitsmith.calibration.channels import Channels
from bitsmith.calibration.statistics import Statistics
from bitsmith.errors import StatisticsError


@dataclass(frozen=True, eq=False)
class Collection(Mapping[str, Statistics]):
    """statistics  by the name of their value
    network     fingerprint of the network they are of, in the caller's own words; '' where nobody said
    channels    name of a value -> statistics of each of its channels, where they were kept: `channels["conv1"][3].mean`
    """

    statistics: Mapping[str, Statistics]
    network: str = ""
    channels: Mapping[str, Channels] = field(default_factory=dict)

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

    def moved(self, by: int) -> "Collection":
        """The statistics of a part of the data that begins at this position; `calibrate` counts positions from 0."""
        return replace(self, statistics={name: found.moved(by) for name, found in self.items()})

    def merge(self, other: "Collection") -> "Collection":
        """The statistics of both, of two runs over different samples. Raises StatisticsError where they are of different networks.

        The order in which they are merged does not matter. Positions in the data, which only moving averages look at, are those that each
        part has: shards know theirs; for other runs say `moved`, or two samples at the same position count as one there.
        """
        self.check_network(other.network)
        check_same(set(self), set(other), "statistics")
        check_same(set(self.channels), set(other.channels), "statistics per channel")
        merged = {name: statistics.merge(other[name]) for name, statistics in self.items()}
        channels = {name: mine.merge(other.channels[name], name) for name, mine in self.channels.items()}
        return Collection(merged, self.network or other.network, channels)


def check_same(mine: set[str], others: set[str], what: str) -> None:
    if mine != others:
        raise StatisticsError(f"Only one of these has {what} of '{min(mine ^ others)}'; calibrate the same values in all parts.")
