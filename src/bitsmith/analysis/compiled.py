"""Does C compute the codes of the integer program? A written folder, compiled, beside the program that it was made from."""

from collections.abc import Callable, Mapping
from pathlib import Path

import onnx_ir as ir

from bitsmith.analysis.engines import Subject
from bitsmith.analysis.verify import Ran
from bitsmith.errors import TargetError
from bitsmith.integer.boundary import CallFloat
from bitsmith.integer.program import Program
from bitsmith.numerics.formats import Array
from bitsmith.planning.plan import Plan
from bitsmith.targets.c.cortex_m7 import Emulated
from bitsmith.targets.c.run import Compiled, Folder

Machine = Compiled | Emulated
MACHINES: Mapping[str, type[Compiled] | type[Emulated]] = {"host": Compiled, "cortex-m7": Emulated}
Engine = Callable[[Mapping[str, Array]], Ran]


def is_folder(network: object) -> bool:
    """True for a folder, which only the target `c` writes."""
    return isinstance(network, (str, Path)) and Path(network).is_dir()


def planned(quantized: Path) -> tuple[ir.Model, Plan]:
    """The network in float and its plan, of a file with Q/DQ or of a folder of C. Raises PlanError and TargetError for others."""
    if is_folder(quantized):
        return Folder(quantized).network, Folder(quantized).plan
    found = Subject(quantized).extraction
    return found.network, found.plan


def compiled_engines(compiled: Machine) -> tuple[dict[str, Engine], list[str]]:
    """(engine -> run, values): the program and the C, on every value that both make."""
    folder = compiled.folder
    program, firmware = folder.program, folder.firmware
    known = {i.output for i in program.instructions if not isinstance(i, CallFloat)}
    values = [name for name in dict.fromkeys(call.result for call in firmware.calls) if name in known]

    def run_program(batch: Mapping[str, Array]) -> Ran:
        found = program.codes(batch, list(dict.fromkeys([*values, *program.outputs])))
        return Ran({name: found[name] for name in values}, reals(program, found))

    def run_compiled(batch: Mapping[str, Array]) -> Ran:
        codes = codes_of(program, batch)
        return Ran({name: found for name, found in compiled.trace(codes).items() if name in values}, reals(program, compiled.run(codes)))

    return {"program": run_program, compiled.name: run_compiled}, values


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
