"""Which layers should run in int8 and which in float32, so that a network is fastest. Knows costs and links, no graph and no ONNX."""

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from bitsmith.targets.onnx.speed import Cost, Crossing

FOREVER = 1 << 60           # ns


@dataclass(frozen=True)
class Link:
    """A value on its way: who makes it (None: the network's input), who reads it (None: the network's output), and its crossing."""

    maker: str | None
    readers: tuple[str | None, ...]
    crossing: Crossing


def fastest(costs: Mapping[str, Cost], links: Sequence[Link], followers: Sequence[tuple[str, str]] = ()) -> frozenset[str]:
    """The layers that should run in int8 so that the sum of all costs and crossings is least; of equals, the most layers.

    Inputs and outputs of the network are float32. A value is quantized once for all its readers and dequantized for each, since
    ONNX Runtime gives every reader a DequantizeLinear of its own. In a pair (leader, follower) of
    `followers` the second runs in int8 where the first does: ONNX Runtime pulls quantizers through movements (MaxPool,
    Reshape ...) by itself, so that those run on codes beside whoever has them. This is a minimum cut
    (Greig, Porteous and Seheult 1989): layers on the source's side run in float32, those on the sink's side in int8.
    """
    cut = Cut()
    for name, (real, int8) in costs.items():
        cut.join(SOURCE, name, int8)
        cut.join(name, SINK, real)
    for number, link in enumerate(links):
        join_link(cut, link, number)
    for leader, follower in followers:
        cut.join(follower, leader, float("inf"))
    in_float = cut.source_side()
    return frozenset(name for name in costs if name not in in_float)


def total(costs: Mapping[str, Cost], links: Sequence[Link], int8: frozenset[str]) -> float:
    """Predicted microseconds of a network in which the layers of `int8` run in int8 and all others in float32."""
    layers = sum(c.int8 if name in int8 else c.real for name, c in costs.items())
    return layers + sum(crossed(link, int8) for link in links)


def crossed(link: Link, int8: frozenset[str]) -> float:
    """What a value costs on its way; nothing where all its readers take the form in which it is made."""
    on_codes = sum(reader in int8 for reader in link.readers)
    if link.maker in int8:
        return link.crossing.dequantize * (len(link.readers) - on_codes)
    return link.crossing.quantize if on_codes else 0.0


Vertex = str | tuple[str, int]
SOURCE, SINK = ("source", 0), ("sink", 0)


def join_link(cut: "Cut", link: Link, number: int) -> None:
    """Ways from form to form; a vertex beside the layers lets the codes of a float be paid for once."""
    maker: Vertex = SOURCE if link.maker is None else link.maker
    codes = ("codes", number)
    cut.join(maker, codes, link.crossing.quantize)
    for reader in link.readers:
        end: Vertex = SOURCE if reader is None else reader
        cut.join(codes, end, float("inf"))
        cut.join(end, maker, link.crossing.dequantize)


@dataclass
class Cut:
    """Vertices joined by capacities, in whole ns, so that sums are exact. Greatest flow along shortest paths (Dinic 1970)."""

    room: dict[Vertex, dict[Vertex, int]] = field(default_factory=dict)

    def join(self, start: Vertex, end: Vertex, microseconds: float) -> None:
        """Add a capacity."""
        forth, back = self.room.setdefault(start, {}), self.room.setdefault(end, {})
        forth[end] = min(FOREVER, forth.get(end, 0) + round(min(microseconds * 1000, FOREVER)))
        back.setdefault(start, 0)

    def source_side(self) -> set[Vertex]:
        """What the source still reaches when no more can flow: the smallest source side of all least cuts."""
        distance = self.distances()
        while SINK in distance:
            ends = {vertex: iter(list(joined)) for vertex, joined in self.room.items()}
            while path := self.find_path(distance, ends):
                self.fill(path)
            distance = self.distances()
        return set(distance)

    def distances(self) -> dict[Vertex, int]:
        """Steps from the source, for all that it reaches."""
        distance: dict[Vertex, int] = {SOURCE: 0}
        waiting = deque[Vertex]([SOURCE])
        while waiting:
            start = waiting.popleft()
            for end, room in self.room.get(start, {}).items():
                if room and end not in distance:
                    distance[end] = distance[start] + 1
                    waiting.append(end)
        return distance

    def find_path(self, distance: Mapping[Vertex, int], ends: Mapping[Vertex, Iterator[Vertex]]) -> list[Vertex]:
        """A way to the sink on which every step leads further; empty where none is left. Dead ends are not tried again."""
        path: list[Vertex] = [SOURCE]
        while path and path[-1] != SINK:
            here = path[-1]
            for end in ends[here]:
                if self.room[here][end] and distance.get(end) == distance[here] + 1:
                    path.append(end)
                    break
            else:
                path.pop()
        return path

    def fill(self, path: Sequence[Vertex]) -> None:
        """Send as much along the path as it has room for."""
        steps = list(pairwise(path))
        amount = min(self.room[start][end] for start, end in steps)
        for start, end in steps:
            self.room[start][end] -= amount
            self.room[end][start] += amount
