"""The samples that layers are measured with: held in memory where they are few, read again where they are many; always the same ones."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import onnx_ir as ir

from bitsmith.errors import DataError
from bitsmith.loading.data import Data
from bitsmith.numerics.formats import Array
from bitsmith.running.feeds import fixed_samples, sample_count
from bitsmith.running.session import Session, fill

MOST_BYTES = 2**29      # of inputs and outputs held
AT_ONCE = 128

Piece = tuple[dict[str, Array], Array | None, dict[str, Array]]


@dataclass
class Samples:
    """(inputs, labels, the float network's outputs), batch after batch.

    count      how many samples; `labelled`: whether all have labels
    digest     of all inputs and labels
    """

    data: Data
    session: Session
    size: int
    held: list[Piece] | None = field(default_factory=list)
    count: int = 0
    labelled: bool = True
    digest: str = ""

    @classmethod
    def of(cls, data: Data, network: ir.Model) -> "Samples":
        """Read once, to count and to tell them apart from others. Raises DataError where they cannot be read again."""
        if data.once:
            raise DataError("Layers are measured one after the other, each with the same samples; give data that can be read again.")
        session = Session(network)
        samples = cls(data, session, fixed_samples(session.feeds) or AT_ONCE)
        samples.read()
        return samples

    def read(self) -> None:
        digest, held, weight = hashlib.sha256(), list[Piece](), 0
        for batch, labels, outputs in self.pieces():
            for array in (*batch.values(), *([] if labels is None else [labels])):
                digest.update(f"{array.dtype}{array.shape}".encode() + np.ascontiguousarray(array).tobytes())
            self.count += len(next(iter(batch.values())))
            self.labelled &= labels is not None
            weight += sum(array.nbytes for array in (*batch.values(), *outputs.values()))
            if weight <= MOST_BYTES:
                held.append((batch, labels, outputs))
        self.held, self.digest = held if weight <= MOST_BYTES else None, digest.hexdigest()[:16]

    def pieces(self) -> Iterator[Piece]:
        """From the data themselves. A network for a fixed number of samples gets just as many; the last piece is filled up."""
        fixed = fixed_samples(self.session.feeds)
        for batch, labels in self.data.labelled(self.size):
            whole = {name: np.asarray(array) for name, array in (batch if fixed is None else fill(batch, fixed)).items()}
            yield whole, filled_labels(labels, sample_count(whole)), self.session.run(whole)

    def __iter__(self) -> Iterator[Piece]:
        return iter(self.held) if self.held is not None else self.pieces()


def filled_labels(labels: Array | None, count: int | None) -> Array | None:
    """As many labels as there are samples: the last sample is repeated, and so is its label."""
    if labels is None or count is None or len(labels) >= count:
        return labels
    return np.concatenate([labels, np.repeat(labels[-1:], count - len(labels), 0)])
