"""The door in for data: files, folders and Python collections become batches that fit a network, read as they are needed."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import onnx_ir as ir

from bitsmith.errors import DataError
from bitsmith.loading.arrays import Held, Lazy, open_npy, open_npz
from bitsmith.loading.images import Images, Preprocessing, list_images
from bitsmith.loading.inputs import LABELS, Wanted, check_lengths, choose, name_of_labels, wanted_by
from bitsmith.loading.items import Chunk, Items, as_array, chunk_length, is_array, read_item
from bitsmith.numerics.formats import Array

__all__ = ["Data", "Preprocessing", "open_data"]

SIZE = 64       # samples in a batch where nobody says


class Source(Protocol):
    def chunks(self, size: int, step: int) -> Iterator[Chunk]:
        """Every step-th sample, `size` at a time."""


@dataclass(frozen=True)
class Arrays:
    """Arrays whose samples belong together, by input name."""

    inputs: Mapping[str, Lazy]
    labels: Lazy | None

    def chunks(self, size: int, step: int) -> Iterator[Chunk]:
        labels = iter(()) if self.labels is None else self.labels.parts(size, step)
        for parts in zip(*(array.parts(size, step) for array in self.inputs.values()), strict=True):
            yield dict(zip(self.inputs, parts, strict=True)), next(labels, None)

    def between(self, first: int, end: int) -> "Arrays":
        """The samples from `first` on and before `end`."""
        inputs = {name: array.between(first, end) for name, array in self.inputs.items()}
        return Arrays(inputs, None if self.labels is None else self.labels.between(first, end))


@dataclass(frozen=True)
class Data:
    """Samples for a network, checked and cast as they are read. Loop over it for batches {input: array [samples, ...]}.

    inputs    what the network needs
    samples   how many there are; None where only reading to the end would tell
    once      from a generator: it can be read a single time
    classes   names of the classes, where samples lay in folders named so
    origin    name of the file or folder that they are from, where there is one
    first     where the first of these samples is among all, where they are a shard
    """

    source: Source
    inputs: Sequence[Wanted]
    samples: int | None
    once: bool = False
    classes: Sequence[str] = ()
    called: Mapping[str, str] | None = None
    step: int = 1
    most: int | None = None
    first: int = 0
    origin: str = ""

    def __iter__(self) -> Iterator[dict[str, Array]]:
        return self.batches()

    def batches(self, size: int = SIZE) -> Iterator[dict[str, Array]]:
        """Batches of so many samples, the last maybe shorter; inputs only."""
        return (arrays for arrays, _ in self.labelled(size))

    def labelled(self, size: int = SIZE) -> Iterator[tuple[dict[str, Array], Array | None]]:
        """Batches with their labels, None where there are none.

        Raises DataError naming the array and the first sample that holds NaN or does not fit, for damaged files, and for no data at all.
        """
        if size < 1:
            raise DataError(f"A batch has at least one sample, not {size}.")
        done = 0
        for arrays, labels in self.source.chunks(size, self.step):
            left = len(next(iter(arrays.values()))) if self.most is None else self.most - done
            first = done * self.step
            fitted = {want.name: want.fit(arrays[want.name][:left], self.name_of(want), first, self.step) for want in self.inputs}
            length = len(next(iter(fitted.values())))
            done += length
            if length:
                yield fitted, None if labels is None else labels[:left]
            if self.most is not None and done >= self.most:
                return
        if not done:
            raise DataError("The data are empty; at least one sample is needed.")

    def name_of(self, want: Wanted) -> str:
        return (self.called or {}).get(want.name, f"Data for '{want.name}'")

    @property
    def labels(self) -> Array | None:
        """All labels at once, None where there are none. Raises DataError for a generator, whose labels come with its batches."""
        if self.once:
            raise DataError("The labels of a generator come with its batches; give lists or arrays to have them at once.")
        if isinstance(self.source, Arrays):
            parts = [] if self.source.labels is None else list(self.source.labels.parts(2**16, self.step))
        else:
            parts = [labels for _, labels in self.labelled() if labels is not None]
        return np.concatenate(parts)[:self.most] if parts else None

    def limit(self, count: int) -> "Data":
        """The first so many samples."""
        if count < 1:
            raise DataError(f"At least one sample is needed, not {count}.")
        most = count if self.most is None else min(count, self.most)
        return replace(self, most=most, samples=None if self.samples is None else min(self.samples, count))

    def every(self, step: int) -> "Data":
        """The first of every so many samples."""
        if step < 1:
            raise DataError(f"Every first, second ... sample can be taken, not every {step}th.")
        most, samples = (None if number is None else -(-number // step) for number in (self.most, self.samples))
        return replace(self, step=self.step * step, most=most, samples=samples)

    def shard(self, number: int, count: int) -> "Data":
        """The number-th (from 1) of so many parts, to be read by a process of its own.

        Parts begin where batches begin, so that all parts together are the very batches that one process would read.
        Raises DataError for data that cannot be read from the middle, and for a part that would be empty.
        """
        if not isinstance(self.source, Arrays) or self.samples is None:
            raise DataError("Only arrays, .npz and .npy files and folders of images can be read in shards; save the samples so.")
        batches = -(-self.samples // SIZE)
        if not 1 <= number <= count:
            raise DataError(f"Shards are numbered from 1 to their count; there is no shard {number}/{count}.")
        if count > batches:
            raise DataError(f"{self.samples} samples are {batches} batches of {SIZE}, too few for {count} shards; use at most {batches}.")
        first, end = (min(batches * n // count * SIZE, self.samples) for n in (number - 1, number))
        last = (end - 1) * self.step + 1
        return replace(self, source=self.source.between(first * self.step, last), samples=end - first, most=None,
                       first=self.first + first)


def open_data(source: Any, network: ir.Model | Iterable[ir.Value], *, preprocessing: Preprocessing | None = None) -> Data:
    """Data for a network.

    source   path of an .npz (arrays by input name, or `x` for a single input; labels `y` or `labels`), of an .npy, or of a folder of
             images or of one folder of images for each class; an array; a mapping of arrays; a pair (arrays, labels); or anything to loop
             over that gives batches or single samples, with labels or without: a list, a torch DataLoader, a generator (read once) or a
             function making one
    network  or its inputs (values with shape and type)
    preprocessing   how images become numbers; only for folders of images

    Raises DataError where names, shapes, types or numbers of samples do not fit; what only reading can tell is told when it is read.
    """
    if isinstance(source, Data):
        return source
    inputs = wanted_by(network)
    if isinstance(source, str | os.PathLike):
        return replace(open_path(Path(source), inputs, preprocessing), origin=Path(source).name)
    if preprocessing is not None:
        raise DataError("Preprocessing is for folders of images; give arrays as the network eats them.")
    arrays = arrays_in(source, inputs)
    if arrays is not None:
        return data_of(arrays, inputs, "The data", {name: f"Array '{name}'" for name in arrays})
    return open_items(source, inputs)


def open_path(path: Path, inputs: Sequence[Wanted], preprocessing: Preprocessing | None) -> Data:
    if path.is_dir():
        return open_folder(path, inputs, preprocessing)
    if preprocessing is not None:
        raise DataError(f"'{path}' is no folder, and preprocessing is for folders of images; save arrays as the network eats them.")
    if not path.exists():
        raise DataError(f"There is no file '{path}'.")
    if path.suffix.lower() not in (".npz", ".npy"):
        raise DataError(f"'{path}' is neither .npz nor .npy nor a folder of images; save arrays with np.savez.")
    found = open_npz(path) if path.suffix.lower() == ".npz" else {"x": open_npy(path)}
    return data_of(found, inputs, f"'{path}'", {name: f"Array '{name}' of '{path}'" for name in found})


def open_folder(folder: Path, inputs: Sequence[Wanted], preprocessing: Preprocessing | None) -> Data:
    """A folder of images, or of one folder for each class."""
    if preprocessing is None:
        raise DataError(f"'{folder}' holds images; say how they become numbers (Preprocessing: size, scale, mean, std, layout, colours).")
    if len(inputs) != 1:
        raise DataError(f"A folder of images is data for one input, and the network has {len(inputs)}; save arrays with np.savez.")
    files, labels, classes = list_images(folder)
    found: dict[str, Lazy] = {"x": Images(files, preprocessing)}
    if labels is not None:
        found[LABELS] = Held(np.asarray(labels))
    return replace(data_of(found, inputs, f"'{folder}'", {"x": f"Images in '{folder}', so preprocessed,"}), classes=classes)


def data_of(arrays: Mapping[str, Lazy], inputs: Sequence[Wanted], where: str, called: Mapping[str, str]) -> Data:
    """Data out of arrays that know their shapes. Raises DataError where they do not fit the network or each other."""
    chosen = choose(arrays, inputs, where)
    names = {want.name: called[chosen[want.name]] for want in inputs}
    for want in inputs:
        array = arrays[chosen[want.name]]
        want.check_shape(array.shape, names[want.name])
        want.check_type(array.dtype, names[want.name])
    named = name_of_labels(arrays, chosen)
    labels = None if named is None else arrays[named]
    if labels is not None and not labels.shape:
        raise DataError(f"{where} has a single label; there must be one for each sample.")
    used = {key: arrays[key] for key in (*chosen.values(), *([] if named is None else [named]))}
    samples = check_lengths({key: array.shape[0] for key, array in used.items()}, where)
    return Data(Arrays({name: arrays[key] for name, key in chosen.items()}, labels), inputs, samples, called=names)


def arrays_in(source: Any, inputs: Sequence[Wanted]) -> dict[str, Lazy] | None:
    """The arrays of a mapping, of a pair (arrays, labels), or a single array; None where the source must be looped over."""
    if isinstance(source, Mapping):
        return {str(name): Held(as_array(value, str(name))) for name, value in source.items()}
    if is_array(source):
        return {"x": Held(as_array(source, "x"))}
    if isinstance(source, tuple) and len(source) == 2 and is_arrays_and_labels(*source, inputs):
        return {**(arrays_in(source[0], inputs) or {}), LABELS: Held(as_array(source[1], LABELS))}
    return None


def is_arrays_and_labels(first: Any, second: Any, inputs: Sequence[Wanted]) -> bool:
    """A pair of two batches is none."""
    if isinstance(first, Mapping):
        return not isinstance(second, Mapping)
    if len(inputs) != 1 or not is_array(first):
        return False
    shape = as_array(second, LABELS).shape
    return inputs[0].takes(as_array(first, "x").shape[1:]) and not inputs[0].takes(shape) and not inputs[0].takes(shape[1:])


def open_items(source: Any, inputs: Sequence[Wanted]) -> Data:
    """Data out of anything to loop over, or out of a function that makes such a thing."""
    if callable(source) and not isinstance(source, Iterable):
        return Data(Items(source, inputs, once=False), inputs, None)
    if not isinstance(source, Iterable) and not hasattr(source, "__getitem__"):
        raise DataError(f"Data are a path, arrays or something to loop over, not {type(source).__name__}.")
    if isinstance(source, list | tuple):
        samples = sum(chunk_length(read_item(item, inputs)) for item in source)
        if not samples:
            raise DataError("The data are empty; at least one sample is needed.")
        return Data(Items(lambda: source, inputs, once=False), inputs, samples)
    once = isinstance(source, Iterator)
    return Data(Items(lambda: source, inputs, once=once), inputs, None, once=once)
