"""Arrays read in parts: held in memory, mapped from a file piece by piece, or unpacked from a compressed archive as they are needed.

No part lives longer than its reader keeps it, so memory depends on the size of a part and not on the number of samples. (One map over
the whole file would not do: its pages count as the process's own.)
"""

import math
import os
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any, Protocol

import numpy as np

from bitsmith.errors import DataError
from bitsmith.numerics.formats import Array

LARGEST_SAMPLE = 2**31      # bytes
DENSEST = 1100              # times; deflate cannot pack more tightly
ILL = (OSError, ValueError, EOFError, SyntaxError, LookupError, RuntimeError, MemoryError,
       struct.error, zlib.error, zipfile.BadZipFile, tokenize.TokenError)


class Lazy(Protocol):
    """An array whose first axis is samples."""

    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def dtype(self) -> np.dtype[Any]: ...
    def parts(self, size: int, step: int = 1) -> Iterator[Array]:
        """Every step-th sample from the first on, in order, `size` at a time (the last part may be shorter)."""

    def between(self, first: int, end: int) -> "Lazy":
        """The samples from `first` on and before `end`; the others are never read where that can be."""


@dataclass(frozen=True)
class Held:
    """An array in memory; its parts are views."""

    array: Array

    @property
    def shape(self) -> tuple[int, ...]:
        return self.array.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.array.dtype

    def parts(self, size: int, step: int = 1) -> Iterator[Array]:
        picked = self.array[::step]
        yield from (picked[start:start + size] for start in range(0, len(picked), size))

    def between(self, first: int, end: int) -> "Held":
        return Held(self.array[first:end])


@dataclass(frozen=True)
class Mapped:
    """An array stored plainly in a file from `offset` on; each part is a map of its own."""

    path: Path
    offset: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    by_columns: bool

    def parts(self, size: int, step: int = 1) -> Iterator[Array]:
        width = self.dtype.itemsize * math.prod(self.shape[1:])
        if self.by_columns or not width:
            yield from Held(self.map(self.offset, self.shape, "F" if self.by_columns else "C")).parts(size, step)
            return
        for start in range(0, self.shape[0], size * step):
            rows = min(size * step, self.shape[0] - start)
            yield self.map(self.offset + start * width, (rows, *self.shape[1:]), "C")[::step]

    def between(self, first: int, end: int) -> Lazy:
        if self.by_columns:
            return Held(self.map(self.offset, self.shape, "F")[first:end])
        start = self.offset + first * self.dtype.itemsize * math.prod(self.shape[1:])
        return replace(self, offset=start, shape=(end - first, *self.shape[1:]))

    def map(self, offset: int, shape: tuple[int, ...], order: str) -> Array:
        if not math.prod(shape):
            return np.empty(shape, self.dtype)
        with told_plainly(self.path):
            return np.asarray(np.memmap(self.path, self.dtype, "r", offset, shape, order))      # type: ignore[call-overload]


@dataclass(frozen=True)
class Packed:
    """A compressed member of an .npz archive, unpacked as it is read."""

    path: Path
    member: str
    offset: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    def parts(self, size: int, step: int = 1) -> Iterator[Array]:
        width = self.dtype.itemsize * math.prod(self.shape[1:])
        with told_plainly(self.path), zipfile.ZipFile(self.path) as archive, archive.open(self.member) as stream:
            skip(stream, self.offset)
            for start in range(0, self.shape[0], size * step):
                picks = range(start, min(self.shape[0], start + size * step), step)
                part = np.empty((len(picks), *self.shape[1:]), self.dtype)
                for row, index in enumerate(picks):
                    fill(stream, part[row:row + 1])
                    skip(stream, width * min(step - 1, self.shape[0] - 1 - index))
                yield part
            skip(stream, 1)     # the end, where the archive's checksum is compared

    def between(self, first: int, end: int) -> "Packed":
        """What lies before `first` is unpacked and passed over."""
        start = self.offset + first * self.dtype.itemsize * math.prod(self.shape[1:])
        return replace(self, offset=start, shape=(end - first, *self.shape[1:]))


