"""Where a format lies on the real line: real = scale * (code - zero_point). The equation is written here only."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import Any

import numpy as np

from bitsmith.errors import PlanError, RecipeError
from bitsmith.numerics.formats import Array, Format, Integer, parse_format

SMALLEST_SCALE = float(np.finfo(np.float32).tiny)      # below it a scale loses bits, and processors flush it to zero
LARGEST_SCALE = float(np.finfo(np.float32).max)
PART = 2**18            # numbers that are encoded in one go
READABLE = 4096         # scales that are written as text


def are_powers_of_two(scale: Array) -> bool:
    """Is every scale one?"""
    return bool((np.frexp(scale)[0] == 0.5).all())


@dataclass(frozen=True)
class Blocks:
    """How a tensor is cut into pieces with one scale each: along every axis named in `sizes`, blocks of that many elements.

    Blocks.whole()           one scale for the tensor
    Blocks.channels(0)       one for each index of axis 0
    Blocks({0: 4})           one for every group of four channels
    Blocks({0: 1, 1: 32})    32 inputs of one output channel each (ONNX's blocked quantization)
    """

    sizes: Mapping[int, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if any(axis < 0 or size < 1 for axis, size in self.sizes.items()):
            raise PlanError(f"Blocks need axes from 0 and sizes from 1, not {dict(self.sizes)}.")
        object.__setattr__(self, "sizes", MappingProxyType(dict(sorted(self.sizes.items()))))

    def __hash__(self) -> int:
        return hash(tuple(self.sizes.items()))

    def __reduce__(self) -> tuple[type["Blocks"], tuple[dict[int, int]]]:
        return Blocks, (dict(self.sizes),)

    @classmethod
    def whole(cls) -> "Blocks":
        return cls()

    @classmethod
    def channels(cls, axis: int) -> "Blocks":
        return cls({axis: 1})

    @property
    def channel_axis(self) -> int | None:
        """The axis, where blocks are single channels of it; else None."""
        return next(iter(self.sizes)) if list(self.sizes.values()) == [1] else None

    def shape(self, tensor_shape: tuple[int, ...]) -> tuple[int, ...]:
        """Shape of the scales of a tensor: the number of blocks along each axis; () for the whole."""
        if not self.sizes:
            return ()
        if max(self.sizes) >= len(tensor_shape):
            raise PlanError(f"Blocks along axis {max(self.sizes)} do not fit a tensor of shape {tensor_shape}.")
        return tuple(-(-d // self.sizes[a]) if a in self.sizes else 1 for a, d in enumerate(tensor_shape))

    def spread(self, per_block: Array, tensor_shape: tuple[int, ...]) -> Array:
        """One value per block -> an array that broadcasts against the tensor."""
        for axis, size in self.sizes.items():
            if size > 1:
                per_block = np.repeat(per_block, size, axis)
                per_block = per_block[(slice(None),) * axis + (slice(tensor_shape[axis]),)]
        return per_block

    def reduce(self, ufunc: np.ufunc, tensor: Array) -> Array:
        """`ufunc` reduced over every block; the shape is `self.shape(tensor.shape)`."""
        whole_axes = tuple(a for a in range(tensor.ndim) if a not in self.sizes)
        out = ufunc.reduce(tensor, axis=whole_axes, keepdims=bool(self.sizes))
        for axis, size in self.sizes.items():
            out = ufunc.reduceat(out, range(0, tensor.shape[axis], size), axis) if size > 1 else out
        return np.asarray(out)


@dataclass(frozen=True, eq=False)
class Encoding:
    """A format placed on one tensor: real = scale * (code - zero_point).

    scale       float32, positive, shape `blocks.shape(tensor.shape)`
    zero_point  the code of 0.0, int32, same shape
    """

    format: Format
    scale: Array
    zero_point: Array
    blocks: Blocks = Blocks()

    def __post_init__(self) -> None:
        scale = np.asarray(self.scale, np.float32)
        object.__setattr__(self, "scale", scale)
        object.__setattr__(self, "zero_point", np.broadcast_to(np.asarray(self.zero_point, np.int32), scale.shape))
        if not (np.isfinite(scale).all() and (scale > 0).all()):
            raise PlanError(f"A scale must be positive and finite, not {scale.ravel()[:4]}.")
        if self.zero_point.any() and not isinstance(self.format, Integer):
            raise PlanError(f"{self.format.name} has no zero points other than 0.")
        if scale.ndim <= max(self.blocks.sizes, default=-1) or (scale.ndim and not self.blocks.sizes):
            raise PlanError(f"Scales of shape {scale.shape} do not fit blocks {dict(self.blocks.sizes)}.")

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Encoding)
            and self.format == other.format
            and self.blocks == other.blocks
            and np.array_equal(self.scale, other.scale)
            and np.array_equal(self.zero_point, other.zero_point)
        )

    __hash__ = None  # type: ignore[assignment]

    def quantize(self, real: Array) -> Array:
        """Real values -> codes, rounded and saturated as the format says; float32 arithmetic as ONNX QuantizeLinear."""
        scale, zero_point = self._spread(real.shape)
        if real.size <= PART:
            return self._encode(real, scale, zero_point)
        rows = max(1, PART * len(real) // real.size)            # part by part: what is in between stays in the cache
        parts = [slice(start, start + rows) for start in range(0, len(real), rows)]
        return np.concatenate([self._encode(real[p], part_of(scale, p), part_of(zero_point, p)) for p in parts])

    def _encode(self, real: Array, scale: Array, zero_point: Array) -> Array:
        precision = np.float32 if self.format.bits <= 16 else np.float64       # an int32 bias has more digits than float32
        with np.errstate(over="ignore"):
            steps = np.asarray(real, precision) / scale
        return self.format.encode(steps, zero_point)

    def dequantize(self, codes: Array) -> Array:
        """Codes -> float32 real values."""
        scale, zero_point = self._spread(codes.shape)
        steps = self.format.decode(codes)
        if self.format.integral:
            steps = (steps.astype(np.int32) - zero_point).astype(np.float32)
        return np.asarray(steps * scale, np.float32)

    def simulate(self, real: Array) -> Array:
        """What is left of real values after one trip through the codes."""
        return self.dequantize(self.quantize(real))

    @cached_property
    def lowest(self) -> Array:
        """The lowest real value of each block, float32."""
        return np.asarray(self.scale * (np.float64(self.format.lowest) - self.zero_point).astype(np.float32))

    @cached_property
    def highest(self) -> Array:
        """The highest real value of each block, float32."""
        return np.asarray(self.scale * (np.float64(self.format.highest) - self.zero_point).astype(np.float32))

    def _spread(self, shape: tuple[int, ...]) -> tuple[Array, Array]:
        if self.blocks.sizes and self.blocks.shape(shape) != self.scale.shape:
            raise PlanError(f"An encoding with scales of shape {self.scale.shape} does not fit a tensor of shape {shape}.")
        return self.blocks.spread(self.scale, shape), self.blocks.spread(self.zero_point, shape)


def part_of(per_block: Array, rows: slice) -> Array:
    """The part of what broadcasts against a tensor that belongs to some of the tensor's rows."""
    return per_block[rows] if per_block.ndim and len(per_block) > 1 else per_block


def spanning(low: Array | float, high: Array | float, format: Format, *, symmetric: bool = False,
             power_of_two: bool = False, blocks: Blocks = Blocks()) -> Encoding:
    """The encoding whose codes reach from `low` to `high` (of each block) and that has a code for 0.0.

    Scale and zero point are as the format says; `symmetric` speaks to integers only.
    `power_of_two` rounds the scale up to the next power of two, so that nothing more is clipped.
    """
    low = np.minimum(np.asarray(low, np.float64), 0.0)
    high = np.maximum(np.asarray(high, np.float64), 0.0)
    scale = format.scale_for(low, high, symmetric=symmetric)
    scale = np.where(scale > 0, scale, 1.0)
    if power_of_two:
        scale = np.exp2(np.ceil(np.log2(scale)))
    scale = np.clip(scale, SMALLEST_SCALE, LARGEST_SCALE).astype(np.float32).astype(np.float64)
    zero_point = format.zero_for(low, scale, symmetric=symmetric)
    return Encoding(format, scale.astype(np.float32), zero_point.astype(np.int32), blocks)


def to_dict(encoding: Encoding) -> dict[str, Any]:
    """As plain data; floats are written so that they come back exactly."""
    return {
        "format": encoding.format.name,
        "scale": plain(encoding.scale.astype(np.float64), "<f4"),
        "zero_point": plain(encoding.zero_point, "<i4") if encoding.zero_point.any() else 0,
        **({"blocks": {str(a): s for a, s in encoding.blocks.sizes.items()}} if encoding.blocks.sizes else {}),
    }


def plain(numbers: Array, kind: str) -> Any:
    """Numbers as nested lists; very many, which nobody reads, as the base64 of their bytes: a sixth of the text and of the time."""
    if numbers.size <= READABLE:
        return numbers.tolist()
    return {kind: base64.b64encode(numbers.astype(kind).tobytes()).decode(), "shape": list(numbers.shape)}


def from_plain(said: Any, kind: str) -> Array:
    """The inverse of `plain`."""
    if not isinstance(said, Mapping):
        return np.asarray(said)
    return np.frombuffer(base64.b64decode(said[kind], validate=True), kind).reshape(said["shape"])


def from_dict(data: Mapping[str, Any]) -> Encoding:
    """The inverse of `to_dict`. Raises PlanError for anything that `to_dict` would not write."""
    try:
        blocks = Blocks({int(axis): int(size) for axis, size in data.get("blocks", {}).items()})
        scale, zero_point = from_plain(data["scale"], "<f4").astype(np.float32), from_plain(data["zero_point"], "<i4")
        format = parse_format(data["format"])
        if not np.issubdtype(zero_point.dtype, np.integer) or zero_point.min() < format.lowest or zero_point.max() > format.highest:
            raise PlanError(f"A zero point must be a code of {format.name}.")
        return Encoding(format, scale, zero_point, blocks)
    except (RecipeError, KeyError, TypeError, ValueError, AttributeError, OverflowError) as problem:
        raise PlanError(f"This is not an encoding: {str(data)[:120]} ({problem}).") from problem
