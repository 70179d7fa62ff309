"""The samples that layers are measured with: held in memory where they are few, read again where they are many; always the same ones."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np
import onnx_ir as ir

from bitsmith.errors import DataError
from bitsmith.loading.data import Data, Source
from bitsmith.loading.items import Chunk
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


@dataclass(frozen=True)
class Drawn:
    """One sample of each `window` neighbouring ones, drawn by chance that is the same every time; of a source of which every `every`-th
    sample is meant, and of these the first `most`.

    Taking every tenth would not do: sets are sorted by class, or go round the classes one by one, and then all would be of one class.

    which   0 or 1: with windows of two, these are two halves
    """

    source: Source
    every: int
    most: int | None
    window: int
    which: int = 0

    def chunks(self, size: int, step: int) -> Iterator[Chunk]:
        """Every step-th of those drawn."""
        seen = taken = 0
        for arrays, labels in self.source.chunks(size * self.window, self.every):
            length = len(next(iter(arrays.values())))
            length = length if self.most is None else min(length, self.most - seen)
            places = np.flatnonzero(drawn(seen, seen + length, self.window, self.which))
            picked = places[-taken % step :: step]
            seen, taken = seen + length, taken + len(places)
            if len(picked):
                yield {name: array[picked] for name, array in arrays.items()}, None if labels is None else labels[picked]
            if self.most is not None and seen >= self.most:
                return


def drawn(first: int, end: int, window: int, which: int) -> Array:
    """bool [end - first]: whether samples are drawn, by their numbers."""
    numbers = np.arange(first, end, dtype=np.uint64)
    windows, places = numbers // np.uint64(window), numbers % np.uint64(window)
    return np.asarray(places == (scrambled(windows) + np.uint64(which)) % np.uint64(window))


def scrambled(numbers: Array) -> Array:
    """uint64 from uint64, as if by chance: the finisher of SplitMix64 (Steele, Lea and Flood 2014)."""
    with np.errstate(over="ignore"):
        mixed = (numbers + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray((mixed ^ (mixed >> np.uint64(31))) >> np.uint64(8))


def draw(data: Data, window: int, which: int = 0) -> Data:
    """One of each so many samples."""
    count = None if data.samples is None else int(drawn(0, data.samples, window, which).sum())
    return replace(data, source=Drawn(data.source, data.step, data.most, window, which), step=1, most=None, samples=count)


def spread(data: Data, most: int) -> Data:
    """At most so many samples, drawn evenly from all of them."""
    if data.samples is None:
        return data.limit(most)
    return draw(data, -(-data.samples // most)) if data.samples > most else data
