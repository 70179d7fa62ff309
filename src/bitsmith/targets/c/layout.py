"""In which order each value lies in memory: channels last where kernels like it, as the network says where nothing else is possible.

Reshape and Transpose move nothing where the order can be carried along; where it cannot, a Reorder is put in.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from bitsmith.errors import TargetError
from bitsmith.integer.boundary import CallFloat, Dequantize, Quantize
from bitsmith.integer.instructions import (
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
    LayerNormalize,
    LookUp,
    MatrixMultiply,
    MaxPool,
    Mean,
    MultiplyRescaled,
    Pick,
    Rescale,
    Reshape,
    Softmax,
    Take,
    TopK,
    Transpose,
)
from bitsmith.integer.program import Program
from bitsmith.numerics.formats import Array
from bitsmith.real.instructions import (
    CurveOfCodes,
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
)
from bitsmith.targets.c.stored import Sizes, Stored, channels_last

IMAGE = 3               # axes of an image, the batch not counted
IN_FLOAT = "and this target computes in integers only; end the network before it, or choose the target 'onnxruntime'"


@dataclass(frozen=True)
class Reorder:
    """The same value in another order of memory."""

    inputs: tuple[str]
    output: str


Work = Instruction | Reorder


@dataclass
class Arrangement:
    """steps    what is to be computed, in order
    stored   how each value lies in memory
    memory   value -> the value whose memory it is, where it only looks at that in another way
    constants  values that are there from the start, as the network has them
    inputs, outputs   names; an output's memory may be that of another value
    """

    stored: dict[str, Stored]
    inputs: tuple[str, ...]
    outputs: dict[str, str] = field(default_factory=dict)
    steps: list[Work] = field(default_factory=list)
    memory: dict[str, str] = field(default_factory=dict)
    constants: dict[str, Array] = field(default_factory=dict)
    reordered: dict[tuple[str, Stored, Stored], str] = field(default_factory=dict)

    def owner(self, name: str) -> str:
        """The value whose memory this one is."""
        return self.memory.get(name, name)

    def look(self, name: str, source: str, stored: Stored) -> None:
        """A value that is another one's memory, seen otherwise."""
        self.stored[name] = stored
        self.memory[name] = self.owner(source)

    def make(self, work: Work, stored: Stored) -> None:
        self.steps.append(work)
        self.stored[work.output] = stored

    def plain(self, name: str, order: Sizes | None = None) -> str:
        """The name of the value where memory holds its own shape, in this order; in any order for None."""
        stored = self.stored[name]
        if order is None and stored.is_plain:
            return name
        wanted = Stored.natural(stored.shape, stored.kind) if order is None else stored.in_order(order)
        if stored.same_memory(wanted):
            return self.seen_as(name, wanted)
        if not stored.is_plain:
            return self.plain(self.seen_as(self.copied(name, Stored.natural(stored.parts, stored.kind)), wanted_natural(stored)), order)
        return self.copied(name, wanted)

    def seen_as(self, name: str, stored: Stored) -> str:
        if self.stored[name] == stored:
            return name
        view = f"{name} (as {stored.parts} {stored.order})"
        self.look(view, name, stored)
        return view

    def copied(self, name: str, stored: Stored) -> str:
        """A copy in another order; one serves all its readers."""
        key = (self.owner(name), self.stored[name], stored)        # two values may see one memory in different ways
        if key not in self.reordered:
            self.reordered[key] = f"{name} (reordered {len(self.reordered) + 1})"
            if self.owner(name) in self.constants:
                self.turn_constant(name, self.reordered[key], stored)
            else:
                self.make(Reorder((name,), self.reordered[key]), stored)
        return self.reordered[key]

    def turn_constant(self, name: str, turned: str, stored: Stored) -> None:
        """A constant lies in flash in whatever order is wanted."""
        seen = self.stored[name]
        memory = in_memory(self.constants[self.owner(name)], self.stored[self.owner(name)])
        logical = np.empty(seen.count, memory.dtype)
        logical[seen.places()] = memory
        self.constants[turned], self.stored[turned] = logical.reshape(stored.parts), stored


def in_memory(codes: Array, stored: Stored) -> Array:
    """A value's codes, as the network has them -> as they lie in memory."""
    return np.asarray(codes.reshape(-1)[stored.places()])


def wanted_natural(stored: Stored) -> Stored:
    return Stored.natural(stored.shape, stored.kind)


