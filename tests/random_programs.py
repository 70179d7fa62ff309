"""Random integer programs: every instruction, odd shapes, extreme codes. The same seed gives the same program."""

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np
from compiled_c import Array, Case

from bitsmith.errors import LoweringError
from bitsmith.integer.blending import LONG, SHORT, Neighbours
from bitsmith.integer.bounds import multiplied
from bitsmith.integer.codes import CodeRange
from bitsmith.integer.instructions import (
    FIXED_POINT,
    SHIFT,
    AddRescaled,
    ArgMax,
    AveragePool,
    Blend,
    Clamp,
    Concatenate,
    Constant,
    Convolve,
    Gather,
    Instruction,
    Interpolate,
    LookUp,
    MatrixMultiply,
    MaxPool,
    Mean,
    MultiplyRescaled,
    Rescale,
    Reshape,
    Softmax,
    Take,
    Transpose,
)
from bitsmith.integer.normalization import normalization_of
from bitsmith.integer.program import Program
from bitsmith.integer.requantization import Requantize
from bitsmith.integer.windows import Window, dilated_sizes
from bitsmith.numerics import Encoding, Format, Integer, Signs
from bitsmith.numerics.signs import BINARY, TERNARY
from bitsmith.targets.c.firmware import Choices

FORMATS = (Integer(8, signed=False), Integer(8, signed=False), Integer(8), Integer(16))
NARROW = FORMATS[:3]
WEIGHTS = (Integer(8), Integer(8), Integer(8), Integer(4), Integer(3), Integer(2), TERNARY, BINARY)


