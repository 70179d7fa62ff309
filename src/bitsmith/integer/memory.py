"""Values that live at different times share memory: lifetimes -> one arena, with the proof of how small it could be."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations, permutations
from random import Random

from bitsmith.errors import LoweringError
from bitsmith.integer.packing import Distance, Packing, UndecidedError

ALIGNMENT = 4           # bytes: every value may be read as 32-bit words
FEW = 5                 # buffers of which every order is tried
ATTEMPTS = 200          # orders that are tried where the first ones do not reach the lower bound


@dataclass(frozen=True)
class Buffer:
    """A value: its bytes, the step that makes it and the last step that reads it. Both steps need it whole."""

    name: str
    size: int
    born: int
    dies: int

    def __post_init__(self) -> None:
        if self.size < 0 or self.dies < self.born:
            raise LoweringError(f"Buffer '{self.name}' has {self.size} bytes and lives from step {self.born} to {self.dies}.")


@dataclass(frozen=True)
class Overlap:
    """One step reads `source` for the last time and makes `result`, which may lie over it, so far apart that it covers only what
    has been read already.

    lead   forwards, from beginning to end, the result begins at least so many bytes before the source
    trail  backwards, from end to beginning, it begins at least so many bytes behind the source's beginning; None: it cannot
    """

    source: str
    result: str
    lead: int = 0
    trail: int | None = None

    def allows(self, source: int, result: int) -> bool:
        """True where the step can do with these offsets."""
        return result + self.lead <= source or (self.trail is not None and result >= source + self.trail)

    def saves(self, source: int, result: int) -> int:
        """How many bytes a source and a result of these sizes can have in common, at most."""
        backwards = 0 if self.trail is None else min(result, source - rounded(self.trail))
        return max(0, backwards, min(source, result - rounded(self.lead)))


@dataclass(frozen=True)
class Arena:
    """offsets      of every buffer, in bytes
    size         what it takes
    lower_bound  less is impossible: at some step so many bytes are live, or every way to place them was looked at
    """

    offsets: Mapping[str, int]
    size: int
    lower_bound: int


@dataclass
class Layout:
    """Buffers that have their places; asks where the next one may go."""

    buffers: Mapping[str, Buffer]
    overlaps: Mapping[tuple[str, str], Overlap]
    offsets: dict[str, int] = field(default_factory=dict)

    def put(self, buffer: Buffer) -> None:
        """At the lowest offset that is free."""
        rivals = [name for name in self.offsets if meet(self.buffers[name], buffer)]
        self.offsets[buffer.name] = next(at for at in sorted(self._candidates(buffer, rivals)) if self._fits(buffer, at, rivals))

    def _candidates(self, buffer: Buffer, rivals: Iterable[str]) -> Iterator[int]:
        yield 0
        for name in rivals:
            at = self.offsets[name]
            yield at + rounded(self.buffers[name].size)
            for near in self._near(buffer.name, name, at):
                if near >= 0:
                    yield near // ALIGNMENT * ALIGNMENT

    def _near(self, name: str, other: str, at: int) -> Iterator[int]:
        """The offsets closest to another buffer's at which one may lie over the other."""
        if (after := self.overlaps.get((other, name))) is not None:
            yield at - rounded(after.lead)
            if after.trail is not None:
                yield at + rounded(after.trail)
        if (before := self.overlaps.get((name, other))) is not None:
            yield at + rounded(before.lead)
            if before.trail is not None:
                yield at - rounded(before.trail)

    def _fits(self, buffer: Buffer, at: int, rivals: Iterable[str]) -> bool:
        return all(apart(self.overlaps, (buffer, at), (self.buffers[name], self.offsets[name])) for name in rivals)

    @property
    def size(self) -> int:
        return max((at + rounded(self.buffers[name].size) for name, at in self.offsets.items()), default=0)


def place(buffers: Sequence[Buffer], overlaps: Sequence[Overlap] = ()) -> Arena:
    """Give every buffer an offset, a multiple of four, so that no two that live at the same time lie over each other, but for overlaps.

    Buffers are put one by one where there is room, in several orders (large ones first, long-lived ones first, backwards and
    forwards in time, then all of a few buffers, or shuffled ones, always the same); the smallest arena wins, and the first that reaches
    the lower bound ends the search. Where none does, a smaller one is looked for in all ways, as long as these are few: placing
    optimally is NP-hard (dynamic storage allocation, Garey and Johnson 1979, SR2).
    """
    found = {buffer.name: buffer for buffer in buffers}
    allowed = {(o.source, o.result): o for o in overlaps if shares(found, o)}
    least = lower_bound(buffers, overlaps)
    best: Layout | None = None
    for order in orders(buffers):
        layout = Layout(found, allowed)
        for buffer in order:
            layout.put(buffer)
        if best is None or layout.size < best.size:
            best = layout
        if best.size <= least:
            break
    assert best is not None
    best, least = shrink(best, least)
    return Arena({buffer.name: best.offsets[buffer.name] for buffer in buffers}, best.size, least)