def arrange(program: Program, sizes: Mapping[str, Sizes], *, channels_last_inputs: bool = False) -> Arrangement:
    """Decide every value's order of memory.

    sizes                 of each input, without the batch
    channels_last_inputs  inputs of three axes, images, come in as [height][width][channels]; not what is an output too

    Raises TargetError for what has no integer kernel, by name.
    """
    shapes = measure(program, sizes)
    given = {n: Stored.natural(*shapes[n]) for n in program.inputs}
    if channels_last_inputs:
        images = [n for n, stored in given.items() if len(stored.shape) == IMAGE and n not in program.outputs]
        given |= {n: given[n].in_order(channels_last(IMAGE)) for n in images}
    arrangement = Arrangement(given, tuple(program.inputs))
    for instruction in program.instructions:
        assert not isinstance(instruction, CallFloat)
        rule = RULES[type(instruction)]
        rule(arrangement, instruction, Stored.natural(*shapes[instruction.output]))
    for name in program.outputs:
        arrangement.outputs[name] = settle_output(arrangement, name)
    return arrangement


def settle_output(arrangement: Arrangement, name: str) -> str:
    """An output in numpy's order; a constant is copied to where outputs lie."""
    stored = arrangement.stored[name]
    found = arrangement.plain(name, tuple(range(len(stored.shape))))
    if arrangement.owner(found) in arrangement.constants:
        copy = f"{name} (output)"
        arrangement.make(Reorder((found,), copy), wanted_natural(stored))
        return copy
    return found


def measure(program: Program, sizes: Mapping[str, Sizes]) -> dict[str, tuple[Sizes, np.dtype[Any]]]:
    """Shape (without the batch) and kind of every value's codes: what the program makes of one sample of zeros."""
    for instruction in sorted(program.instructions, key=lambda i: not isinstance(i, CallFloat)):     # the cause before its doors
        refuse_float(instruction)
    zeros = {n: np.zeros((1, *sizes[n]), np.int64 if e is None else np.float32) for n, e in program.inputs.items()}
    names = [*program.inputs, *(i.output for i in program.instructions if not isinstance(i, CallFloat))]
    return {name: (codes.shape[1:], codes.dtype) for name, codes in program.codes(zeros, names).items()}


def refuse_float(instruction: Instruction | CallFloat) -> None:
    if isinstance(instruction, CallFloat):
        reason = f" ({instruction.reason})" if instruction.reason else ""
        raise TargetError(f"'{instruction.name}' computes in float{reason}, {IN_FLOAT}.")
    if isinstance(instruction, (Quantize, Dequantize)):
        raise TargetError(f"'{instruction.inputs[0]}' meets real numbers in '{instruction.output}', {IN_FLOAT}.")


def arrange_constant(arrangement: Arrangement, instruction: Constant, result: Stored) -> None:
    arrangement.constants[instruction.output] = instruction.codes[0]
    arrangement.stored[instruction.output] = result


def arrange_window(arrangement: Arrangement, instruction: Any, result: Stored) -> None:
    """Convolutions and pooling read any order of memory and write channels last."""
    source = arrangement.plain(instruction.inputs[0])
    arrangement.make(reading(instruction, [source]), result.in_order(channels_last(len(result.shape))))


def arrange_product(arrangement: Arrangement, instruction: MatrixMultiply, result: Stored) -> None:
    """Numpy's order, but for one row times a weight: its rows can follow whatever order the row has."""
    left = instruction.inputs[0]
    follows = instruction.weights is not None and instruction.weights.ndim == 2 and len(arrangement.stored[left].shape) == 1
    names = [n if follows else arrangement.plain(n, natural_order(arrangement, n)) for n in instruction.inputs]
    arrangement.make(reading(instruction, names), result)


def arrange_in_order(arrangement: Arrangement, instruction: Any, result: Stored) -> None:
    """Numpy's order throughout: in it sums go."""
    names = [arrangement.plain(n, natural_order(arrangement, n)) for n in instruction.inputs]
    arrangement.make(reading(instruction, names), result)


def arrange_softmax(arrangement: Arrangement, instruction: Any, result: Stored) -> None:
    """Along an axis, wherever that lies."""
    source = arrangement.plain(instruction.inputs[0])
    arrangement.make(reading(instruction, [source]), result.in_order(arrangement.stored[source].order))


def natural_order(arrangement: Arrangement, name: str) -> Sizes:
    return tuple(range(len(arrangement.stored[name].shape)))


def arrange_pointwise(arrangement: Arrangement, instruction: Any, result: Stored) -> None:
    """One operand: whatever lies wherever, unless it matters which channel it is."""
    name = instruction.inputs[0]
    if getattr(instruction, "axis", None) is not None:
        name = arrangement.plain(name)
    source = arrangement.stored[name]
    arrangement.make(reading(instruction, [name]), Stored(result.shape, result.kind, source.parts, source.order))


