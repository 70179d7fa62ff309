"""How far a network's outputs are from what they ought to be, on some calibration samples, other samples kept to confirm it."""

from collections.abc import Callable, Mapping, Sequence
from itertools import islice

import numpy as np
import onnx_ir as ir

from bitsmith.loading.data import Data
from bitsmith.numerics.formats import Array
from bitsmith.running.session import Session

MOST_SAMPLES = 256
BATCH = 32
KEPT = 4            # every fourth batch confirms
Batch = Mapping[str, Array]
Run = Callable[[int], Sequence[Array]]      # the number of a batch -> the outputs


def read_samples(data: Data, fixed: int | None = None) -> tuple[list[dict[str, Array]], list[Array] | None]:
    """Batches of the first samples, and their labels where all have them; whole batches of a fixed size where there is one."""
    size = fixed or BATCH
    batches = (pair for pair in data.labelled(size) if fixed is None or len(next(iter(pair[0].values()))) == fixed)
    found = list(islice(batches, max(2, MOST_SAMPLES // size)))
    labels = [labels for _, labels in found if labels is not None]
    return [batch for batch, _ in found], labels if len(labels) == len(found) else None


class OutputLoss:
    """Mean cross-entropy of one output [samples, classes] with labels; else squared distance from the reference's outputs, relative.

    reference   the network in float
    samples, labels   as `read_samples` gives them; labels None: there are none
    """

    def __init__(self, reference: ir.Model, samples: Sequence[Batch], labels: Sequence[Array] | None) -> None:
        session = Session(reference)
        self.samples = samples
        self.outputs = [list(session.run(batch).values()) for batch in samples]
        single = labels is not None and len(self.outputs[0]) == 1
        fits = single and all(is_answer(o[0], y) for o, y in zip(self.outputs, labels or [], strict=True))
        self.labels = labels if fits else None
        self.measure = "cross-entropy" if fits else "squared distance of the outputs"
        numbers = range(len(samples))
        self.confirming = numbers[KEPT - 1::KEPT] or numbers[-1:]
        self.deciding = [i for i in numbers if i not in self.confirming or len(samples) < KEPT]

    def decide(self, run: Run) -> float:
        """On most batches."""
        return self.mean(run, self.deciding)

    def confirm(self, run: Run) -> float:
        """On the others (on the last one, where there are few)."""
        return self.mean(run, self.confirming)

    def mean(self, run: Run, which: Sequence[int]) -> float:
        if self.labels is not None:
            parts = [cross_entropies(run(i)[0], self.labels[i]) for i in which]
            return float(np.concatenate(parts).mean())
        squares = np.zeros(2)
        for i in which:
            for mine, real in zip(run(i), self.outputs[i], strict=True):
                squares += np.square(mine - real, dtype=np.float64).sum(), np.square(real, dtype=np.float64).sum()
        return float(squares[0] / squares[1]) if squares[1] else float(squares[0])


def is_answer(output: Array, labels: Array) -> bool:
    """True where the output has a number for each class and the labels are classes."""
    whole = np.issubdtype(labels.dtype, np.integer) and labels.shape == output.shape[:1]
    return output.ndim == 2 and bool(whole) and bool(((labels >= 0) & (labels < output.shape[1])).all())


def cross_entropies(logits: Array, labels: Array) -> Array:
    """-log softmax at the label, float64 [samples]. Outputs that are probabilities already count as logits: their order is the same."""
    wide = logits.astype(np.float64)
    wide -= wide.max(axis=1, keepdims=True)
    return np.asarray(np.log(np.exp(wide).sum(axis=1)) - wide[np.arange(len(labels)), labels])