class Maker:
    """A program that grows instruction by instruction.

    values  what there is to read: shape without the batch, and encoding
    """

    def __init__(self, seed: int, *, formats: tuple[Format, ...] = FORMATS, weights: tuple[Format, ...] = WEIGHTS,
                 powers: bool = False) -> None:
        self.random = np.random.default_rng(seed)
        self.formats, self.weight_formats, self.powers = formats, weights, powers
        self.arithmetic = SHIFT if powers else FIXED_POINT
        self.instructions: list[Instruction] = []
        self.values: dict[str, tuple[tuple[int, ...], Encoding]] = {}
        self.inputs: dict[str, Encoding | None] = {}

    def pick(self, *choices: Any) -> Any:
        return choices[int(self.random.integers(len(choices)))]

    def integer(self, low: int, high: int) -> int:
        return int(self.random.integers(low, high + 1))

    def encoding(self) -> Encoding:
        form = self.pick(*self.formats)
        scale = 2.0 ** self.integer(-6, 0) if self.powers else float(np.float32(self.random.uniform(0.01, 1)))
        if isinstance(form, Signs):
            return Encoding(form, np.float32(scale), np.int32(0))
        return Encoding(form, np.float32(scale), np.int32(self.pick(form.lowest, form.highest, self.integer(form.lowest, form.highest))))

    def input(self, *shape: int) -> str:
        name = f"in{len(self.inputs)}"
        self.inputs[name] = self.encoding()
        self.values[name] = (shape, self.inputs[name])  # type: ignore[assignment]
        return name

    def add(self, instruction: Instruction, shape: tuple[int, ...], encoding: Encoding) -> str:
        self.instructions.append(instruction)
        self.values[instruction.output] = (shape, encoding)
        return instruction.output

    def name(self) -> str:
        return f"v{len(self.instructions)}"

    def rounding(self, reach: int, encoding: Encoding, channels: int = 0, *, product: bool = False, bits: int = 32) -> Requantize:
        """Codes spread over their range, and some beyond it; bits: of the accumulators."""
        codes = CodeRange.of(encoding)
        spread = self.random.uniform(0.5, 4, (channels,) if channels and self.pick(True, False) else ())
        real = spread * len(codes) / max(1, reach)
        of = self.arithmetic.product if product else self.arithmetic.requantize.of
        return of(np.exp2(np.rint(np.log2(real))) if self.powers else real, self.narrowed(codes), bits)

    def narrowed(self, codes: CodeRange) -> CodeRange:
        """As clamps do, now and then."""
        if self.pick(True, True, False):
            return codes
        low = self.integer(codes.low, codes.high)
        return CodeRange(codes.zero_point, low, self.integer(low, codes.high), codes.storage)

    def weights(self, *shape: int) -> tuple[Array, Array]:
        """Half of them at the ends; with a zero point now and then."""
        form = self.pick(*self.weight_formats)
        if form == BINARY:
            return self.random.choice([-1, 1], shape).astype(form.storage), np.zeros((), np.int32)
        ends = self.random.choice([form.lowest, form.highest, 0], shape)
        codes = np.where(self.random.integers(0, 2, shape) == 0, ends, self.random.integers(form.lowest, form.highest + 1, shape))
        zero = np.int32(self.integer(-3, 3)) if self.pick(True, False, False) else np.int32(0)
        return codes.astype(form.storage), np.asarray(zero)

    def bias(self, count: int) -> Array | None:
        return self.pick(None, self.random.integers(-2**12, 2**12, count).astype(np.int32))

    def sizes(self, space: int, low: int, high: int) -> tuple[int, ...]:
        return tuple(self.integer(low, high) for _ in range(space))

    def window(self, spatial: tuple[int, ...], *, crop: bool = True, dilate: bool = True, ceil: bool = False) -> Window:
        """One that fits."""
        space = len(spatial)
        for _ in range(50):
            pads = tuple(zip(self.sizes(space, -1 if crop else 0, 2), self.sizes(space, -1 if crop else 0, 2), strict=True))
            window = Window.of(self.sizes(space, 1, 3), strides=self.sizes(space, 1, 3),
                               dilations=self.sizes(space, 1, 2 if dilate else 1), pads=pads, ceil_mode=ceil and self.pick(True, False))
            try:
                window.output_sizes(spatial)
            except LoweringError:
                continue
            return window
        return Window.of((1,) * space)

    def convolve(self, name: str) -> str:
        """Regular, grouped, depthwise, single pixels, transposed."""
        (channels, *spatial), encoding = self.values[name]
        groups = self.pick(1, 1, channels, *(g for g in (2, 3) if channels % g == 0))
        outer = self.pick(1, 1, 2, 5) if groups == channels else self.integer(1, 6)
        spread = self.pick((1,) * len(spatial), (1,) * len(spatial), self.sizes(len(spatial), 1, 2))
        wide = dilated_sizes(tuple(spatial), spread)
        window = self.pick(Window.of((1,) * len(spatial)), self.window(wide), self.window(wide), self.window(wide))
        weights, zero = self.weights(groups * outer, channels // groups, *window.kernel)
        result = self.encoding()
        plain = Convolve((name,), self.name(), CodeRange.of(encoding), weights, zero, window, self.bias(len(weights)), groups, spread)
        rounding = self.rounding(plain.bounds.largest, result, len(weights))
        made = Convolve((name,), self.name(), plain.source, weights, zero, window, plain.bias, groups, spread, rounding)
        return self.add(made, (len(weights), *window.output_sizes(wide)), result)

    def max_pool(self, name: str) -> str:
        shape, encoding = self.values[name]
        window = self.window(shape[1:], ceil=True)
        return self.add(MaxPool((name,), self.name(), window), (shape[0], *window.output_sizes(shape[1:])), encoding)

    def average_pool(self, name: str) -> str:
        shape, encoding = self.values[name]
        window, result = self.window(shape[1:], crop=False, dilate=False, ceil=True), self.encoding()
        padded = not window.ceil_mode and self.pick(True, False)
        average = self.arithmetic.average.of(encoding, prod(window.kernel), result.scale, CodeRange.of(result))
        return self.add(AveragePool((name,), self.name(), window, average, padded), (shape[0], *window.output_sizes(shape[1:])), result)

    def mean(self, name: str) -> str:
        shape, encoding = self.values[name]
        axes = tuple(sorted(self.random.choice(len(shape), self.integer(1, len(shape)), replace=False) + 1))
        keep, result = self.pick(True, False), self.encoding()
        count = prod(shape[axis - 1] for axis in axes)
        rounding = self.rounding(max(1, len(CodeRange.of(encoding)) * count), result)
        found = [1 if axis in axes else length for axis, length in enumerate(shape, 1) if keep or axis not in axes]
        made = Mean((name,), self.name(), CodeRange.of(encoding), tuple(int(a) for a in axes), rounding, keep)
        return self.add(made, tuple(found), result)

    def arg_max(self, name: str) -> str:
        """Of few different codes, so that some are equal; nothing reads places further."""
        shape, encoding = self.values[name]
        low = self.integer(encoding.format.lowest, encoding.format.highest)
        clamp = Clamp((name,), self.name(), low, min(low + 2, encoding.format.highest))
        axis, keep = self.integer(1, len(shape)), self.pick(True, False)
        found = (*shape[:axis - 1], *(1,) * keep, *shape[axis:])
        made = ArgMax((self.add(clamp, shape, encoding),), self.name(), axis, keep, self.pick(True, False))
        return self.add(made, found, Encoding(Integer(8, signed=False), np.ones((), np.float32), np.zeros((), np.int32)))

    def softmax(self, name: str) -> str:
        shape, encoding = self.values[name]
        form, axis = self.pick(Integer(8, signed=False), Integer(8)), self.integer(1, len(shape))
        result = Encoding(form, np.asarray(2.0**-self.pick(4, 8), np.float32), np.asarray(form.lowest, np.int32))
        target = (result, self.narrowed(CodeRange.of(result)))
        return self.add(Softmax.of(name, self.name(), axis, encoding, target), shape, result)

    def normalize(self, name: str) -> str:
        """Over the last axes, rows of equal codes among them."""
        shape, encoding = self.values[name]
        result, rows = self.encoding(), shape[len(shape) - self.integer(1, len(shape)):]
        if prod(rows) > MOST_NORMALIZED:
            return name
        spread = float(result.scale) * len(CodeRange.of(result)) / 6
        line = self.random.normal(0, spread, rows), self.random.normal(0, spread, rows)
        epsilon = self.pick(1e-5, 1e-12, 1.0, 1e4)
        made = normalization_of(name, self.name(), encoding, (result, self.narrowed(CodeRange.of(result))), line, epsilon)
        return self.add(made, shape, result)

    def other(self, name: str) -> str:
        """An operand to go with a value: of the same shape or one that broadcasts, computed or constant."""
        shape, encoding = self.values[name]
        alike = [n for n, (s, e) in self.values.items() if s == shape and e.format in self.formats]
        if alike and self.pick(True, True, False):
            return self.pick(*alike)
        small = tuple(self.pick(length, length, 1) for length in shape)
        codes = self.random.integers(encoding.format.lowest, encoding.format.highest + 1, (1, *small)).astype(encoding.format.storage)
        return self.add(Constant(self.name(), codes), small, encoding)

    def together(self, name: str) -> tuple[tuple[str, str], tuple[int, ...], list[Encoding]]:
        pair = (name, self.other(name)) if self.pick(True, False) else (self.other(name), name)
        shape = np.broadcast_shapes(*(self.values[n][0] for n in pair))
        return pair, shape, [self.values[n][1] for n in pair]

    def sum(self, name: str) -> str:
        pair, shape, encodings = self.together(name)
        result = self.encoding()
        total = self.arithmetic.total.of(encodings, [1, self.pick(1, -1)], result.scale, self.narrowed(CodeRange.of(result)))
        return self.add(AddRescaled(pair, self.name(), tuple(map(CodeRange.of, encodings)), total), shape, result)

    def sum_of_three(self, name: str) -> str:
        shape, encoding = self.values[name]
        names = [name, *(self.pick(*(n for n, (s, e) in self.values.items() if s == shape and e.format == encoding.format)) for _ in "ab")]
        encodings, result = [self.values[n][1] for n in names], self.encoding()
        total = self.arithmetic.total.of(encodings, [1, 1, 1], result.scale, CodeRange.of(result))
        return self.add(AddRescaled(tuple(names), self.name(), tuple(map(CodeRange.of, encodings)), total), shape, result)

    def product(self, name: str) -> str:
        pair, shape, encodings = self.together(name)
        result = self.encoding()
        ranges = (CodeRange.of(encodings[0]), CodeRange.of(encodings[1]))
        bits = multiplied(1, ranges[0].steps, ranges[1].steps).width
        rounding = self.rounding(prod(len(r) for r in ranges), result, product=True, bits=bits)
        return self.add(MultiplyRescaled(pair, self.name(), ranges, rounding), shape, result)

    def rescale(self, name: str) -> str:
        shape, encoding = self.values[name]
        result = self.encoding()
        made = Rescale((name,), self.name(), CodeRange.of(encoding), self.rounding(len(CodeRange.of(encoding)), result))
        return self.add(made, shape, result)

    def look_up(self, name: str) -> str:
        shape, encoding = self.values[name]
        if encoding.format.bits > 8:
            return name
        source, result = CodeRange.of(encoding), self.encoding()
        axis = self.pick(None, self.integer(1, len(shape)))
        rows = () if axis is None else (shape[axis - 1],)
        form = result.format
        table = self.random.integers(form.lowest, form.highest + 1, (*rows, len(source))).astype(form.storage)
        return self.add(LookUp((name,), self.name(), source, table, axis), shape, result)

    def interpolate(self, name: str) -> str:
        """Any entries, the largest among them."""
        shape, encoding = self.values[name]
        source, result, shift = CodeRange.of(encoding), self.encoding(), self.integer(1, 7)
        axis = self.pick(None, self.integer(1, len(shape)))
        rows = () if axis is None else (shape[axis - 1],)
        ends = np.asarray([result.format.lowest - 2**15, result.format.highest + 2**15, 0]) << 5
        table = self.random.choice(ends, (*rows, (len(source) >> shift) + 2)).astype(np.int32)
        made = Interpolate((name,), self.name(), source, table, shift, self.narrowed(CodeRange.of(result)), axis)
        return self.add(made, shape, result)

    def blend(self, name: str) -> str:
        """Along one axis or two, to any places."""
        shape, encoding = self.values[name]
        axes = sorted(int(a) for a in self.random.choice(len(shape), min(len(shape), self.pick(1, 2)), replace=False) + 1)
        bits = SHORT if encoding.format.bits <= 8 else LONG
        lengths = {axis: shape[axis - 1] for axis in axes}
        between = {axis: Neighbours.at(self.random.uniform(0, n - 1, self.integer(1, 9)), n, bits) for axis, n in lengths.items()}
        found = tuple(len(between[axis].left) if axis in between else length for axis, length in enumerate(shape, 1))
        return self.add(Blend((name,), self.name(), between, bits), found, encoding)

    def clamp(self, name: str) -> str:
        shape, encoding = self.values[name]
        low = self.integer(encoding.format.lowest, encoding.format.highest)
        return self.add(Clamp((name,), self.name(), low, self.integer(low, encoding.format.highest)), shape, encoding)

    def take(self, name: str) -> str:
        """By any indices, by rising ones, padded."""
        shape, encoding = self.values[name]
        indices = {}
        for axis, length in enumerate(shape, 1):
            kind = self.pick("all", "all", "any", "slice", "pad")
            if kind == "any":
                indices[axis] = self.random.integers(-1, length, self.integer(1, 6)).clip(-1)
            elif kind == "slice":
                indices[axis] = np.arange(length)[self.integer(0, length - 1)::self.integer(1, 3)]
            elif kind == "pad":
                indices[axis] = np.pad(np.arange(length), self.integer(0, 2), constant_values=-1)
        filler = self.integer(encoding.format.lowest, encoding.format.highest)
        found = tuple(len(indices.get(axis, range(length))) for axis, length in enumerate(shape, 1))
        return self.add(Take((name,), self.name(), indices, filler), found, encoding)

    def concatenate(self, name: str) -> str:
        shape, encoding = self.values[name]
        axis = self.integer(1, len(shape))
        fits = [n for n, (s, e) in self.values.items()
                if len(s) == len(shape) and s[:axis - 1] + s[axis:] == shape[:axis - 1] + shape[axis:] and e.format == encoding.format]
        names = tuple(self.pick(name, *fits) for _ in range(self.integer(1, 3)))
        total = sum(self.values[n][0][axis - 1] for n in names)
        return self.add(Concatenate(names, self.name(), axis), (*shape[:axis - 1], total, *shape[axis:]), encoding)

    def transpose(self, name: str) -> str:
        shape, encoding = self.values[name]
        order = [int(a) for a in self.random.permutation(len(shape))]
        return self.add(Transpose((name,), self.name(), (0, *(a + 1 for a in order))), tuple(shape[a] for a in order), encoding)

    def reshape(self, name: str) -> str:
        shape, encoding = self.values[name]
        count = prod(shape)
        first = self.pick(*(n for n in range(1, count + 1) if count % n == 0))
        found = self.pick((count,), (first, count // first), (first, count // first, 1), (1, first, count // first))
        return self.add(Reshape((name,), self.name(), self.pick(found, (*found[:-1], -1))), found, encoding)

    def multiply(self, name: str) -> str:
        shape, encoding = self.values[name]
        outputs, result, source = self.integer(1, 5), self.encoding(), CodeRange.of(encoding)
        weights, zero = self.weights(shape[-1], outputs)
        bias = self.bias(outputs)
        plain = MatrixMultiply((name,), self.name(), source, None, weights, zero, bias)
        rounding = self.rounding(plain.bounds(shape[-1]).largest, result, outputs)
        made = MatrixMultiply((name,), self.name(), source, None, weights, zero, bias, rounding)
        return self.add(made, (*shape[:-1], outputs), result)

    def multiply_pair(self, name: str) -> str:
        """A value times its own transpose, or a constant."""
        shape, encoding = self.values[name]
        if len(shape) < 2:
            return name
        order = (*range(len(shape) - 1), len(shape), len(shape) - 1)
        turned = self.add(Transpose((name,), self.name(), order), (*shape[:-2], shape[-1], shape[-2]), encoding)
        source, result = CodeRange.of(encoding), self.encoding()
        bits = multiplied(shape[-1], source.steps, source.steps).width
        rounding = self.rounding(len(source) ** 2 * shape[-1], result, bits=bits)
        made = MatrixMultiply((name, turned), self.name(), source, source, requantize=rounding)
        return self.add(made, (*shape[:-1], shape[-2]), result)

    def gather(self, rows: int, run: int, count: int) -> str:
        """Token ids of an own input -> rows of a table."""
        tokens = f"in{len(self.inputs)}"
        self.inputs[tokens] = None
        encoding = self.encoding()
        form = encoding.format
        table = self.random.integers(form.lowest, form.highest + 1, (rows, run)).astype(form.storage)
        return self.add(Gather((tokens,), self.name(), table), (count, run), encoding)

    def case(self, outputs: tuple[str, ...], samples: int = 2) -> Case:
        """With codes for the inputs, many of them extreme."""
        codes = {}
        for name, encoding in self.inputs.items():
            if encoding is None:
                codes[name] = self.random.integers(-5, 5, (samples, self.values_read_by(name)))
                continue
            form, shape = encoding.format, (samples, *self.values[name][0])
            ends = self.random.choice([form.lowest, form.highest, int(encoding.zero_point)], shape)
            inner = self.random.integers(form.lowest, form.highest + 1, shape)
            codes[name] = np.where(self.random.integers(0, 3, shape) == 0, ends, inner).astype(form.storage)
        program = Program(tuple(self.instructions), self.inputs, outputs, {n: e for n, (_, e) in self.values.items()})
        return Case(program, codes, Choices("shift" if self.powers else "multiplier", channels_last=self.pick(True, False)))

    def values_read_by(self, tokens: str) -> int:
        return next(self.values[i.output][0][0] for i in self.instructions if tokens in i.inputs)


PLANES: tuple[Callable[[Maker, str], str], ...] = (Maker.convolve, Maker.convolve, Maker.max_pool, Maker.average_pool)
ANYWHERE: tuple[Callable[[Maker, str], str], ...] = (
    Maker.mean, Maker.sum, Maker.sum_of_three, Maker.product, Maker.rescale, Maker.look_up, Maker.clamp, Maker.take, Maker.concatenate,
    Maker.transpose, Maker.reshape, Maker.multiply, Maker.multiply_pair, Maker.softmax, Maker.normalize,
    Maker.interpolate, Maker.blend,
)
LARGEST = 4000      # elements of a value that is worked on further
MOST_NORMALIZED = 800           # numbers of 16 bits; more are refused


def random_case(seed: int, *, steps: int = 6, powers: bool = False) -> Case:
    """A chain of instructions with branches; its last value and now and then another one come out."""
    maker = Maker(seed, powers=powers)
    space = maker.pick(1, 2, 2)
    current = maker.input(maker.integer(1, 6), *maker.sizes(space, 1, 8))
    if maker.pick(True, False, False):
        maker.input(*maker.values[current][0])
    for _ in range(steps):
        current = grow(maker, current)
    others = [n for n in maker.values if n not in maker.inputs]
    extra = (maker.pick(*others),) if others and maker.pick(True, False, False) else ()
    return maker.case(tuple(dict.fromkeys((current, *extra))))


def grow(maker: Maker, current: str) -> str:
    """One more instruction, mostly on the newest value."""
    if maker.pick(True, False, False, False):
        current = maker.pick(*maker.values)
    shape, _ = maker.values[current]
    kinds = (*PLANES, *ANYWHERE) if len(shape) in (2, 3) else ANYWHERE
    found = maker.pick(*kinds)(maker, current) if shape and prod(shape) else current
    return found if prod(maker.values[found][0]) <= LARGEST else current