def arrange_together(arrangement: Arrangement, instruction: Any, result: Stored) -> None:
    """Several operands that broadcast: all in the order of the largest that is computed."""
    names = list(instruction.inputs)
    ranks = {len(arrangement.stored[n].shape) for n in names}
    if len(ranks) != 1:
        raise TargetError(f"'{instruction.output}' joins values of {sorted(ranks)} axes; reshape them to as many axes each in the network.")
    computed = [n for n in names if arrangement.stored[n].is_plain and arrangement.owner(n) not in arrangement.constants]
    largest = max(computed, key=lambda n: arrangement.stored[n].count, default=None)
    order = tuple(range(len(result.shape))) if largest is None else arrangement.stored[largest].order
    found = [arrangement.plain(n, order) for n in names]
    arrangement.make(reading(instruction, found), result.in_order(order))


def arrange_mean(arrangement: Arrangement, instruction: Mean, result: Stored) -> None:
    arrange_reduction(arrangement, instruction, result, () if instruction.keep_axes else instruction.axes)


def arrange_arg_max(arrangement: Arrangement, instruction: ArgMax, result: Stored) -> None:
    arrange_reduction(arrangement, instruction, result, () if instruction.keep_axis else (instruction.axis,))


def arrange_reduction(arrangement: Arrangement, instruction: Any, result: Stored, gone: Sizes) -> None:
    """The axes that stay keep their order."""
    source = arrangement.plain(instruction.inputs[0])
    order = arrangement.stored[source].order
    kept = [axis for axis in range(len(order)) if axis + 1 not in gone]
    arrangement.make(reading(instruction, [source]), result.in_order(tuple(kept.index(axis) for axis in order if axis in kept)))


def arrange_in_place(arrangement: Arrangement, instruction: Any, result: Stored) -> None:
    """In the order of the source."""
    source = arrangement.plain(instruction.inputs[0])
    arrangement.make(reading(instruction, [source]), result.in_order(arrangement.stored[source].order))


def arrange_pick(arrangement: Arrangement, instruction: Pick, result: Stored) -> None:
    """Places and result in the order of what is picked from."""
    source = arrangement.plain(instruction.inputs[0])
    order = arrangement.stored[source].order
    places = arrangement.plain(instruction.inputs[1], order)
    arrangement.make(reading(instruction, [source, places]), result.in_order(order))


def arrange_rows(arrangement: Arrangement, instruction: Any, result: Stored) -> None:
    """Numpy's order: the last axes are a row."""
    name = instruction.inputs[0]
    arrangement.make(reading(instruction, [arrangement.plain(name, natural_order(arrangement, name))]), result)


def arrange_reshape(arrangement: Arrangement, instruction: Reshape, result: Stored) -> None:
    source = instruction.inputs[0]
    arrangement.look(instruction.output, source, arrangement.stored[source].reshaped(result.shape))


def arrange_transpose(arrangement: Arrangement, instruction: Transpose, result: Stored) -> None:
    """Nothing moves: the axes only get other names."""
    source = arrangement.plain(instruction.inputs[0])
    renamed = {old - 1: new - 1 for new, old in enumerate(instruction.order)}
    order = tuple(renamed[axis] for axis in arrangement.stored[source].order)
    arrangement.look(instruction.output, source, result.in_order(order))


def reading(instruction: Any, names: Iterable[str]) -> Any:
    """The same instruction on these values, which hold what its own inputs hold."""
    names = tuple(names)
    return instruction if names == tuple(instruction.inputs) else replace(instruction, inputs=names)


RULES: dict[type, Callable[[Arrangement, Any, Stored], None]] = {
    Constant: arrange_constant,
    Convolve: arrange_window,
    MaxPool: arrange_window,
    AveragePool: arrange_window,
    MatrixMultiply: arrange_product,
    LookUp: arrange_pointwise,
    Interpolate: arrange_pointwise,
    Clamp: arrange_pointwise,
    Rescale: arrange_pointwise,
    AddRescaled: arrange_together,
    MultiplyRescaled: arrange_together,
    Concatenate: arrange_together,
    Take: arrange_in_place,
    Mean: arrange_mean,
    ArgMax: arrange_arg_max,
    TopK: arrange_in_place,
    Pick: arrange_pick,
    Softmax: arrange_in_place,
    Blend: arrange_in_place,
    LayerNormalize: arrange_rows,
    Gather: arrange_rows,
    Reshape: arrange_reshape,
    Transpose: arrange_transpose,
    **dict.fromkeys((RealConvolve, RealMaxPool, RealAveragePool), arrange_window),
    **dict.fromkeys((RealMultiply, RealMultiplyPair), arrange_in_order),
    **dict.fromkeys((RealCast, RealCurve, RealClamp, CurveOfCodes), arrange_pointwise),
    RealPair: arrange_together,
    RealMean: arrange_mean,
    RealNormalize: arrange_rows,
    RealSoftmax: arrange_softmax,
}