def shrink(layout: Layout, least: int) -> tuple[Layout, int]:
    """Smaller and smaller, until that is proven to be impossible or takes too long to find out; and the lower bound then."""
    sizes = {name: rounded(buffer.size) for name, buffer in layout.buffers.items()}
    pairs = [ways_apart(layout.overlaps, *pair) for pair in combinations(layout.buffers.values(), 2) if meet(*pair)]
    try:
        while layout.size > least:
            found = Packing(sizes, layout.size - ALIGNMENT).solve(pairs)
            if found is None:
                return layout, layout.size
            layout = replace(layout, offsets=found)
    except UndecidedError:
        pass
    return layout, least


def ways_apart(overlaps: Mapping[tuple[str, str], Overlap], one: Buffer, other: Buffer) -> list[Distance]:
    """The distances of which two buffers that meet must keep one: see `apart`."""
    found = [(one.name, other.name, rounded(one.size)), (other.name, one.name, rounded(other.size))]
    for source, result in ((one.name, other.name), (other.name, one.name)):
        overlap = overlaps.get((source, result))
        if overlap is not None:
            found.append((result, source, rounded(overlap.lead)))
            found += [] if overlap.trail is None else [(source, result, rounded(overlap.trail))]
    return found


def lower_bound(buffers: Sequence[Buffer], overlaps: Sequence[Overlap] = ()) -> int:
    """The most bytes that are live at any step; where a step's result may lie over one of its sources, the smaller sum counts."""
    found = {buffer.name: buffer for buffer in buffers}
    least = 0
    for step in {buffer.born for buffer in buffers}:
        live = sum(rounded(b.size) for b in buffers if b.born <= step <= b.dies)
        least = max(least, live - sum(saved_at(step, found, overlaps)))
    return least


def saved_at(step: int, buffers: Mapping[str, Buffer], overlaps: Sequence[Overlap]) -> Iterator[int]:
    """For each result of a step, the bytes of it that may lie over its sources, at most."""
    results = dict.fromkeys(o.result for o in overlaps if shares(buffers, o) and buffers[o.result].born == step)
    for result in results:
        size = rounded(buffers[result].size)
        yield min(size, sum(o.saves(rounded(buffers[o.source].size), size)
                            for o in overlaps if o.result == result and shares(buffers, o)))


def shares(buffers: Mapping[str, Buffer], overlap: Overlap) -> bool:
    """True where the source is not read after the step that makes the result."""
    return buffers[overlap.source].dies == buffers[overlap.result].born


def meet(first: Buffer, second: Buffer) -> bool:
    """True where both live at some step and take any room."""
    return first.born <= second.dies and second.born <= first.dies and min(first.size, second.size) > 0


def apart(overlaps: Mapping[tuple[str, str], Overlap], first: tuple[Buffer, int], second: tuple[Buffer, int]) -> bool:
    """True where two buffers that meet do not disturb each other."""
    (one, at), (other, there) = first, second
    if at + one.size <= there or there + other.size <= at:
        return True
    made_here, made_there = overlaps.get((other.name, one.name)), overlaps.get((one.name, other.name))
    return (made_here is not None and made_here.allows(there, at)) or (made_there is not None and made_there.allows(at, there))


def orders(buffers: Sequence[Buffer]) -> Iterator[list[Buffer]]:
    """Orders in which to put buffers: sensible ones first, then all of a few, or shuffled ones, the same in every run."""
    large = sorted(buffers, key=lambda b: (-b.size, -b.born))
    yield large
    yield sorted(buffers, key=lambda b: (-b.size, b.born))
    yield sorted(buffers, key=lambda b: (b.born - b.dies, -b.size))
    yield sorted(buffers, key=lambda b: (-b.born, -b.size))
    yield sorted(buffers, key=lambda b: (b.born, -b.size))
    if len(buffers) <= FEW:
        yield from map(list, permutations(buffers))
        return
    random = Random(0)
    for _ in range(ATTEMPTS):
        weight = {b.name: b.size * random.uniform(0.5, 2) for b in buffers}
        yield sorted(buffers, key=lambda b: -weight[b.name])


def rounded(size: int) -> int:
    """Up to the alignment."""
    return -(-size // ALIGNMENT) * ALIGNMENT
