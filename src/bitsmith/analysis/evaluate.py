"""How good a network is on data: accuracy, confusion, and distance from another network."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from bitsmith.errors import DataError
from bitsmith.numerics.formats import Array

Outputs = Mapping[str, Array]
Metric = Callable[[Outputs, Array | None], float]
LARGEST_CONFUSION = 2000


@dataclass(frozen=True)
class Evaluation:
    """What was measured, and by which engine.

    top1, top5, confusion   with labels: shares 0..1, and counts [true class, answered class]
    agreement, mse, snr_db  against another network: share of equal arg-max (None where outputs are single numbers), mean squared error
                            and signal-to-noise in dB of the outputs
    metrics                 results of the callables that were given, by name
    """

    engine: str
    samples: int
    top1: float | None = None
    top5: float | None = None
    confusion: Array | None = None
    against: str | None = None
    agreement: float | None = None
    mse: float | None = None
    snr_db: float | None = None
    metrics: Mapping[str, float] | None = None

    def to_dict(self) -> dict[str, Any]:
        """As plain data for JSON."""
        return {**vars(self), "confusion": None if self.confusion is None else self.confusion.tolist()}


class Score:
    """Counts over batches; the memory is that of one batch, unless metrics ask for all outputs."""

    def __init__(self, metrics: Mapping[str, Metric]) -> None:
        self.metrics = metrics
        self.samples = self.answers = self.right = self.right_in_five = self.agreeing = self.elements = self.compared = 0
        self.classes = 0
        self.most = 0       # the confusion matrix needs so many rows and columns
        self.noise = self.signal = 0.0
        self.confusion: dict[tuple[int, int], int] = {}
        self.kept: list[Outputs] = []
        self.kept_labels: list[Array] = []

    def add(self, outputs: Outputs, labels: Array | None, reference: Outputs | None) -> None:
        """One batch. Labels are class numbers; they belong to the first output, whose axis 1 counts the classes, or which holds answers."""
        first = next(iter(outputs.values()))
        self.samples += len(first)
        if labels is not None:
            self.add_labels(first, labels)
        if reference is not None:
            self.add_reference(outputs, reference)
        if self.metrics:
            self.kept.append(outputs)
            self.kept_labels += [] if labels is None else [labels]

    def add_labels(self, first: Array, labels: Array) -> None:
        answer, truth = answers_of(first).reshape(-1), np.asarray(labels).reshape(-1)
        if len(truth) != len(answer) or truth.dtype.kind not in "iu":
            raise DataError(f"Labels of shape {np.shape(labels)} and type {truth.dtype} do not fit outputs of shape {first.shape}; "
                            "they must be class numbers, one for each answer.")
        if truth.min() < 0:
            raise DataError(f"The label {truth.min()} is no class number; classes are counted from 0.")
        self.answers += len(truth)
        self.right += int((answer == truth).sum())
        if first.dtype.kind == "f" and first.ndim > 1:
            self.classes = max(self.classes, first.shape[1])
            self.right_in_five += in_top(np.moveaxis(first, 1, -1).reshape(-1, first.shape[1]), truth, 5)
        self.most = max(self.most, self.classes, 1 + int(truth.max()), 1 + int(answer.max()))
        if self.most <= LARGEST_CONFUSION:
            pairs, counts = np.unique(np.stack([truth, answer]), axis=1, return_counts=True)
            for true, given, n in zip(*pairs.tolist(), counts.tolist(), strict=True):
                self.confusion[true, given] = self.confusion.get((true, given), 0) + n

    def add_reference(self, outputs: Outputs, reference: Outputs) -> None:
        first, other = next(iter(outputs.values())), next(iter(reference.values()))
        if [v.shape for v in outputs.values()] != [v.shape for v in reference.values()]:
            raise DataError(f"The two networks have different outputs: {shapes(outputs)} and {shapes(reference)}.")
        if first.dtype.kind in "iu" or (first.ndim > 1 and first.shape[1] > 1):
            same = answers_of(first) == answers_of(other)
            self.agreeing += int(same.sum())
            self.compared += same.size
        for mine, theirs in zip(outputs.values(), reference.values(), strict=True):
            self.noise += float(np.square(mine - theirs.astype(np.float64)).sum())
            self.signal += float(np.square(theirs, dtype=np.float64).sum())
            self.elements += mine.size

    def result(self, engine: str, against: str | None) -> Evaluation:
        """All counts as shares."""
        if not self.samples:
            raise DataError("There is nothing to evaluate: the data are empty.")
        labelled, compared = bool(self.answers), bool(self.elements)
        return Evaluation(
            engine, self.samples,
            self.right / self.answers if labelled else None,
            self.right_in_five / self.answers if labelled and self.classes > 5 else None,
            self.matrix() if labelled and self.most <= LARGEST_CONFUSION else None,
            against if compared else None,
            self.agreeing / self.compared if self.compared else None,
            self.noise / self.elements if compared else None,
            decibels(self.signal, self.noise) if compared else None,
            self.measure() if self.metrics else None,
        )

    def matrix(self) -> Array:
        counts = np.zeros((self.most, self.most), np.int64)
        for (true, given), n in self.confusion.items():
            counts[true, given] = n
        return counts

    def measure(self) -> dict[str, float]:
        outputs = {name: np.concatenate([o[name] for o in self.kept]) for name in self.kept[0]}
        labels = np.concatenate(self.kept_labels) if self.kept_labels else None
        return {name: float(metric(outputs, labels)) for name, metric in self.metrics.items()}


def answers_of(output: Array) -> Array:
    """Class numbers: places of the largest along axis 1, the numbers themselves where the network ends in them; 0 of a single score."""
    if output.dtype.kind in "iu":
        return output
    return np.asarray(output.argmax(1)) if output.ndim > 1 else np.zeros(len(output), np.int64)


def in_top(scores: Array, truth: Array, count: int) -> int:
    """How many answers have the true class among the `count` highest; a tie counts for the class with the lower number."""
    known = (truth >= 0) & (truth < scores.shape[1])
    scores, truth = scores[known], truth[known]
    own = np.take_along_axis(scores, truth[:, None], axis=1)
    earlier = np.arange(scores.shape[1]) < truth[:, None]
    return int((((scores > own) | ((scores == own) & earlier)).sum(axis=1) < count).sum())


def decibels(signal: float, noise: float) -> float:
    """10 log10(signal / noise); infinite without noise."""
    if noise == 0:
        return float("inf")
    return float(10 * np.log10(signal / noise)) if signal > 0 else float("-inf")


def shapes(outputs: Outputs) -> str:
    return ", ".join(f"'{name}' {list(v.shape)}" for name, v in outputs.items())


def score(
    batches: Iterable[tuple[Outputs, Array | None, Outputs | None]], engine: str, *, against: str | None = None,
    metrics: Mapping[str, Metric] | None = None,
) -> Evaluation:
    """Evaluate a stream of (outputs, labels, outputs of the network to compare with)."""
    total = Score(metrics or {})
    for outputs, labels, reference in batches:
        total.add(outputs, labels, reference)
    return total.result(engine, against)
