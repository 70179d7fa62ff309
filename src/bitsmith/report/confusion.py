"""Confusion matrices for the page: small ones as tables with numbers, large ones as the pairs that changed most."""

from collections.abc import Sequence
from dataclasses import dataclass

from bitsmith.report.rows import Answers

LARGEST_TABLE = 24          # classes
MOST_PAIRS = 24
WORTH_SAYING = 2            # samples more or fewer
LEVELS = 8


@dataclass(frozen=True)
class Cell:
    """A count, its text, and how strongly it is coloured: kind 'r' right, 'w' wrong, 'u' up, 'd' down; level 0 to 8."""

    text: str
    kind: str
    level: int


@dataclass(frozen=True)
class Matrix:
    """One table: its title, names of classes, and a row of cells for each true class."""

    title: str
    classes: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]


@dataclass(frozen=True)
class Pair:
    """Samples of one class that are answered with another, before and after."""

    true: str
    answered: str
    before: int
    after: int


def class_name(answers: Answers, index: int | None) -> str:
    """Its name where there is one, else its number; '?' for a sample without a label."""
    if index is None:
        return "?"
    return answers.classes[index] if 0 <= index < len(answers.classes) else str(index)


def matrices(answers: Answers) -> list[Matrix]:
    """Float, quantized and their difference; none where there are too many classes for a table."""
    found = answers.confusion
    if found is None or not found.before or max(len(found.before), len(found.after)) > LARGEST_TABLE:
        return []
    if len(found.before) != len(found.after):
        return []
    names = tuple(class_name(answers, i) for i in range(len(found.before)))
    both = [Matrix(title, names, tuple(counted(i, row) for i, row in enumerate(rows)))
            for title, rows in (("Float", found.before), ("Quantized", found.after))]
    apart = [[b - a for a, b in zip(*rows, strict=True)] for rows in zip(found.before, found.after, strict=True)]
    most = max((abs(v) for row in apart for v in row), default=0)
    cells = tuple(tuple(difference(i == j, v, most or 1) for j, v in enumerate(row)) for i, row in enumerate(apart))
    return [*both, Matrix("Difference" if most else "No difference", names, cells)]


def counted(true: int, row: Sequence[int]) -> tuple[Cell, ...]:
    """Coloured by the share of the true class."""
    total = sum(row) or 1
    return tuple(Cell(str(v) if v else "", "r" if true == j else "w", level(v / total)) for j, v in enumerate(row))


def difference(right: bool, value: int, largest: int) -> Cell:
    """More right answers and fewer wrong ones are good."""
    good = (value > 0) == right
    return Cell(f"{value:+d}".replace("-", "−") if value else "", "u" if good else "d", level(abs(value) / largest))


def level(share: float) -> int:
    """0 for nothing, then 1 to 8 by the square root, so that few are seen beside many."""
    return 0 if share <= 0 else max(1, round(LEVELS * share**0.5))


def changed_pairs(answers: Answers) -> list[Pair]:
    """The answers whose counts changed most, for matrices too large for a table."""
    found = answers.confusion
    if found is None or len(found.before) != len(found.after) or len(found.before) <= LARGEST_TABLE:
        return []
    pairs = [
        Pair(class_name(answers, i), class_name(answers, j), a, b)
        for i, rows in enumerate(zip(found.before, found.after, strict=True))
        for j, (a, b) in enumerate(zip(*rows, strict=True)) if abs(a - b) >= WORTH_SAYING
    ]
    return sorted(pairs, key=lambda p: -abs(p.after - p.before))[:MOST_PAIRS]
