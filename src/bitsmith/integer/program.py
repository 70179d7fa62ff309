"""A quantized network as a list of instructions, and what it computes. It is the specification that every target must equal."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from bitsmith.errors import DataError, LoweringError
from bitsmith.integer.boundary import CallFloat
from bitsmith.integer.instructions import Instruction
from bitsmith.numerics.encoding import Encoding
from bitsmith.numerics.formats import Array

SAMPLES = 64        # run at a time: few enough for the cache, enough for the matrix products


@dataclass(frozen=True, eq=False)
class Program:
    """instructions  in an order in which every value is made before it is read
    inputs        by name; with an encoding, they are quantized at the door; None: they come in as they are (token ids, float islands)
    outputs       names; those with an encoding are dequantized at the door
    encodings     of every value that is codes
    """

    instructions: tuple[Instruction | CallFloat, ...]
    inputs: Mapping[str, Encoding | None]
    outputs: tuple[str, ...]
    encodings: Mapping[str, Encoding]

    def __post_init__(self) -> None:
        """Raises LoweringError for a value that is read before it is made, or made twice."""
        known = set(self.inputs)
        for instruction in self.instructions:
            if missing := set(instruction.inputs) - known:
                raise LoweringError(f"{type(instruction).__name__} of {made(instruction)} reads {sorted(missing)} before it is made.")
            if twice := known & set(made(instruction)):
                raise LoweringError(f"{sorted(twice)} is made twice.")
            known |= set(made(instruction))
        if missing := set(self.outputs) - known:
            raise LoweringError(f"The program has outputs {sorted(missing)} that nothing makes.")

    @property
    def in_float(self) -> dict[str, str]:
        """The nodes that are computed in floating point, each with the reason; none where the whole network is integers."""
        return {i.name: i.reason for i in self.instructions if isinstance(i, CallFloat)}

    def run(self, batch: Mapping[str, Array]) -> dict[str, Array]:
        """Real inputs by name, axis 0 the samples -> real outputs. Raises DataError for inputs that are missing or of unequal length."""
        found = self.codes(batch, self.outputs)
        return {name: self.encodings[name].dequantize(v) if name in self.encodings else v for name, v in found.items()}

    def codes(self, batch: Mapping[str, Array], watch: Sequence[str]) -> dict[str, Array]:
        """Codes of any values by name; of values without an encoding, the values."""
        if unknown := set(watch) - set(self.inputs) - {name for i in self.instructions for name in made(i)}:
            raise DataError(f"The program has no values {sorted(unknown)}.")
        samples = self._count(batch)
        pieces = [self._run_piece(piece, watch) for piece in cut(batch, self.inputs, samples)]
        return {name: join([piece[name] for piece in pieces]) for name in watch}

    def _run_piece(self, batch: Mapping[str, Array], watch: Sequence[str]) -> dict[str, Array]:
        """Forgets each value after its last reader."""
        values = {name: values if (encoding := self.inputs[name]) is None else encoding.quantize(values) for name, values in batch.items()}
        kept = set(watch)
        for step, instruction in enumerate(self.instructions):
            values.update(carry_out(instruction, [values[name] for name in instruction.inputs]))
            for name in self._last_read[step]:
                if name not in kept:
                    del values[name]
        samples = max(map(len, batch.values()), default=1)
        return {name: for_each(samples, values[name]) for name in watch}

    def _count(self, batch: Mapping[str, Array]) -> int:
        if missing := set(self.inputs) - set(batch):
            raise DataError(f"The network needs inputs {sorted(self.inputs)}, and the data have no {sorted(missing)}.")
        lengths = {name: len(batch[name]) for name in self.inputs}
        if len(set(lengths.values())) > 1:
            raise DataError(f"All inputs need the same number of samples, not {lengths}.")
        return next(iter(lengths.values()), 1)

    @cached_property
    def _last_read(self) -> list[list[str]]:
        """For each instruction, the values that nothing reads after it."""
        last: dict[str, int] = {}
        for step, instruction in enumerate(self.instructions):
            last.update(dict.fromkeys((*made(instruction), *instruction.inputs), step))
        return [[name for name, step in last.items() if step == at] for at in range(len(self.instructions))]


def made(instruction: Instruction | CallFloat) -> tuple[str, ...]:
    """Names of the values that an instruction makes."""
    return instruction.outputs if isinstance(instruction, CallFloat) else (instruction.output,)


def carry_out(instruction: Instruction | CallFloat, values: Sequence[Array]) -> dict[str, Array]:
    """What an instruction makes, by name."""
    if isinstance(instruction, CallFloat):
        return dict(zip(instruction.outputs, instruction.run(*values), strict=True))
    return {instruction.output: instruction.run(*values)}


def for_each(samples: int, value: Array) -> Array:
    """What is the same for every sample, repeated for each."""
    return np.broadcast_to(value, (samples, *value.shape[1:])) if len(value) == 1 else value


def cut(batch: Mapping[str, Array], names: Mapping[str, object], samples: int) -> Iterator[dict[str, Array]]:
    """Pieces of the batch; one, empty, where there are no samples."""
    for start in range(0, max(1, samples), SAMPLES):
        yield {name: np.asarray(batch[name][start:start + SAMPLES]) for name in names}


def join(pieces: Sequence[Array]) -> Array:
    return pieces[0] if len(pieces) == 1 else np.concatenate(pieces)