def fill(stream: IO[bytes], part: Array) -> None:
    target = memoryview(part.reshape(-1).view(np.uint8).data)
    while len(target):
        got = stream.read(min(len(target), 2**20))
        if not got:
            raise EOFError("it ends early")
        target[:len(got)] = got
        target = target[len(got):]


def skip(stream: IO[bytes], count: int) -> None:
    while count > 0 and (got := stream.read(min(count, 2**20))):
        count -= len(got)


@contextmanager
def told_plainly(path: Path) -> Iterator[None]:
    """Within the block, what the libraries raise on damaged files becomes one DataError naming the file."""
    try:
        yield
    except FileNotFoundError:
        raise DataError(f"There is no file '{path}'.") from None
    except ILL as error:
        said = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"'{path}' is damaged or cannot be read: {said.rstrip('.')}.") from error


def open_npy(path: Path) -> Mapped:
    """The array of an .npy file. Raises DataError."""
    with told_plainly(path), path.open("rb") as file:
        shape, by_columns, dtype = read_header(file)
        found = Mapped(path, file.tell(), shape, dtype, by_columns)
    check_size(found, os.path.getsize(path) - found.offset, f"'{path}'")
    return found


def open_npz(path: Path) -> Mapping[str, Lazy]:
    """The arrays of an .npz archive by name. Raises DataError."""
    with told_plainly(path), zipfile.ZipFile(path) as archive, path.open("rb") as file:
        members = [info for info in archive.infolist() if info.filename.endswith(".npy")]
        found = {info.filename.removesuffix(".npy"): open_member(path, archive, info, file) for info in members}
        if len(found) < len(members):
            raise DataError(f"'{path}' has two arrays of one name; save it again.")
    if not found:
        raise DataError(f"'{path}' holds no arrays; save them with np.savez.")
    return found


def open_member(path: Path, archive: zipfile.ZipFile, info: zipfile.ZipInfo, file: IO[bytes]) -> Lazy:
    called = f"Array {info.filename.removesuffix('.npy')!r} of '{path}'"
    if not info.filename.isprintable():
        raise DataError(f"{called} has an unprintable name; the file is damaged.")
    if info.file_size > DENSEST * info.compress_size + 1000:
        raise DataError(f"{called} claims {info.file_size} bytes packed into {info.compress_size}, which is impossible.")
    with archive.open(info) as stream:
        shape, by_columns, dtype = read_header(stream)
        offset = stream.tell()
    found: Lazy
    if info.compress_type == zipfile.ZIP_STORED:
        file.seek(info.header_offset + 26)      # in the local header: lengths of name and extra field, at the end of its 30 bytes
        start = info.header_offset + 30 + sum(struct.unpack("<HH", file.read(4)))
        found = Mapped(path, start + offset, shape, dtype, by_columns)
        check_size(found, min(info.file_size - offset, os.path.getsize(path) - found.offset), called)
    else:
        found = Packed(path, info.filename, offset, shape, dtype)
        check_size(found, info.file_size - offset, called)
        if by_columns and len(shape) > 1:
            raise DataError(f"{called} is compressed column by column and cannot be read by samples; save np.ascontiguousarray of it.")
    return found


def read_header(stream: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, whether columns come first, and type, out of the header of an .npy. Nothing is unpickled."""
    version = np.lib.format.read_magic(stream)
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"version {version} of the .npy format is not known here")
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, by_columns, dtype = read(stream)
    if dtype.hasobject or dtype.names or dtype.subdtype:
        raise ValueError(f"it holds {dtype}, not plain numbers, and nothing is unpickled")
    return shape, by_columns, dtype


def check_size(array: Lazy, there: int, called: str) -> None:
    """The header's shape agrees with the bytes that are there. Raises DataError."""
    if not array.shape or min(array.shape) < 0:
        raise DataError(f"{called} has the shape {list(array.shape)}; it needs a first axis, of samples.")
    needed = array.dtype.itemsize * math.prod(array.shape)
    if needed != there:
        raise DataError(f"{called} of shape {list(array.shape)} needs {needed} bytes and has {there}; the file is damaged.")
    if needed // max(array.shape[0], 1) > LARGEST_SAMPLE:
        raise DataError(f"{called} has samples of {needed // array.shape[0]} bytes each; the most is {LARGEST_SAMPLE}.")
