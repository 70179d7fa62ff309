"""Which assignment of widths is cheapest for so much noise: integer programming; and which of many points nobody beats."""

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from bitsmith.analysis.search_costs import Bill
from bitsmith.errors import BitsmithError
from bitsmith.numerics.formats import Array

Choice = tuple[str, str]                        # layer and role
Assignment = dict[Choice, int]                  # bits
Row = dict[int, float]                          # variable -> coefficient
T = TypeVar("T")
SECONDS = 20.0                                  # for one programme; the gap that is left is some thousandths by then
GAP = 1e-4
TIE = 1e-4                                      # weight of noise beside cost: of equally cheap assignments the less noisy


@dataclass(frozen=True)
class Problem:
    """noise      choice -> bits -> noise that it adds
    cost       what is to be small
    limits     other costs, each with the most that is allowed
    """

    noise: Mapping[Choice, Mapping[int, float]]
    cost: Bill
    limits: Sequence[tuple[Bill, float]] = ()

    def noise_of(self, chosen: Mapping[Choice, int]) -> float:
        """Noise of single choices adds up."""
        return sum(parts[chosen[choice]] for choice, parts in self.noise.items())


class Columns:
    """The 0-or-1 variables of a problem: one for each choice and width; and shares of each two choices that are paid for together."""

    def __init__(self, problem: Problem) -> None:
        self.keys: list[tuple[object, ...]] = [(choice, bits) for choice, parts in problem.noise.items() for bits in parts]
        self.whole = len(self.keys)
        self.pairs = list(dict.fromkeys(pair for bill in (problem.cost, *(b for b, _ in problem.limits)) for pair in bill.pairs))
        for first, second in self.pairs:
            self.keys += [(first, second, a, b) for a in problem.noise[first] for b in problem.noise[second]]
        self.place = {key: number for number, key in enumerate(self.keys)}

    def row(self, bill: Bill) -> Row:
        """Coefficients of a cost."""
        row: Row = {}
        for choice, parts in bill.single.items():
            for bits, part in parts.items():
                row[self.place[choice, bits]] = row.get(self.place[choice, bits], 0.0) + part
        for (first, second), both in bill.pairs.items():
            row |= {self.place[first, second, a, b]: part for (a, b), part in both.items()}
        return row

    def equations(self, noise: Mapping[Choice, Mapping[int, float]]) -> list[tuple[Row, float]]:
        """(left side, right side): every choice takes one width, and the shares of a pair add up to its choices' variables."""
        found: list[tuple[Row, float]] = [({self.place[choice, bits]: 1.0 for bits in parts}, 1.0) for choice, parts in noise.items()]
        for first, second in self.pairs:
            for a in noise[first]:
                found.append(({self.place[first, a]: -1.0} | {self.place[first, second, a, b]: 1.0 for b in noise[second]}, 0.0))
            for b in noise[second]:
                found.append(({self.place[second, b]: -1.0} | {self.place[first, second, a, b]: 1.0 for a in noise[first]}, 0.0))
        return found


def cheapest(problem: Problem, most_noise: float) -> Assignment | None:
    """The cheapest assignment whose noise is at most so much; None where there is none.

    A multiple-choice knapsack; where two choices are paid for together (bit operations), the product of their variables is written as a
    transport from the one to the other, which is exact. Solved by HiGHS. Raises BitsmithError where scipy is not installed.
    """
    try:
        from scipy.optimize import Bounds, LinearConstraint, milp
        from scipy.sparse import csr_array
    except ImportError:
        raise BitsmithError("The search solves integer programmes with scipy; install it: pip install 'bitsmith[search]'.") from None
    columns, limits = Columns(problem), [(Bill(0.0, problem.noise, {}), most_noise), *problem.limits]
    noise, cost = (dense(columns.row(bill), len(columns.keys)) for bill in (limits[0][0], problem.cost))
    rows, ends = zip(*columns.equations(problem.noise), strict=True)
    at_most = [scaled_to_one(columns.row(bill), end - bill.constant) for bill, end in limits]
    constraints = [
        LinearConstraint(csr_array(entries(rows), shape=(len(rows), len(columns.keys))), ends, ends),
        LinearConstraint(csr_array(entries([row for row, _ in at_most]), shape=(len(at_most), len(columns.keys))),
                         -np.inf, [end for _, end in at_most]),
    ]
    objective = cost / (np.abs(cost).max() or 1.0) + TIE * noise / (np.abs(noise).max() or 1.0) / len(problem.noise)
    with silent_output():
        found = milp(
            objective, constraints=constraints, bounds=Bounds(0, 1), integrality=(np.arange(len(columns.keys)) < columns.whole).astype(int),
            options={"time_limit": SECONDS, "mip_rel_gap": GAP},
        )
    if found.x is None:
        return None
    taken = [key for key, share in zip(columns.keys[: columns.whole], found.x, strict=False) if share > 0.5]
    return dict(taken)     # type: ignore[arg-type]


@contextmanager
def silent_output() -> Iterator[None]:
    """Whatever C code writes to standard output goes nowhere: HiGHS says things there, where programs expect JSON."""
    sys.stdout.flush()
    kept, nowhere = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    try:
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)
        os.close(nowhere)


def entries(rows: Sequence[Row]) -> tuple[list[float], tuple[list[int], list[int]]]:
    """(coefficients, (rows, columns)), as sparse matrices are made of."""
    cells = [(value, number, column) for number, row in enumerate(rows) for column, value in row.items()]
    return [c[0] for c in cells], ([c[1] for c in cells], [c[2] for c in cells])


def dense(row: Row, length: int) -> Array:
    found = np.zeros(length)
    found[list(row)] = list(row.values())
    return found


def scaled_to_one(row: Row, end: float) -> tuple[Row, float]:
    """The same bound with numbers that a solver likes: its tolerances are absolute."""
    largest = max(map(abs, row.values()), default=0.0) or 1.0
    return {column: value / largest for column, value in row.items()}, end / largest


def front(points: Iterable[T], cost: Callable[[T], float], loss: Callable[[T], float]) -> list[T]:
    """The points that no other one beats in cost without losing more; from cheap to dear."""
    kept: list[T] = []
    for point in sorted(points, key=lambda p: (cost(p), loss(p))):
        if not kept or loss(point) < loss(kept[-1]):
            kept.append(point)
    return kept
