"""What a network's inputs want, and whether arrays are that: names, shapes, types, numbers."""

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir

from bitsmith.errors import DataError
from bitsmith.numerics.formats import Array

LABELS = "y"
CALLED = (LABELS, "labels")     # what an array of labels may be called, where no input is: the first of these counts


@dataclass(frozen=True)
class Wanted:
    """One input: its type, and the size of each axis behind the first, which is samples; None where any will do."""

    name: str
    dtype: np.dtype[Any]
    sizes: tuple[int | None, ...]

    @property
    def whole(self) -> bool:
        """Eats integers. (numpy calls some floats, such as bfloat16, 'void'.)"""
        return self.dtype.kind in "biu"

    def say(self) -> str:
        return "[" + ", ".join(["samples", *("any" if size is None else str(size) for size in self.sizes)]) + "]"

    def takes(self, sizes: Sequence[int]) -> bool:
        return len(sizes) == len(self.sizes) and all(want in (None, size) for want, size in zip(self.sizes, sizes, strict=True))

    def check_shape(self, shape: Sequence[int], called: str) -> None:
        """Raises DataError where arrays of this shape, axis 0 being samples, do not fit."""
        if shape and self.takes(shape[1:]):
            return
        raise DataError(f"{called} has the shape {list(shape)} and the input '{self.name}' needs {self.say()}{self.hint(shape)}.")

    def hint(self, shape: Sequence[int]) -> str:
        if self.takes(shape):
            return "; a single sample needs an axis in front: array[None]"
        if len(shape) == 4 and self.takes([shape[3], shape[1], shape[2]]):
            return "; its channels stand last: array.transpose(0, 3, 1, 2)"
        if len(shape) == 4 and self.takes([shape[2], shape[3], shape[1]]):
            return "; its channels stand first: array.transpose(0, 2, 3, 1)"
        return ""

    def check_type(self, dtype: np.dtype[Any], called: str) -> None:
        """Raises DataError for numbers that this input cannot mean: fractions as token ids, text, Python objects."""
        if dtype.kind not in "biuf" or (dtype.kind == "f" and self.whole):
            remedy = "; they must be whole numbers" if dtype.kind == "f" else ""
            raise DataError(f"{called} is of type {dtype} and the input '{self.name}' takes {self.dtype}{remedy}.")

    def fit(self, array: Array, called: str, first: int = 0, step: int = 1) -> Array:
        """The array in the input's type and in C order, without a copy where it is so already.

        first, step   number of the first sample and distance to the next, for messages
        Raises DataError naming the array, and the first sample that holds NaN, infinity or what the type cannot hold.
        """
        self.check_shape(array.shape, called)
        self.check_type(array.dtype, called)
        with np.errstate(over="ignore", invalid="ignore"):
            fitted = np.require(array, self.dtype, ["C", "A"])
        bad = self.find_bad(array, fitted)
        if bad is not None:
            sample = first + step * int(bad[0])
            what = f"{array[tuple(bad)]}" + ("" if np.isfinite(array[tuple(bad)]) else " (data must be finite)")
            raise DataError(f"{called} holds {what} in sample {sample}, which the input '{self.name}' ({self.dtype}) cannot take.")
        return fitted

    def find_bad(self, array: Array, fitted: Array) -> Array | None:
        """The position of the first number that is not finite, or was finite or another integer before the cast."""
        if not self.whole:
            sound = np.isfinite(fitted)
        elif np.can_cast(array.dtype, fitted.dtype):
            return None
        else:
            sound = (fitted == array) & ((fitted < 0) == (array < 0))
        return None if sound.all() else np.array(np.unravel_index(int(np.argmin(sound)), sound.shape))


def wanted_by(network: ir.Model | Iterable[ir.Value]) -> tuple[Wanted, ...]:
    """The inputs of a network in normal form. Raises DataError for one that is no array of numbers with a first axis for samples."""
    return tuple(wanted(value) for value in (network.graph.inputs if isinstance(network, ir.Model) else network))


def wanted(value: ir.Value) -> Wanted:
    if value.dtype is None or value.dtype == ir.DataType.STRING or value.shape is None or not value.shape.rank():
        raise DataError(f"The input '{value.name}' is no array of numbers with a first axis for samples; data cannot be fed to it.")
    sizes = tuple(size if isinstance(size, int) else None for size in value.shape)
    return Wanted(value.name or "", np.dtype(value.dtype.numpy()), sizes[1:])


def choose(there: Iterable[str], inputs: Sequence[Wanted], where: str) -> Mapping[str, str]:
    """Which array is for which input: the one of its name; for a single input also 'x', or the only one. Raises DataError."""
    names = [name for name in there if name not in CALLED or any(want.name == name for want in inputs)]
    if all(want.name in names for want in inputs):
        return {want.name: want.name for want in inputs}
    if len(inputs) == 1 and ("x" in names or len(names) == 1):
        return {inputs[0].name: "x" if "x" in names else names[0]}
    found = ", ".join(f"'{name}'" for name in names) or "none"
    needed = ", ".join(f"'{want.name}'" for want in inputs)
    raise DataError(f"{where} has the arrays {found} and the network needs {needed}{' (or x)' if len(inputs) == 1 else ''}; rename them.")


def name_of_labels(there: Container[str], chosen: Mapping[str, str]) -> str | None:
    """Which array holds the labels, beside those that `choose` chose; None where there are none."""
    return next((name for name in CALLED if name in there and name not in chosen.values()), None)


def check_lengths(lengths: Mapping[str, int], where: str) -> int:
    """The common number of samples. Raises DataError where arrays differ, or hold none."""
    if len(set(lengths.values())) > 1:
        each = ", ".join(f"'{name}' {length}" for name, length in lengths.items())
        raise DataError(f"{where} has different numbers of samples: {each}; they must be equal.")
    count = next(iter(lengths.values()))
    if not count:
        raise DataError(f"{where} is empty: {', '.join(repr(name) for name in lengths)} has no sample.")
    return count
