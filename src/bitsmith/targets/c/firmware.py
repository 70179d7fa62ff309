"""An integer program as calls of kernels over one arena: all that is to be known before a line of C is written."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from bitsmith.errors import TargetError
from bitsmith.integer.instructions import Mean
from bitsmith.integer.memory import Arena, Buffer, Overlap, place
from bitsmith.integer.program import Program
from bitsmith.integer.requantization import EvenShift
from bitsmith.numerics.encoding import Encoding
from bitsmith.targets.c.call import Call, Describe, Fields, Place, Table
from bitsmith.targets.c.flavours import FLAVOURS
from bitsmith.targets.c.layout import Arrangement, arrange, in_memory
from bitsmith.targets.c.reals import REALS
from bitsmith.targets.c.stored import C_TYPES, Sizes, Stored


@dataclass(frozen=True)
class Door:
    """An input or output: its name, where and how it lies, and what its codes stand for (None: integers as they are)."""

    name: str
    value: str
    stored: Stored
    offset: int
    encoding: Encoding | None


@dataclass(frozen=True)
class Choices:
    """rounding       'multiplier', 'shift' where all scales are powers of two, or 'float'
    flavour        which kernels: see FLAVOURS
    channels_last  images come in as [height][width][channels]
    compute        'integer' or 'float'
    math_curves    integers, but activation functions are computed by math.h instead of looked up in tables
    """

    rounding: str = "multiplier"
    flavour: str = "portable"
    channels_last: bool = False
    compute: str = "integer"
    math_curves: bool = False


@dataclass(frozen=True)
class Firmware:
    """calls      in order
    owners     value -> the value whose memory it is
    constants  values in flash, as they lie there
    arena      where everything else lies
    scratch    index of a call -> the name of the memory that it has beside
    """

    calls: tuple[Call, ...]
    inputs: tuple[Door, ...]
    outputs: tuple[Door, ...]
    stored: Mapping[str, Stored]
    owners: Mapping[str, str]
    constants: Mapping[str, Table]
    arena: Arena
    scratch: Mapping[int, str]
    choices: Choices

    def owner(self, name: str) -> str:
        return self.owners.get(name, name)

    @property
    def table_bytes(self) -> int:
        """Weights and all other numbers in flash."""
        return sum(t.bytes for c in self.calls for _, t in c.fields.tables()) + sum(t.bytes for t in self.constants.values())


def translate(program: Program, sizes: Mapping[str, Sizes], choices: Choices = Choices()) -> Firmware:
    """Choose kernels, orders of memory and the arena.

    sizes  of each input, without the batch

    Raises TargetError, by name, for what has no kernel.
    """
    if choices.rounding == "shift":
        check_powers(program)
    arrangement = arrange(program, sizes, channels_last_inputs=choices.channels_last)
    spot = Place(arrangement.stored, choices.rounding)
    stages = [kernels_for({**FLAVOURS[choices.flavour], **REALS}, step)(step, spot) for step in arrangement.steps]
    arena, scratch = plan_arena(arrangement, stages)
    return Firmware(
        tuple(directed(call, arrangement, arena) for stage in stages for call in stage),
        tuple(door(arrangement, arena, n, n, program.inputs[n]) for n in arrangement.inputs),
        tuple(door(arrangement, arena, n, value, program.encodings.get(n)) for n, value in arrangement.outputs.items()),
        arrangement.stored, arrangement.memory,
        {name: Table(in_memory(codes, arrangement.stored[name]), C_TYPES[codes.dtype.name])
         for name, codes in arrangement.constants.items()},
        arena, scratch, choices,
    )


def kernels_for(flavour: Mapping[type, Describe], step: object) -> Describe:
    if type(step) not in flavour:
        raise TargetError(f"There is no C kernel for {type(step).__name__} '{getattr(step, 'output', '')}'; choose 'onnxruntime'.")
    return flavour[type(step)]


def door(arrangement: Arrangement, arena: Arena, name: str, value: str, encoding: Encoding | None) -> Door:
    return Door(name, value, arrangement.stored[value], arena.offsets[arrangement.owner(value)], encoding)


def check_powers(program: Program) -> None:
    """Raises TargetError for the first value whose rounding is no shift; means divide by a count, and may need more."""
    for instruction in program.instructions:
        requantize = getattr(instruction, "requantize", None)
        if requantize is not None and not isinstance(instruction, Mean) and not isinstance(requantize, EvenShift):
            name = getattr(instruction, "output", "")
            raise TargetError(f"'{name}' is not rounded by a shift: its scales are no powers of two; set power_of_two in the recipe.")


def directed(call: Call, arrangement: Arrangement, arena: Arena) -> Call:
    """The call with its direction, where its kernel has two: backwards where forwards it would write over what it still reads."""
    if not call.trails:
        return call
    (name,) = call.trails
    source, result = (arena.offsets.get(arrangement.owner(n)) for n in (name, call.result))
    assert result is not None
    forwards = source is None or result + call.leads[name] <= source or result >= source + arrangement.stored[name].bytes
    return replace(call, fields=Fields({**call.fields.entries, "backwards": int(not forwards)}))


def plan_arena(arrangement: Arrangement, stages: Sequence[Sequence[Call]]) -> tuple[Arena, dict[int, str]]:
    """Lifetimes: step 0 is before the first stage, where inputs are given; outputs stay until behind the last one."""
    last = len(stages) + 1
    born = {arrangement.owner(name): 0 for name in arrangement.inputs}
    dies = dict(born)
    overlaps: list[Overlap] = []
    scratch: dict[int, Buffer] = {}
    number = 0
    for at, stage in enumerate(stages, 1):
        for call in stage:
            born.setdefault(call.result, at)
            dies.update({arrangement.owner(name): at for name in (*call.reads, call.result)})
            if len(stage) == 1:
                overlaps += [Overlap(arrangement.owner(name), call.result, lead, call.trails.get(name))
                             for name, lead in call.leads.items()]
            if call.scratch:
                scratch[number] = Buffer(f"scratch of call {number}", call.scratch, at, at)
            number += 1
    dies.update({arrangement.owner(value): last for value in arrangement.outputs.values()})
    buffers = [Buffer(name, arrangement.stored[name].bytes, born[name], dies[name]) for name in born]
    overlaps = [o for o in overlaps if o.source in born]
    arena = place([*buffers, *scratch.values()], overlaps)
    return arena, {number: buffer.name for number, buffer in scratch.items()}


