"""Python's own collections as data: lists, generators, data loaders. Items are batches or single samples, with labels or without."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from bitsmith.errors import DataError
from bitsmith.loading.inputs import LABELS, Wanted, check_lengths, choose, name_of_labels
from bitsmith.numerics.formats import Array

Chunk = tuple[dict[str, Array], Array | None]       # arrays by input name, labels


@dataclass
class Items:
    """Whatever can be looped over. `make` gives a fresh iterator each time; a generator gives itself, once."""

    make: Callable[[], Iterable[Any]]
    inputs: Sequence[Wanted]
    once: bool
    spent: bool = field(default=False, init=False)

    def chunks(self, size: int, step: int) -> Iterator[Chunk]:
        """Every step-th sample, `size` at a time, whatever the items' own sizes are. Raises DataError for a generator read twice."""
        if self.once and self.spent:
            raise DataError("The data came from a generator, which can be read once and was; give a list, or a function that makes it.")
        self.spent = True
        waiting, count, passed = list[Chunk](), 0, 0
        for item in self.make():
            chunk = read_item(item, self.inputs)
            length = chunk_length(chunk)
            chunk, passed = part_of(chunk, slice(-passed % step, None, step)), passed + length
            while count + chunk_length(chunk) >= size:
                taken = size - count
                yield join([*waiting, part_of(chunk, slice(0, taken))])
                chunk, waiting, count = part_of(chunk, slice(taken, None)), [], 0
            if left := chunk_length(chunk):
                waiting, count = [*waiting, chunk], count + left
        if waiting:
            yield join(waiting)


def chunk_length(chunk: Chunk) -> int:
    return len(next(iter(chunk[0].values())))


def part_of(chunk: Chunk, which: slice) -> Chunk:
    return {name: array[which] for name, array in chunk[0].items()}, None if chunk[1] is None else chunk[1][which]


def join(chunks: Sequence[Chunk]) -> Chunk:
    """One chunk of several. Raises DataError where only some have labels, or shapes differ."""
    if len(chunks) == 1:
        return chunks[0]
    labels = [labels for _, labels in chunks if labels is not None]
    if labels and len(labels) < len(chunks):
        raise DataError("Some batches have labels and others have none; give all or none.")
    try:
        joined = {name: np.concatenate([arrays[name] for arrays, _ in chunks]) for name in chunks[0][0]}
        return joined, np.concatenate(labels) if labels else None
    except ValueError as error:
        raise DataError(f"Batches do not fit each other: {error}.") from error


def read_item(item: Any, inputs: Sequence[Wanted]) -> Chunk:
    """A batch, or a single sample as a batch of one. A pair of arrays and labels, a mapping (labels as in an .npz), or arrays in order."""
    arrays, labels = name_arrays(item, inputs)
    found = {want.name: as_array(arrays[want.name], want.name) for want in inputs}
    given = None if labels is None else as_array(labels, LABELS)
    if all(want.takes(found[want.name].shape) for want in inputs):
        found = {name: array[None] for name, array in found.items()}
        given = None if given is None else given[None]
    for want in inputs:
        want.check_shape(found[want.name].shape, f"A batch of '{want.name}'")
    if given is not None and not given.ndim:
        raise DataError(f"A batch has the single label {given}; it needs one for each sample.")
    lengths = {name: len(array) for name, array in found.items()} | ({} if given is None else {LABELS: len(given)})
    if any(lengths.values()):
        check_lengths(lengths, "A batch")
    return found, given


def name_arrays(item: Any, inputs: Sequence[Wanted]) -> tuple[Mapping[str, Any], Any]:
    """Arrays by input, and labels or None."""
    if isinstance(item, Mapping):
        chosen = choose(item, inputs, "A batch")
        named = name_of_labels(item, chosen)
        return {name: item[key] for name, key in chosen.items()}, None if named is None else item[named]
    parts: list[Any] = list(item) if has_parts(item) else [item]
    if len(parts) == 2 and isinstance(parts[0], Mapping):
        return name_arrays(parts[0], inputs)[0], parts[1]
    if len(parts) not in (len(inputs), len(inputs) + 1):
        names = ", ".join(f"'{want.name}'" for want in inputs)
        raise DataError(f"A batch has {len(parts)} parts and the network needs {names}, and labels behind them if there are some.")
    return {want.name: part for want, part in zip(inputs, parts, strict=False)}, parts[len(inputs)] if len(parts) > len(inputs) else None


def has_parts(item: Any) -> bool:
    """A tuple has; a list only if it holds arrays (torch's loaders make such), for nested lists of numbers are an array themselves."""
    return isinstance(item, tuple) or (isinstance(item, list) and bool(item) and (is_array(item[0]) or isinstance(item[0], Mapping)))


def is_array(value: Any) -> bool:
    return hasattr(value, "__array__") and hasattr(value, "shape")


def as_array(value: Any, name: str) -> Array:
    """numpy's view of an array, a torch tensor or nested lists. Raises DataError for what is none of these."""
    try:
        if hasattr(value, "detach"):        # a torch tensor, which may need gradients or lie on another device
            value = value.detach().cpu()
        array = np.asarray(value)
    except (ValueError, TypeError, RuntimeError) as error:
        raise DataError(f"'{name}' cannot be made an array: {error}.") from error
    if array.dtype.hasobject or array.dtype.kind not in "biuf":
        raise DataError(f"'{name}' is {type(value).__name__} of {array.dtype}, not an array of numbers.")
    return array
