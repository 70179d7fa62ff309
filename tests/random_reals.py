"""Random programs of float32 numbers: every instruction, odd shapes, weights as floats and as codes. The same seed, the same program."""

from collections.abc import Callable
from math import inf, prod

import numpy as np
from compiled_c import Array, Case

from bitsmith.integer.instructions import ArgMax, Concatenate, Constant, Reshape, Take, Transpose
from bitsmith.integer.program import Program
from bitsmith.integer.windows import Window, dilated_sizes
from bitsmith.numerics import Encoding, Integer
from bitsmith.numerics.float32 import REAL
from bitsmith.real.instructions import (
    CURVES,
    FROM_LIBRARY,
    PAIRS,
    Limits,
    RealAveragePool,
    RealCast,
    RealClamp,
    RealConvolve,
    RealCurve,
    RealMaxPool,
    RealMean,
    RealMultiply,
    RealMultiplyPair,
    RealNormalize,
    RealPair,
    RealSoftmax,
    Weights,
)
from bitsmith.targets.c.firmware import Choices

RAW = (Integer(8, signed=False), Integer(8), Integer(16, signed=False), Integer(16), None)
EXACT = sorted(CURVES.keys() - FROM_LIBRARY)


class RealMaker:
    """A program that grows instruction by instruction; `shapes` are those of its values, without the batch."""

    def __init__(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        self.instructions: list[object] = []
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.inputs: dict[str, Encoding | None] = {}
        self.places: list[str] = []

    def pick(self, *choices: object) -> object:
        return choices[int(self.random.integers(len(choices)))]

    def integer(self, low: int, high: int) -> int:
        return int(self.random.integers(low, high + 1))

    def reals(self, *shape: int) -> Array:
        """Of many magnitudes, some of them 0."""
        found = self.random.normal(0, 1, shape) * 10.0 ** self.random.integers(-3, 3, shape)
        return np.where(self.random.integers(0, 6, shape) == 0, 0, found).astype(np.float32)

    def input(self, *shape: int, encoding: Encoding | None = REAL) -> str:
        name = f"in{len(self.inputs)}"
        self.inputs[name], self.shapes[name] = encoding, shape
        return name

    @property
    def made(self) -> list[str]:
        """The values that are real numbers."""
        return [name for name in self.shapes if name not in self.places and self.inputs.get(name, REAL) == REAL]

    def numbers(self, samples: int, name: str) -> Array:
        """For an input: of real numbers, or any integers of its kind, and of token ids as large as floats cannot hold."""
        encoding, shape = self.inputs[name], (samples, *self.shapes[name])
        if encoding == REAL:
            return self.reals(*shape)
        low, high = (-2**31, 2**31 - 1) if encoding is None else (int(encoding.lowest), int(encoding.highest))
        return self.random.integers(low, high, shape, endpoint=True).astype(np.int64 if encoding is None else encoding.format.storage)

    def name(self) -> str:
        return f"v{len(self.instructions)}"

    def add(self, made: object, shape: tuple[int, ...]) -> str:
        self.instructions.append(made)
        self.shapes[made.output] = shape  # type: ignore[attr-defined]
        return made.output  # type: ignore[attr-defined, no-any-return]

    def limits(self) -> Limits:
        return self.pick(Limits(), Limits(0.0, inf), Limits(-0.5, 6.0))  # type: ignore[return-value]

    def weights(self, outputs: int, *shape: int) -> Weights:
        """Numbers, or codes of 8 or 4 bits with a scale for each output."""
        bias = self.reals(outputs)
        kind = self.pick("float", "int8", "int4")
        if kind == "float":
            return Weights(self.reals(outputs, *shape), None, bias)
        reach = 128 if kind == "int8" else 8
        steps = self.random.integers(-reach, reach, (outputs, *shape)).astype(np.int32)
        return Weights(steps, self.random.uniform(0.001, 0.1, outputs).astype(np.float32), bias)

    def window(self, spatial: tuple[int, ...], *, crop: int = 1) -> Window:
        space = len(spatial)
        for _ in range(50):
            numbers = [[self.integer(low, high) for _ in range(space)] for low, high in ((-crop, 2), (-crop, 2), (1, 3), (1, 3), (1, 2))]
            before, after, kernel, strides, dilations = numbers
            window = Window.of(kernel, strides=strides, dilations=dilations, pads=list(zip(before, after, strict=True)))
            free = [s + b + a - e for s, b, a, e in zip(spatial, before, after, window.extents, strict=True)]
            if min(free) >= 0:
                return window
        return Window.of((1,) * space)

    def convolve(self, name: str) -> str:
        """Regular, grouped, depthwise, single pixels, transposed."""
        channels, *spatial = self.shapes[name]
        groups = int(self.pick(1, 1, channels, *(g for g in (2, 3) if channels % g == 0)))  # type: ignore[call-overload]
        outer = int(self.pick(1, 1, 2, 5)) if groups == channels else self.integer(1, 9)  # type: ignore[call-overload]
        spread = tuple(self.integer(1, 2) for _ in spatial) if self.integer(0, 2) == 0 else (1,) * len(spatial)
        wide = dilated_sizes(tuple(spatial), spread)
        window = self.window(wide) if self.integer(0, 3) else Window.of((1,) * len(spatial))
        weights = self.weights(groups * outer, channels // groups, *window.kernel)
        made = RealConvolve((name,), self.name(), weights, window, groups, spread, self.limits())
        return self.add(made, (groups * outer, *window.output_sizes(wide)))

    def max_pool(self, name: str) -> str:
        channels, *spatial = self.shapes[name]
        window = self.window(tuple(spatial))
        return self.add(RealMaxPool((name,), self.name(), window), (channels, *window.output_sizes(tuple(spatial))))

    def average_pool(self, name: str) -> str:
        channels, *spatial = self.shapes[name]
        window = self.window(tuple(spatial), crop=0)
        padded = bool((window.counts(tuple(spatial), include_pad=False) == 0).any()) or self.pick(True, False) is True
        made = RealAveragePool((name,), self.name(), window, padded)
        return self.add(made, (channels, *window.output_sizes(tuple(spatial))))

    def mean(self, name: str) -> str:
        shape = self.shapes[name]
        axes = tuple(sorted(int(a) + 1 for a in self.random.choice(len(shape), self.integer(1, len(shape)), replace=False)))
        keep = self.pick(True, False) is True
        found = tuple(1 if axis in axes else length for axis, length in enumerate(shape, 1) if keep or axis not in axes)
        return self.add(RealMean((name,), self.name(), axes, keep), found)

    def pair(self, name: str) -> str:
        """With a value of the same shape, or with a constant that broadcasts."""
        shape = self.shapes[name]
        alike = [n for n in self.made if self.shapes[n] == shape]
        other = str(self.pick(*alike)) if self.integer(0, 1) else self.constant(tuple(int(self.pick(n, n, 1)) for n in shape))  # type: ignore[call-overload]
        names = (name, other) if self.integer(0, 1) else (other, name)
        made = RealPair(names, self.name(), str(self.pick(*PAIRS)), self.limits())
        return self.add(made, tuple(np.broadcast_shapes(*(self.shapes[n] for n in names))))

    def constant(self, shape: tuple[int, ...]) -> str:
        return self.add(Constant(self.name(), self.reals(1, *shape)), shape)

    def curve(self, name: str) -> str:
        numbers = (float(np.float32(self.random.uniform(0, 1))), 0.5)
        return self.add(RealCurve((name,), self.name(), str(self.pick(*EXACT)), numbers), self.shapes[name])

    def cast(self, name: str) -> str:
        """Of an own input of integers, by as much as the value in hand, to go on with."""
        form = self.pick(*RAW)
        encoding = None if form is None else Encoding(form, np.ones((), np.float32), np.zeros((), np.int32))  # type: ignore[arg-type]
        raw = self.input(*self.shapes[name], encoding=encoding)
        made = self.add(RealCast((raw,), self.name()), self.shapes[raw])
        return self.add(RealPair((made, name), self.name(), "multiply"), self.shapes[made])

    def arg_max(self, name: str) -> str:
        """Of numbers of which many are clamped to the same; nothing reads places further."""
        shape, axis, keep = self.shapes[name], self.integer(1, len(self.shapes[name])), self.pick(True, False) is True
        clamped = self.add(RealClamp((name,), self.name(), Limits(-0.5, 0.5)), shape)
        made = ArgMax((clamped,), self.name(), axis, keep, self.pick(True, False) is True)
        self.places.append(made.output)
        return self.add(made, (*shape[:axis - 1], *(1,) * keep, *shape[axis:]))

    def clamp(self, name: str) -> str:
        return self.add(RealClamp((name,), self.name(), self.limits()), self.shapes[name])

    def softmax(self, name: str) -> str:
        return self.add(RealSoftmax((name,), self.name(), self.integer(1, len(self.shapes[name]))), self.shapes[name])

    def normalize(self, name: str) -> str:
        shape = self.shapes[name]
        rows = shape[len(shape) - self.integer(1, len(shape)):]
        epsilon = float(np.float32(self.pick(1e-5, 1e-12, 1.0)))
        made = RealNormalize((name,), self.name(), self.reals(*rows), self.reals(*rows), epsilon, self.pick(True, False) is True)
        return self.add(made, shape)

    def multiply(self, name: str) -> str:
        shape, outputs = self.shapes[name], self.integer(1, 9)
        return self.add(RealMultiply((name,), self.name(), self.weights(outputs, shape[-1]), self.limits()), (*shape[:-1], outputs))

    def multiply_pair(self, name: str) -> str:
        """A value times its own transpose."""
        shape = self.shapes[name]
        if len(shape) < 2:
            return name
        order = (*range(len(shape) - 1), len(shape), len(shape) - 1)
        turned = self.add(Transpose((name,), self.name(), order), (*shape[:-2], shape[-1], shape[-2]))
        return self.add(RealMultiplyPair((name, turned), self.name(), self.limits()), (*shape[:-1], shape[-2]))

    def move(self, name: str) -> str:
        """Transpose, reshape, pad, join."""
        shape = self.shapes[name]
        kind = self.pick("transpose", "reshape", "take", "join")
        if kind == "transpose":
            order = [int(a) for a in self.random.permutation(len(shape))]
            return self.add(Transpose((name,), self.name(), (0, *(a + 1 for a in order))), tuple(shape[a] for a in order))
        if kind == "reshape":
            return self.add(Reshape((name,), self.name(), (prod(shape[:-1]), shape[-1])), (prod(shape[:-1]), shape[-1]))
        axis = self.integer(1, len(shape))
        length = shape[axis - 1]
        if kind == "take":
            padded = np.pad(np.arange(length)[self.integer(0, length - 1):], self.integer(0, 2), constant_values=-1)
            return self.add(Take((name,), self.name(), {axis: padded}), (*shape[:axis - 1], len(padded), *shape[axis:]))
        return self.add(Concatenate((name, name), self.name(), axis), (*shape[:axis - 1], 2 * length, *shape[axis:]))

    def case(self, outputs: tuple[str, ...], samples: int = 2) -> Case:
        given = {name: self.numbers(samples, name) for name in self.inputs}
        encodings = {**dict.fromkeys(self.made, REAL), **{n: e for n, e in self.inputs.items() if e is not None}}
        program = Program(tuple(self.instructions), self.inputs, outputs, encodings)  # type: ignore[arg-type]
        return Case(program, given, Choices(compute="float", channels_last=self.pick(True, False) is True))


PLANES: tuple[Callable[[RealMaker, str], str], ...] = (RealMaker.convolve, RealMaker.convolve, RealMaker.max_pool, RealMaker.average_pool)
ANYWHERE: tuple[Callable[[RealMaker, str], str], ...] = (
    RealMaker.mean, RealMaker.pair, RealMaker.curve, RealMaker.clamp, RealMaker.multiply, RealMaker.multiply_pair, RealMaker.move,
    RealMaker.cast, RealMaker.normalize,
)
LARGEST = 3000      # elements of a value that is worked on further


def random_real_case(seed: int, *, steps: int = 6) -> Case:
    """A chain of instructions with branches; its last value and now and then another one come out."""
    maker = RealMaker(seed)
    current = maker.input(maker.integer(1, 6), *(maker.integer(1, 8) for _ in range(maker.integer(1, 2))))
    for _ in range(steps):
        current = str(maker.pick(*maker.made)) if maker.integer(0, 3) == 0 else current
        shape = maker.shapes[current]
        kinds = (*PLANES, *ANYWHERE) if len(shape) in (2, 3) else ANYWHERE
        found = maker.pick(*kinds)(maker, current) if shape and prod(shape) else current  # type: ignore[operator]
        current = found if prod(maker.shapes[found]) <= LARGEST else current
    others = [n for n in maker.shapes if n not in maker.inputs]
    extra = (str(maker.pick(*others)),) if others and maker.integer(0, 2) == 0 else ()
    return maker.case(tuple(dict.fromkeys((current, *extra))))
