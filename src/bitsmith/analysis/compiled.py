"""Does C compute what its program means? A written folder, compiled, beside the program that it was made from."""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import onnx_ir as ir

from bitsmith.analysis.engines import Subject
from bitsmith.analysis.verify import Ran
from bitsmith.errors import TargetError
from bitsmith.integer.boundary import CallFloat
from bitsmith.integer.program import Program
from bitsmith.numerics.formats import Array
from bitsmith.planning.plan import Plan
from bitsmith.real.instructions import from_library
from bitsmith.running.session import Session
from bitsmith.targets import target_named
from bitsmith.targets.c.cortex_m7 import Emulated
from bitsmith.targets.c.run import Compiled, Folder

Machine = Compiled | Emulated
MACHINES: Mapping[str, type[Compiled] | type[Emulated]] = {"host": Compiled, "cortex-m7": Emulated}
Side = Callable[[Mapping[str, Array]], dict[str, Ran]]
TOLERANCE = 1e-4        # of the largest output: for float sums in another order


def is_folder(network: object) -> bool:
    """True for a folder, which only the target `c` writes."""
    return isinstance(network, (str, Path)) and Path(network).is_dir()


def planned(quantized: Path) -> tuple[ir.Model, Plan]:
    """The network in float and its plan, of a file with Q/DQ or of a folder of C. Raises PlanError and TargetError for others."""
    if is_folder(quantized):
        return Folder(quantized).network, Folder(quantized).plan
    found = Subject(quantized).extraction
    return found.network, found.plan


def beside_program(compiled: Machine) -> tuple[Side, list[str]]:
    """(batch -> what the program and the C gave, values): on every value that both make."""
    program, firmware = compiled.folder.program, compiled.folder.firmware
    known = {i.output for i in program.instructions if not isinstance(i, CallFloat)}
    values = [name for name in dict.fromkeys(call.result for call in firmware.calls) if name in known]
    compare = compare_reals if in_float(compiled) else compare_codes
    return compare(compiled, values), values


def in_float(compiled: Machine) -> bool:
    return compiled.folder.choices.compute == "float"


def compare_codes(compiled: Machine, values: list[str]) -> Side:
    """Integers: the program from beginning to end, and the C."""
    program = compiled.folder.program

    def run(batch: Mapping[str, Array]) -> dict[str, Ran]:
        found = program.codes(batch, list(dict.fromkeys([*values, *program.outputs])))
        codes = codes_of(program, batch)
        traced = compiled.trace(codes)
        return {"program": Ran({name: found[name] for name in values}, reals(program, found)),
                compiled.name: Ran({name: traced[name] for name in values}, reals(program, compiled.run(codes)))}

    return run


def compare_reals(compiled: Machine, values: list[str]) -> Side:
    """Floats: each step of the program from what the C has made of its inputs, and onnxruntime, whose sums have another order."""
    folder = compiled.folder
    session = Session(target_named("c").build(folder.network, folder.plan), optimise=False)

    def run(batch: Mapping[str, Array]) -> dict[str, Ran]:
        traced = compiled.trace(codes_of(folder.program, batch))
        found = step_by_step(folder.program, batch, traced)
        outputs = compiled.run(codes_of(folder.program, batch))
        return {"program": Ran({name: bits(found[name]) for name in values}, {name: found[name] for name in outputs}),
                compiled.name: Ran({name: bits(traced[name]) for name in values}, outputs),
                "onnxruntime": Ran({}, session.run(batch))}

    return run


def step_by_step(program: Program, batch: Mapping[str, Array], traced: Mapping[str, Array]) -> dict[str, Array]:
    """What each instruction makes of the values that somebody else found, where they did."""
    found = codes_of(program, batch)
    for instruction in program.instructions:
        assert not isinstance(instruction, CallFloat)
        found[instruction.output] = instruction.run(*(traced.get(name, found[name]) for name in instruction.inputs))
    return found


def bits(reals: Array) -> Array:
    """Patterns of float32 numbers: neighbours differ by 1. Places are what they are."""
    return reals if reals.dtype.kind in "iu" else np.ascontiguousarray(reals, np.float32).view(np.int32)


def library_values(compiled: Machine) -> frozenset[str]:
    """What a library of mathematics computes in the C."""
    return frozenset(i.output for i in compiled.folder.program.instructions if not isinstance(i, CallFloat) and from_library(i))


def codes_of(program: Program, batch: Mapping[str, Array]) -> dict[str, Array]:
    """Real inputs as the codes that the C reads."""
    return {name: batch[name] if e is None else e.quantize(batch[name]) for name, e in program.inputs.items()}


def reals(program: Program, codes: Mapping[str, Array]) -> dict[str, Array]:
    """Outputs as real numbers."""
    encodings = program.encodings
    return {name: encodings[name].dequantize(codes[name]) if name in encodings else codes[name] for name in program.outputs}


def open_folder(network: str | Path, machine: str = "host") -> Machine:
    """Compile a folder for one of MACHINES. Raises TargetError where that fails."""
    if machine not in MACHINES:
        raise TargetError(f"C runs on {', '.join(MACHINES)}, not on {machine!r}.")
    return MACHINES[machine](Folder(Path(network)))
