"""A written folder on this machine: compiled with the system's compiler, fed with codes. Running it runs the C in that folder."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import onnx_ir as ir

from bitsmith.errors import TargetError
from bitsmith.integer.program import Program
from bitsmith.loading.from_onnx import load
from bitsmith.lowering import lower
from bitsmith.numerics.formats import Array
from bitsmith.operators import operator_of
from bitsmith.planning.plan import Plan, load_plan
from bitsmith.real_lowering import compute_curves, lower_to_reals
from bitsmith.targets.c.firmware import Choices, Door, Firmware, translate
from bitsmith.targets.c.flavours import OPTIMISE, PLAIN
from bitsmith.targets.c.layout import in_memory
from bitsmith.targets.c.rounding import ARITHMETICS
from bitsmith.targets.c.sizes import input_sizes
from bitsmith.targets.c.stored import Stored

FLAGS = ("-std=c99", "-ffp-contract=off", "-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Werror")
PLAN = ".plan.json"


@dataclass(frozen=True)
class Folder:
    """What the target `c` wrote."""

    path: Path

    @cached_property
    def prefix(self) -> str:
        """Raises TargetError where this is no such folder."""
        found = sorted(self.path.glob(f"*{PLAN}"))
        if len(found) != 1:
            raise TargetError(f"'{self.path}' is no folder that 'bitsmith quantize --target c' wrote: it has {len(found)} plans, not one.")
        return found[0].name.removesuffix(PLAN)

    @property
    def network_path(self) -> Path:
        return self.path / f"{self.prefix}.onnx"

    @cached_property
    def network(self) -> ir.Model:
        """The float network that the C was made from."""
        return load(self.network_path)

    @cached_property
    def plan(self) -> Plan:
        return load_plan(self.path / f"{self.prefix}{PLAN}")

    @cached_property
    def program(self) -> Program:
        return program_of(self.network, self.plan, self.choices)

    @property
    def choices(self) -> Choices:
        """How the C was asked for."""
        said = {name: value for name, value in self.plan.made_with.get("c", {}).items() if name != "prefix"}
        return Choices(**said)

    @cached_property
    def firmware(self) -> Firmware:
        """As this bitsmith would write it: which codes the C reads and writes, in which order."""
        return translate(self.program, input_sizes(self.network), self.choices)

    @property
    def traced_values(self) -> list[tuple[str, Stored]]:
        """What a traced executable writes for each sample: every kernel's result, then the outputs."""
        made = [(call.result, self.firmware.stored[call.result]) for call in self.firmware.calls]
        return [*made, *((f"{door.name} (output)", door.stored) for door in self.firmware.outputs)]

    def compile(self, into: Path, *, traced: bool = False) -> Path:
        """The executable, in `into`. Raises TargetError where there is no compiler, or where it complains."""
        compiler = os.environ.get("CC") or shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
        if compiler is None:
            raise TargetError("There is no C compiler; install gcc or clang, or name one in the variable CC.")
        made = into / ("traced" if traced else "plain")
        sources = [str((self.path / name).resolve()) for name in (f"{self.prefix}.c", f"{self.prefix}_weights.c", "main.c")]
        trace = [f"-D{self.prefix.upper()}_DEBUG"] if traced else []
        flags = [*FLAGS, *OPTIMISE.get(self.choices.flavour, PLAIN), *trace]
        ran = subprocess.run([compiler, *flags, *sources, "-o", str(made), "-lm"], capture_output=True, text=True, check=False)
        if ran.returncode:
            raise TargetError(f"The compiler refuses '{self.path}': {ran.stderr.strip()[:1000]}")
        return made


def program_of(network: ir.Model, plan: Plan, choices: Choices) -> Program:
    """What the C computes: integers, or float32 numbers. Raises TargetError, by name, for what no float scale rounds."""
    if choices.compute == "float":
        return lower_to_reals(network, plan)
    if choices.rounding == "float":
        refuse_integers_alone(network)
    program = lower(network, plan, arithmetic=ARITHMETICS[choices.rounding])
    return compute_curves(network, program) if choices.math_curves else program


def refuse_integers_alone(network: ir.Model) -> None:
    """Raises TargetError for the first node whose integers are not what onnxruntime computes, which rounding in float promises."""
    for node in network.graph:
        operator = operator_of(node)
        if operator is not None and operator.without_float(node):
            raise TargetError(f"{node.op_type} '{node.name}' has integers of its own, which are not what onnxruntime computes: take "
                              "--requantize multiplier or shift instead of float, or --compute float, or end the network before it.")


class Compiled:
    """A folder's executables, until it is closed."""

    name = "c"

    def __init__(self, folder: Folder) -> None:
        self.folder = folder
        self.measured: dict[str, int] = {}
        self._temporary = tempfile.TemporaryDirectory(prefix="bitsmith-")
        into = Path(self._temporary.name)
        self._plain, self._traced = (folder.compile(into, traced=traced) for traced in (False, True))

    def close(self) -> None:
        self._temporary.cleanup()

    def run(self, batch: Mapping[str, Array]) -> dict[str, Array]:
        """Codes of the inputs, [samples, ...] by name -> codes of the outputs."""
        pieces = self._feed(self._plain, batch)
        return collect(pieces, [(door.name, door.stored) for door in self.folder.firmware.outputs])

    def trace(self, batch: Mapping[str, Array]) -> dict[str, Array]:
        """Codes of the inputs -> codes of every value that a kernel makes."""
        return collect(self._feed(self._traced, batch), self.folder.traced_values)

    def _feed(self, executable: Path, batch: Mapping[str, Array]) -> list[bytes]:
        """What the executable writes for each sample."""
        doors = self.folder.firmware.inputs
        samples = len(next(iter(batch.values()), []))
        given = b"".join(door_bytes(door, batch[door.name][i]) for i in range(samples) for door in doors)
        ran = subprocess.run([executable], input=given, capture_output=True, check=False)
        if ran.returncode or len(ran.stdout) % max(1, samples):
            reason = ran.stderr.decode(errors="replace").strip()[:400]
            raise TargetError(f"The C of '{self.folder.path}' fails: {reason or 'no reason given'}.")
        size = len(ran.stdout) // max(1, samples)
        return [ran.stdout[i * size:(i + 1) * size] for i in range(samples)]


def door_bytes(door: Door, codes: Array) -> bytes:
    return in_memory(codes.astype(np.int32 if door.encoding is None else door.stored.kind), door.stored).tobytes()


def collect(pieces: list[bytes], values: list[tuple[str, Stored]]) -> dict[str, Array]:
    """Codes by name, [samples, ...]; of a value that is written in parts, as they lie after the last one."""
    expected = sum(stored.bytes for _, stored in values)
    found: dict[str, list[Array]] = {}
    for piece in pieces:
        if len(piece) != expected:
            raise TargetError(f"The C gives {len(piece)} bytes for a sample where {expected} were expected; write the folder again.")
        at = 0
        sample: dict[str, Array] = {}
        for name, stored in values:
            sample[name] = in_order(np.frombuffer(piece, stored.kind, stored.count, at), stored)
            at += stored.bytes
        for name, codes in sample.items():
            found.setdefault(name, []).append(codes)
    return {name: np.stack(codes) for name, codes in found.items()}


def in_order(memory: Array, stored: Stored) -> Array:
    """Codes as they lie in memory -> as the network has them."""
    codes = np.empty(stored.count, memory.dtype)
    codes[stored.places()] = memory
    return codes.reshape(stored.shape)
