"""Test samples in two halves, one for searching and one held out; and whether any of them were calibrated with."""

import hashlib
from collections.abc import Iterator, Mapping

import numpy as np

from bitsmith.errors import DataError
from bitsmith.loading.data import Data
from bitsmith.loading.draw import draw
from bitsmith.numerics.formats import Array

FEWEST = 20         # samples in each half; fewer say nothing


def halves(data: Data) -> tuple[Data, Data]:
    """Of each two neighbouring samples one, drawn by chance that is the same every time, and the other.

    Raises DataError where there are too few, or where they can be read only once.
    """
    if data.once:
        raise DataError("A search reads its test samples many times; give data that can be read again.")
    if data.samples is not None and data.samples < 2 * FEWEST:
        raise DataError(f"A search needs at least {2 * FEWEST} test samples, half to search and half to confirm, and got {data.samples}.")
    return draw(data, 2, 0), draw(data, 2, 1)


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
