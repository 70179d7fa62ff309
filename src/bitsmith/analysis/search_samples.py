"""Test samples in two halves, one for searching and one held out; and whether any of them were calibrated with."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from bitsmith.errors import DataError
from bitsmith.loading.data import Data, Source
from bitsmith.loading.items import Chunk
from bitsmith.numerics.formats import Array

FEWEST = 20         # samples in each half; fewer say nothing


@dataclass(frozen=True)
class Half:
    """Every other sample of a source of which every step-th is meant: those on even places, or on odd ones."""

    source: Source
    every: int
    odd: int

    def chunks(self, size: int, step: int) -> Iterator[Chunk]:
        """Every step-th sample of this half."""
        done, stride = 0, 2 * step
        for arrays, labels in self.source.chunks(2 * size * step, self.every):
            length = len(next(iter(arrays.values())))
            picked = slice((self.odd - done) % stride, None, stride)
            done += length
            if picked.start < length:
                yield {name: array[picked] for name, array in arrays.items()}, None if labels is None else labels[picked]


def halves(data: Data) -> tuple[Data, Data]:
    """Samples 0, 2, 4 ... and samples 1, 3, 5 ...: sets that are sorted by class stay balanced.

    Raises DataError where there are too few, or where they can be read only once.
    """
    if data.once:
        raise DataError("A search reads its test samples many times; give data that can be read again.")
    if data.samples is not None and data.samples < 2 * FEWEST:
        raise DataError(f"A search needs at least {2 * FEWEST} test samples, half to search and half to confirm, and got {data.samples}.")
    first, second = (
        replace(data, source=Half(data.source, data.step, odd), step=1, samples=part(data.samples, odd), most=part(data.most, odd))
        for odd in (0, 1)
    )
    return first, second


def part(count: int | None, odd: int) -> int | None:
    """How many of so many samples are on even places, or on odd ones."""
    return None if count is None else (count + 1 - odd) // 2


def count_known(known: Data, tested: Data) -> int:
    """How many of the tested samples are among the known ones, number by number."""
    seen = {key for batch in known for key in keys_of(batch)}
    return sum(key in seen for batch in tested for key in keys_of(batch))


def keys_of(batch: Mapping[str, Array]) -> Iterator[bytes]:
    arrays = [np.ascontiguousarray(array) for array in batch.values()]
    for sample in zip(*arrays, strict=True):
        yield hashlib.blake2b(b"".join(array.tobytes() for array in sample), digest_size=16).digest()


def check_apart(known: Data, tested: Data) -> str:
    """A word about test samples that were calibrated with; '' where there are none.

    Raises DataError where most of them were: then nothing measured on them says what the network does on others.
    """
    if known.once or tested.once or tested.samples is None:
        return ""
    both = count_known(known, tested)
    if 2 * both > tested.samples:
        raise DataError(
            f"{both} of {tested.samples} test samples are calibration samples, too; accuracy must be measured on other data. "
            "Give a test set of its own, or split the samples that you have."
        )
    return f"{both} of {tested.samples} test samples are calibration samples, too" if both else ""
