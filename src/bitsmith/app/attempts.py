"""One attempt: what was chosen, what was measured, and which files it is. As a record on disk and in memory."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from bitsmith.analysis.advice import mood_of
from bitsmith.analysis.evaluate import Evaluation
from bitsmith.app.choices import Choices, choices_from
from bitsmith.app.folder import Folder, read_json
from bitsmith.errors import BitsmithError
from bitsmith.report.rows import Answers, Confusion, Figure
from bitsmith.report.words import decibels, share

KINDS = ("network", "plan", "report")
NUMBERS = ("top1", "top5", "agreement", "mse", "snr_db")


@dataclass(frozen=True)
class Attempt:
    """before, after   the float network and the quantized one on the test data
    test, data      digests of the test data and of those that were calibrated with
    weights         bytes of weights and constants in float, and as codes
    sizes           bytes of the network's files: the original's and the quantized one's
    files           kind ('network', 'plan', 'report') -> name in the attempt's folder; C is a network packed into a .zip
    extra           further files that the network needs
    """

    number: int
    made: str
    choices: Choices
    before: Evaluation
    after: Evaluation
    test: str
    data: str
    weights: tuple[int, int]
    sizes: tuple[int, int]
    files: Mapping[str, str]
    extra: tuple[str, ...] = ()

    @property
    def form(self) -> Literal["ONNX", "C"]:
        """What the network was written as."""
        return "C" if self.files["network"].endswith(".zip") else "ONNX"

    def figures(self) -> list[Figure]:
        """As the report's verdict shows them."""
        found = [Figure("top-1 accuracy", self.before.top1, self.after.top1, "share"),
                 Figure("top-5 accuracy", self.before.top5, self.after.top5, "share"),
                 Figure("same answer", None, self.after.agreement, "share"),
                 Figure("signal to noise of the outputs", None, self.after.snr_db, "decibels"),
                 *([Figure("file", *self.sizes, "bytes")] if self.form == "ONNX" else []),
                 Figure("weights and constants", *self.weights, "bytes")]
        return [figure for figure in found if figure.after is not None]

    @property
    def mood(self) -> Literal["good", "look", "act"]:
        """As the report judges: by accuracy that is lost, without labels by answers that differ."""
        before, after = (1.0, self.after.agreement) if self.after.top1 is None else (self.before.top1, self.after.top1)
        return mood_of(None if before is None or after is None else before - after, self.after.snr_db)

    @property
    def verdict(self) -> str:
        """In a few words."""
        if self.after.top1 is None and self.after.agreement is None:
            return f"signal to noise of the outputs {decibels(self.after.snr_db)}"
        if self.after.top1 is None:
            return f"{share(self.after.agreement)} of its answers are those of the float network"
        return f"top-1 accuracy {share(self.after.top1)}, float {share(self.before.top1)}"

    def answers(self, classes: tuple[str, ...] = ()) -> Answers:
        """Confusion of both."""
        if self.before.confusion is None or self.after.confusion is None:
            return Answers(classes=classes)
        pair = (tuple(map(tuple, e.confusion.tolist())) for e in (self.before, self.after) if e.confusion is not None)
        return Answers(Confusion(*pair), classes=classes)

    def to_dict(self) -> dict[str, Any]:
        """As plain data for JSON."""
        return {**asdict(self), "choices": self.choices.to_dict(), "before": self.before.to_dict(), "after": self.after.to_dict()}


def attempt_from(data: Mapping[str, Any]) -> Attempt:
    """The inverse of `to_dict`. Raises BitsmithError for anything else."""
    try:
        files = {kind: plain_name(data["files"][kind]) for kind in KINDS}
        return Attempt(
            int(data["number"]), str(data["made"]), choices_from(data["choices"]), evaluation_from(data["before"]),
            evaluation_from(data["after"]), str(data["test"]), str(data["data"]), pair_of(data["weights"]), pair_of(data["sizes"]),
            files, tuple(plain_name(name) for name in data["extra"]),
        )
    except (TypeError, ValueError, KeyError, AttributeError) as problem:
        raise BitsmithError(f"it is no attempt: {problem!r}") from problem


def plain_name(name: object) -> str:
    """A name of a file in the same folder. Raises ValueError for any other path."""
    if not isinstance(name, str) or not name or "/" in name or "\\" in name or name in (".", ".."):
        raise ValueError(f"{name!r} is no plain name")
    return name


def pair_of(values: Any) -> tuple[int, int]:
    first, second = values
    return int(first), int(second)


def evaluation_from(data: Mapping[str, Any]) -> Evaluation:
    """The inverse of `Evaluation.to_dict`. Raises ValueError, TypeError or KeyError for anything else."""
    top1, top5, agreement, mse, snr = (None if data[key] is None else float(data[key]) for key in NUMBERS)
    confusion = None if data["confusion"] is None else np.asarray(data["confusion"], np.int64)
    if confusion is not None and (confusion.ndim != 2 or confusion.shape[0] != confusion.shape[1]):
        raise ValueError("a confusion matrix is not square")
    against = None if data["against"] is None else str(data["against"])
    return Evaluation(str(data["engine"]), int(data["samples"]), top1, top5, confusion, against, agreement, mse, snr)


def read_attempts(folder: Folder) -> tuple[list[Attempt], list[str]]:
    """(attempts by number, what is wrong with those that cannot be read)."""
    found, complaints = [], []
    for entry in sorted((folder.path / "attempts").iterdir()):
        try:
            attempt = attempt_from(read_json(entry / "attempt.json"))
            missing = [name for name in (*attempt.files.values(), *attempt.extra) if not (entry / name).is_file()]
            if missing or str(attempt.number) != entry.name:
                raise BitsmithError(f"'{missing[0]}' is missing" if missing else "its number is another")
            found.append(attempt)
        except BitsmithError as problem:
            complaints.append(f"Attempt '{entry}' is left out: {problem}")
    return sorted(found, key=lambda a: a.number), complaints
