"""Do three engines agree on the codes of a quantized file, and where do they part first?"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any

import numpy as np

from bitsmith.errors import DataError
from bitsmith.numerics.formats import Array

ENGINES = ("simulated", "program", "onnxruntime")


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
    """

    first: str
    second: str
    differences: tuple[Difference, ...]
    agreement: float
    output_error: float

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
    """All pairs of engines on one file."""

    samples: int
    comparisons: tuple[Comparison, ...]

    @property
    def exact(self) -> bool:
        """True where the integer program and onnxruntime gave the same codes throughout."""
        return all(c.differing == 0 and c.output_error == 0 for c in self.comparisons if "simulated" not in (c.first, c.second))

    def to_dict(self) -> dict[str, Any]:
        return {"samples": self.samples, "exact": self.exact, "comparisons": [c.to_dict() for c in self.comparisons]}


class Tally:
    """Counts of two engines' differences over batches."""

    def __init__(self, values: Sequence[str], outputs: Sequence[str]) -> None:
        self.values, self.outputs = values, outputs
        self.codes = dict.fromkeys(values, 0)
        self.differing = dict.fromkeys(values, 0)
        self.largest = dict.fromkeys(values, 0)
        self.samples = self.agreeing = 0
        self.output_error = 0.0

    def add(self, first: Mapping[str, Array], second: Mapping[str, Array]) -> None:
        """One batch of codes and outputs by name."""
        for name in self.values:
            apart = np.abs(first[name].astype(np.int64) - second[name])
            self.codes[name] += apart.size
            self.differing[name] += int(np.count_nonzero(apart))
            self.largest[name] = max(self.largest[name], int(apart.max(initial=0)))
        for name in self.outputs:
            apart = np.abs(np.asarray(first[name], np.float64) - second[name])
            self.output_error = max(self.output_error, float(apart.max(initial=0)))
        a, b = (np.asarray(x[self.outputs[0]]) for x in (first, second))
        axis = 1 if a.ndim > 1 else 0
        same = (a.argmax(axis) == b.argmax(axis)) if a.ndim > 1 else a == b
        self.samples += len(a)
        self.agreeing += int(same.reshape(len(a), -1).all(axis=1).sum())

    def result(self, first: str, second: str) -> Comparison:
        found = tuple(Difference(n, self.codes[n], self.differing[n], self.largest[n]) for n in self.values)
        return Comparison(first, second, found, self.agreeing / self.samples, self.output_error)


def compare_engines(batches: Iterable[Mapping[str, Mapping[str, Array]]], values: Sequence[str], outputs: Sequence[str]) -> Verification:
    """Compare engine -> {name: codes or outputs}, batch after batch. Raises DataError where there are no batches."""
    tallies: dict[tuple[str, str], Tally] = {}
    for results in batches:
        for pair in combinations(results, 2):
            tally = tallies.setdefault(pair, Tally(values, outputs))
            tally.add(results[pair[0]], results[pair[1]])
    if not tallies:
        raise DataError("There is nothing to verify on: the data are empty.")
    samples = next(iter(tallies.values())).samples
    return Verification(samples, tuple(tally.result(*pair) for pair, tally in tallies.items()))
