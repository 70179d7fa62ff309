"""Is there a smaller arena? Every way in which buffers can lie before, behind or over each other, left as soon as it is too large."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

MOST_PAIRS = 400        # of buffers that live at one time; as deep goes the search
MOST_NODES = 2000       # ways that are looked at
Distance = tuple[str, str, int]             # the second begins at least so many bytes behind the first
After = Mapping[str, tuple[tuple[str, int], ...]]


class UndecidedError(Exception):
    """There are too many ways."""


@dataclass
class Packing:
    """sizes  of the buffers, in bytes
    most   what an arena may take
    """

    sizes: Mapping[str, int]
    most: int
    nodes: int = 0

    def solve(self, pairs: Sequence[Sequence[Distance]]) -> dict[str, int] | None:
        """Offsets, so that one distance of each pair is kept; None: there are none. Raises UndecidedError."""
        if len(pairs) > MOST_PAIRS:
            raise UndecidedError
        if any(size > self.most for size in self.sizes.values()):
            return None
        return self._choose(list(pairs), dict.fromkeys(self.sizes, 0), {})

    def _choose(self, pairs: list[Sequence[Distance]], offsets: dict[str, int], after: After) -> dict[str, int] | None:
        """Settle the pair with the fewest ways first: often there is none, or one only."""
        self.nodes += 1
        if self.nodes > MOST_NODES:
            raise UndecidedError
        if not pairs:
            return offsets
        chosen, fewest = -1, [(offsets, after)]
        for index, pair in enumerate(pairs):
            ways = [way for distance in pair if (way := self._keep(distance, offsets, after)) is not None]
            if chosen < 0 or len(ways) < len(fewest):
                chosen, fewest = index, ways
            if len(ways) <= 1:
                break
        rest = pairs[:chosen] + pairs[chosen + 1:]
        return next((found for way in fewest if (found := self._choose(rest, *way)) is not None), None)

    def _keep(self, distance: Distance, offsets: dict[str, int], after: After) -> tuple[dict[str, int], After] | None:
        """The least offsets that keep this distance as well; None where one of them is too large, or where it is a circle's."""
        first, second, bytes_between = distance
        after = {**after, first: (*after.get(first, ()), (second, bytes_between))}
        offsets, waiting = dict(offsets), [first]
        while waiting:
            here = waiting.pop()
            for there, between in after.get(here, ()):
                if offsets[here] + between > offsets[there]:
                    offsets[there] = offsets[here] + between
                    if there == first or offsets[there] + self.sizes[there] > self.most:
                        return None
                    waiting.append(there)
        return offsets, after
