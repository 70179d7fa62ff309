"""Integer programs as C, many in one executable: compiled with warnings as errors and sanitizers, run, compared with the program."""

import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bitsmith.integer.program import Program
from bitsmith.targets.c.firmware import Choices, Firmware, translate
from bitsmith.targets.c.run import door_bytes
from bitsmith.targets.c.source import write_source

Array = npt.NDArray[Any]
STRICT = ("-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Werror")
SANITIZED = ("-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-ffp-contract=off")
DRIVER = """
static int run_{prefix}(int samples)
{{
    void *arena = malloc({PREFIX}_ARENA_BYTES);     /* not a byte more, so that the sanitizer sees whoever leaves it */
    for (int i = 0; i < samples; i++) {{
{reads}
        if ({prefix}_run(arena) != 0) {{
            return 1;
        }}
{writes}
    }}
    free(arena);
    return 0;
}}
"""


@dataclass(frozen=True)
class Case:
    """A program and the codes of its inputs, [samples, ...] by name."""

    program: Program
    codes: Mapping[str, Array]
    choices: Choices = field(default_factory=Choices)

    @property
    def samples(self) -> int:
        return len(next(iter(self.codes.values())))

    @property
    def firmware(self) -> Firmware:
        return translate(self.program, {name: codes.shape[1:] for name, codes in self.codes.items()}, self.choices)

    def expected(self) -> dict[str, Array]:
        """What the program makes of the codes: at its door they are the nearest to the numbers that they stand for."""
        encodings = self.program.inputs
        real = {name: codes if (e := encodings[name]) is None else e.dequantize(codes) for name, codes in self.codes.items()}
        return self.program.codes(real, self.program.outputs)


def run_in_c(cases: Sequence[Case], folder: Path, *, compiler: str = "gcc", flags: Sequence[str] = SANITIZED) -> list[dict[str, Array]]:
    """The outputs of every case, from one executable."""
    firmwares = [case.firmware for case in cases]
    calls, functions, headers, given = [], [], [], b""
    for number, (case, firmware) in enumerate(zip(cases, firmwares, strict=True)):
        prefix = f"n{number}"
        texts = write_source(firmware, title=f"case {number}", prefix=prefix)
        for name in (f"{prefix}.c", f"{prefix}.h", f"{prefix}_weights.c", f"{prefix}_weights.h"):
            (folder / name).write_text(texts[name])
        headers += [f'#include "{prefix}_weights.c"', f'#include "{prefix}.c"']      # one translation unit compiles faster
        calls.append(f"run_{prefix}({case.samples}) != 0")
        functions.append(driver(texts["main.c"], prefix))
        given += b"".join(door_bytes(d, case.codes[d.name][i]) for i in range(case.samples) for d in firmware.inputs)
    main = f"int main(void)\n{{\n    return {' || '.join(calls)};\n}}\n"
    (folder / "driver.c").write_text("\n".join(["#include <stdio.h>", "#include <stdlib.h>", *headers, *functions, main]))
    command = [compiler, *STRICT, *flags, "driver.c", "-o", "driver", "-lm"]
    build = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert build.returncode == 0, build.stderr[:4000]
    ran = subprocess.run([folder / "driver"], input=given, capture_output=True, check=False)
    assert ran.returncode == 0, ran.stderr.decode()[:4000]
    return split(ran.stdout, cases, firmwares)


def driver(main: str, prefix: str) -> str:
    """One network's part of the driver: it reads and writes as its own main.c does."""
    reads = [line.replace("complete = complete && ", "if (").replace(";", ") { return 1; }").replace(" == ", " != ").strip()
             for line in main.splitlines() if "fread" in line]
    writes = [line.strip() for line in main.splitlines() if "fwrite" in line and "_trace" not in line and "bytes, stdout" not in line]
    return DRIVER.format(prefix=prefix, PREFIX=prefix.upper(), reads="\n".join(reads), writes="\n".join(writes))


def split(output: bytes, cases: Sequence[Case], firmwares: Sequence[Firmware]) -> list[dict[str, Array]]:
    """What the driver wrote, sample after sample, by case and output."""
    found, at = [], 0
    for case, firmware in zip(cases, firmwares, strict=True):
        pieces: dict[str, list[Array]] = {door.name: [] for door in firmware.outputs}
        for _ in range(case.samples):
            for door in firmware.outputs:
                piece = np.frombuffer(output, door.stored.kind, door.stored.count, at)
                pieces[door.name].append(piece.reshape(door.stored.shape))
                at += piece.nbytes
        found.append({name: np.stack(parts) for name, parts in pieces.items()})
    assert at == len(output)
    return found


def assert_same_codes(cases: Sequence[Case], folder: Path, *, compiler: str = "gcc", flags: Sequence[str] = SANITIZED) -> None:
    """Every output code of every case equals the program's."""
    for number, (case, found) in enumerate(zip(cases, run_in_c(cases, folder, compiler=compiler, flags=flags), strict=True)):
        for name, codes in case.expected().items():
            np.testing.assert_array_equal(found[name], codes, err_msg=f"case {number}, '{name}': {case.program.instructions}"[:3000])
