"""What a network eats, and whether data are that: names, shapes and types are checked before anything runs."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx.helper import tensor_dtype_to_np_dtype

from bitsmith.errors import DataError, LoadError
from bitsmith.numerics.formats import Array
from bitsmith.running.serialized import fed_names

Batch = Mapping[str, Array]
Dims = tuple[int | None, ...]


@dataclass(frozen=True)
class Feed:
    """One input: dims None where the network does not say its rank, a dimension None where any size fits."""

    name: str
    dtype: np.dtype[Any]
    dims: Dims | None

    def fit(self, array: Array) -> Array:
        """The array in the input's own type. Raises DataError where it does not fit."""
        array = np.asarray(array)
        if self.dims is not None and not self.takes_shape(array.shape):
            raise DataError(f"Input '{self.name}' needs the shape {show(self.dims)} and got {show(array.shape)}{self.hint(array.shape)}.")
        if array.dtype == self.dtype:
            return array
        return self.cast(array)

    def takes_shape(self, shape: tuple[int, ...]) -> bool:
        """The first axis, samples, is left to `Session.run` where the network fixes it: it feeds them piece by piece."""
        assert self.dims is not None
        if len(shape) != len(self.dims):
            return False
        return all(dim is None or dim == size for dim, size in zip(self.dims[1:], shape[1:], strict=True))

    def hint(self, shape: tuple[int, ...]) -> str:
        if self.dims is not None and len(shape) == len(self.dims) - 1:
            return "; the first axis is the samples, add it with array[None]"
        if len(shape) == 4 and self.dims is not None and self.takes_shape((shape[0], shape[3], shape[1], shape[2])):
            return "; the channels must come second, move them with array.transpose(0, 3, 1, 2)"
        return "; the first axis is the samples"

    def cast(self, array: Array) -> Array:
        """To the input's type where that keeps every number, or only rounds floats. Raises DataError otherwise."""
        if np.can_cast(array.dtype, self.dtype, "safe"):
            return array.astype(self.dtype)
        kinds = array.dtype.kind + self.dtype.kind
        if not (kinds == "ff" or (kinds[0] in "iu" and kinds[1] in "iuf")):
            raise DataError(f"Input '{self.name}' needs {self.dtype} and got {array.dtype}; convert the data if that is what they mean.")
        with np.errstate(over="ignore"):
            cast = array.astype(self.dtype)
        lost = (np.isinf(cast) & ~np.isinf(array)) if kinds == "ff" else (cast.astype(array.dtype) != array) | ((cast < 0) != (array < 0))
        if lost.any():
            number = array[lost].flat[0]
            raise DataError(f"Input '{self.name}' needs {self.dtype} and got {array.dtype} with {number}, which that cannot hold.")
        return cast


def read_feeds(graph: onnx.GraphProto) -> tuple[Feed, ...]:
    """The inputs of a network. Raises LoadError for those that are not arrays of numbers."""
    fed = set(fed_names(graph))
    return tuple(read_feed(value) for value in graph.input if value.name in fed)


def read_feed(value: onnx.ValueInfoProto) -> Feed:
    tensor = value.type.tensor_type
    if not value.type.HasField("tensor_type") or tensor.elem_type in (onnx.TensorProto.UNDEFINED, onnx.TensorProto.STRING):
        raise LoadError(f"Input '{value.name}' is not an array of numbers; such networks cannot be run here.")
    dims = tuple(dim.dim_value if dim.dim_value > 0 else None for dim in tensor.shape.dim) if tensor.HasField("shape") else None
    return Feed(value.name, np.dtype(tensor_dtype_to_np_dtype(tensor.elem_type)), dims)


def fit_batch(feeds: Sequence[Feed], batch: Batch) -> dict[str, Array]:
    """The arrays a network needs, in its types. Raises DataError where some are missing, unknown or do not fit."""
    names = [feed.name for feed in feeds]
    if missing := [name for name in names if name not in batch]:
        raise DataError(f"Input '{missing[0]}' is missing from the data, which have {quoted(batch)}; the network needs {quoted(names)}.")
    if unknown := [name for name in batch if name not in names]:
        raise DataError(f"The data have '{unknown[0]}' and the network has no such input; it needs {quoted(names)}.")
    fitted = {feed.name: feed.fit(batch[feed.name]) for feed in feeds}
    if empty := [name for name, array in fitted.items() if not array.size]:
        raise DataError(f"Input '{empty[0]}' got the shape {show(fitted[empty[0]].shape)}, which holds no number.")
    return fitted


def fixed_samples(feeds: Sequence[Feed]) -> int | None:
    """How many samples the network takes at once; None where it takes any number (or where its inputs do not agree on one)."""
    firsts = {feed.dims[0] if feed.dims else None for feed in feeds}
    return firsts.pop() if len(firsts) == 1 else None


def sample_count(batch: Batch) -> int | None:
    """The common length of all first axes; None where there is none, so that the batch cannot be split."""
    lengths = {len(array) if array.ndim else None for array in batch.values()}
    return lengths.pop() if len(lengths) == 1 else None


def split(batch: Batch, size: int) -> Iterator[Batch]:
    """The batch in views of at most so many samples. One whose inputs differ in length stays whole."""
    samples = sample_count(batch)
    if samples is None or samples <= size:
        yield batch
        return
    for start in range(0, samples, size):
        yield {name: array[start:start + size] for name, array in batch.items()}


def quoted(names: Any) -> str:
    return ", ".join(f"'{name}'" for name in names) or "none"


def show(dims: Sequence[int | None]) -> str:
    return "[" + ", ".join("any" if dim is None else str(dim) for dim in dims) + "]"
