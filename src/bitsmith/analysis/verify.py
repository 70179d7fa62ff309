"""Do three engines agree on the codes of a quantized file, and where do they part first?"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np

from bitsmith.errors import DataError
from bitsmith.numerics.formats import Array


class Ran(NamedTuple):
    """What one engine gave for one batch: codes of values (none from an engine of which only outputs are compared), and real outputs."""

    codes: Mapping[str, Array]
    outputs: Mapping[str, Array]


@dataclass(frozen=True)
class Difference:
    """One value for which two engines gave codes: how many of them differ, and by how much at most."""

    value: str
    codes: int
    differing: int
    largest: int


@dataclass(frozen=True)
class Comparison:
    """Two engines on the same samples.

    differences  of every compared value, in the network's order; an error made early is carried on, so the first one counts
    agreement    share of samples whose arg-max of the first output is the same
    output_error largest absolute difference of any output, as real numbers
    largest_output of all, without its sign
    misplaced    outputs that are integers, such as the places of an arg-max, and not the same
    """

    first: str
    second: str
    differences: tuple[Difference, ...]
    agreement: float
    output_error: float
    largest_output: float = 0.0
    misplaced: int = 0

    @property
    def codes(self) -> int:
        return sum(d.codes for d in self.differences)

    @property
    def differing(self) -> int:
        return sum(d.differing for d in self.differences)

    @property
    def largest(self) -> int:
        return max((d.largest for d in self.differences), default=0)

    @property
    def begins_at(self) -> str | None:
        """The first value whose codes differ; None where none do."""
        return next((d.value for d in self.differences if d.differing), None)

    def to_dict(self) -> dict[str, Any]:
        derived = {"codes": self.codes, "differing": self.differing, "largest": self.largest, "begins_at": self.begins_at}
        return {**asdict(self), **derived}


@dataclass(frozen=True)
class Verification:
    """All pairs of engines on one file.

    measured  what running it took where that can be counted: flash, ram and stack in bytes, instructions of the longest inference
    wide      compared values whose codes have more than 8 bits: onnxruntime has no integer kernels for them and adds in float32, so that
              the last digit may differ from the integer program's exact sums
    tolerance where all is computed in float: how far outputs may be from onnxruntime's, as a share of the largest; None: integers
    library   values that a library of mathematics computes, whose last digits are its own; codes are then patterns of bits
    """

    samples: int
    comparisons: tuple[Comparison, ...]
    measured: Mapping[str, int] = field(default_factory=dict)
    wide: int = 0
    tolerance: float | None = None
    library: frozenset[str] = frozenset()

    @property
    def exact(self) -> bool:
        """True where the program and what is compared with it code by code gave the same throughout, but for what a library computes."""
        compared = [c for c in self.comparisons if "simulated" not in (c.first, c.second) and (c.differences or self.tolerance is None)]
        apart = [d for c in compared for d in c.differences if d.differing and d.value not in self.library]
        return not apart and (bool(self.library) or all(c.output_error == c.misplaced == 0 for c in compared))

    @property
    def distance(self) -> float:
        """The largest difference of an output from onnxruntime's, as a share of the largest output: for what computes in float."""
        return max((c.output_error / (c.largest_output or 1.0) for c in self.comparisons if not c.differences), default=0.0)

    def to_dict(self) -> dict[str, Any]:
        return {"samples": self.samples, "exact": self.exact, "comparisons": [c.to_dict() for c in self.comparisons],
                "measured": dict(self.measured), "wide": self.wide, "tolerance": self.tolerance, "library": sorted(self.library)}


class Tally:
    """Counts of two engines' differences over batches."""

    def __init__(self, values: Sequence[str]) -> None:
        self.values = values
        self.codes = dict.fromkeys(values, 0)
        self.differing = dict.fromkeys(values, 0)
        self.largest = dict.fromkeys(values, 0)
        self.samples = self.agreeing = self.misplaced = 0
        self.output_error = self.largest_output = 0.0

    def add(self, first: Ran, second: Ran) -> None:
        """One batch."""
        for name in self.values:
            apart = np.abs(first.codes[name].astype(np.int64) - second.codes[name])
            self.codes[name] += apart.size
            self.differing[name] += int(np.count_nonzero(apart))
            self.largest[name] = max(self.largest[name], int(apart.max(initial=0)))
        for mine, theirs in zip(first.outputs.values(), second.outputs.values(), strict=True):
            if theirs.dtype.kind != "f":
                self.misplaced += int(np.count_nonzero(mine != theirs))
                continue
            self.output_error = max(self.output_error, float(np.abs(np.asarray(mine, np.float64) - theirs).max(initial=0)))
            self.largest_output = max(self.largest_output, float(np.abs(theirs).max(initial=0)))
        answers = [best(next(iter(ran.outputs.values()))) for ran in (first, second)]
        self.samples += len(answers[0])
        self.agreeing += int((answers[0] == answers[1]).all(axis=1).sum())

    def result(self, first: str, second: str) -> Comparison:
        found = tuple(Difference(n, self.codes[n], self.differing[n], self.largest[n]) for n in self.values)
        return Comparison(first, second, found, self.agreeing / self.samples, self.output_error, self.largest_output, self.misplaced)


def best(output: Array) -> Array:
    """The arg-max over axis 1, [samples, answers]; the numbers themselves where there is no such axis, or the network took it."""
    return (output.argmax(1) if output.ndim > 1 and output.dtype.kind == "f" else output).reshape(len(output), -1)


def compare_engines(batches: Iterable[Mapping[str, Ran]], values: Sequence[str]) -> Verification:
    """Compare what engines gave, batch after batch. Raises DataError where there are no batches."""
    tallies: dict[tuple[str, str], Tally] = {}
    for results in batches:
        for pair in combinations(results, 2):
            first, second = (results[name] for name in pair)
            tallies.setdefault(pair, Tally(values if first.codes and second.codes else ())).add(first, second)
    if not tallies:
        raise DataError("There is nothing to verify on: the data are empty.")
    samples = next(iter(tallies.values())).samples
    return Verification(samples, tuple(tally.result(*pair) for pair, tally in tallies.items()))
