"""The engines that numbers come from: onnxruntime with its optimiser and without (simulated), the integer program in three arithmetics."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import onnx_ir as ir

from bitsmith.analysis.verify import Ran
from bitsmith.errors import BitsmithError, PlanError
from bitsmith.integer.instructions import FIXED_POINT, FLOAT32, SHIFT
from bitsmith.integer.program import Program, made
from bitsmith.loading.from_onnx import load
from bitsmith.lowering import lower
from bitsmith.numerics.formats import Array
from bitsmith.rewrites.fold_constants import fold_constants
from bitsmith.running.session import Session
from bitsmith.targets.onnx.extract import Extraction, extract_quantization
from bitsmith.targets.onnx.read_quants import without_quants
from bitsmith.targets.onnx.spell_out import spelled_out

Engine = Callable[[Mapping[str, Array]], dict[str, Array]]
PROGRAMS = {"program": FLOAT32, "program-fixed-point": FIXED_POINT, "program-shift": SHIFT}
ENGINES = ("onnxruntime", "simulated", *PROGRAMS)


@dataclass(frozen=True)
class Subject:
    """A network to be run: a file, which onnxruntime gets just as it is written, or a network in memory."""

    runnable: Path | ir.Model

    @property
    def name(self) -> str:
        return f"'{self.runnable}'" if isinstance(self.runnable, Path) else "the network"

    @cached_property
    def normal(self) -> ir.Model:
        """In normal form; with Q/DQ for QONNX's Quant nodes."""
        return self._read[0]

    @property
    def executable(self) -> Path | ir.Model:
        """What onnxruntime is given: the file just as it is written, unless it holds Quant nodes, which onnxruntime does not know."""
        return self._read[1]

    @cached_property
    def simulated(self) -> Path | ir.Model:
        """The same with Q/DQ for operators on codes, of which onnxruntime without its optimiser has no simulation."""
        spelled = spelled_out(self.normal)
        return self.executable if spelled is self.normal else spelled

    @cached_property
    def _read(self) -> tuple[ir.Model, Path | ir.Model]:
        plain = load(self.runnable)
        normal = without_quants(plain)
        return normal, self.runnable if normal is plain else normal

    @cached_property
    def extraction(self) -> Extraction:
        """Its network and plan. Raises PlanError where it has no Q/DQ that bitsmith reads."""
        network = self.normal.clone()
        fold_constants(network.graph)           # weights that are unpacked when the file is loaded
        found = extract_quantization(network)
        if not found.code_names:
            integral = all(encoding.format.integral for encoding in found.plan.encodings.values())
            has = "no QuantizeLinear that bitsmith reads" if integral else "floating point of fewer bits and no integers"
            raise PlanError(f"{self.name} has {has}: it computes in float, and there are no codes to compare. Give a file with quantized "
                            "activations, or compare its results: 'bitsmith evaluate --against'.")
        return found

    @cached_property
    def program(self) -> Program:
        return lower(self.extraction.network, self.extraction.plan)

    def engine(self, name: str) -> Engine:
        """The engine with this name, for this network. Raises BitsmithError for a name that no engine has."""
        if name not in ENGINES:
            raise BitsmithError(f"No engine is called {name!r}; there are {', '.join(ENGINES)}.")
        if name == "program":
            return self.program.run
        if name in PROGRAMS:
            return lower(self.extraction.network, self.extraction.plan, arithmetic=PROGRAMS[name]).run
        return self.session(name).run

    def session(self, name: str, watch: Sequence[str] | None = None) -> Session:
        """One of the two engines that onnxruntime is."""
        return Session(self.executable, watch) if name == "onnxruntime" else Session(self.simulated, watch, optimise=False)

    def codes_engines(self) -> tuple[dict[str, Callable[[Mapping[str, Array]], Ran]], list[str]]:
        """(engine -> run, values): every engine on the codes of all values of the file, and on its outputs."""
        program = self.program
        known = set(program.inputs) | {name for instruction in program.instructions for name in made(instruction)}
        names = {real: codes for real, codes in self.extraction.code_names.items() if real in known}
        watched = [*names.values(), *program.outputs]
        sessions = {name: self.session(name, watched) for name in ("simulated", "onnxruntime")}

        def run_program(batch: Mapping[str, Array]) -> Ran:
            found = program.codes(batch, list(dict.fromkeys([*names, *program.outputs])))
            reals = {n: program.encodings[n].dequantize(found[n]) if n in program.encodings else found[n] for n in program.outputs}
            return Ran({name: found[name] for name in names}, reals)

        def run_session(session: Session) -> Callable[[Mapping[str, Array]], Ran]:
            def run(batch: Mapping[str, Array]) -> Ran:
                found = session.run(batch)
                return Ran({real: found[codes] for real, codes in names.items()}, {name: found[name] for name in program.outputs})

            return run

        return {"simulated": run_session(sessions["simulated"]), "program": run_program,
                "onnxruntime": run_session(sessions["onnxruntime"])}, list(names)
