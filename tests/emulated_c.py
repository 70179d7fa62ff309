"""Integer programs as C on an emulated Cortex-M7, many in one executable."""

import subprocess
from collections.abc import Sequence
from importlib.resources import as_file, files
from pathlib import Path

from compiled_c import Array, Case, door_bytes, driver, split

from bitsmith.targets.c.cortex_m7 import COMPILER, EMULATOR, FLAGS, MACHINE
from bitsmith.targets.c.source import write_source

STRICT = ("-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Werror")
OWN = [flag for flag in FLAGS if not flag.startswith("--specs")]
MAIN = """
extern void initialise_monitor_handles(void);

int main(void)
{{
    initialise_monitor_handles();
    given = fopen("inputs.bin", "rb");
    made = fopen("outputs.bin", "wb");
    return {calls} || fclose(made) != 0;
}}
"""


def run_on_cortex_m7(cases: Sequence[Case], folder: Path) -> list[dict[str, Array]]:
    """The outputs of every case, from one executable that reads and writes files by semihosting."""
    firmwares = [case.firmware for case in cases]
    parts, calls, given = ["#include <stdio.h>", "#include <stdlib.h>"], [], b""
    functions = ["#undef stdin", "#undef stdout", "#define stdin given", "#define stdout made", "static FILE *given, *made;"]
    for number, (case, firmware) in enumerate(zip(cases, firmwares, strict=True)):
        prefix = f"n{number}"
        texts = write_source(firmware, title=f"case {number}", prefix=prefix)
        for name in (f"{prefix}.c", f"{prefix}.h", f"{prefix}_weights.c", f"{prefix}_weights.h"):
            (folder / name).write_text(texts[name])
        parts += [f'#include "{prefix}_weights.c"', f'#include "{prefix}.c"']
        functions.append(driver(texts["main.c"], prefix))
        calls.append(f"run_{prefix}({case.samples}) != 0")
        given += b"".join(door_bytes(d, case.codes[d.name][i]) for i in range(case.samples) for d in firmware.inputs)
    (folder / "driver.c").write_text("\n".join([*parts, *functions, MAIN.format(calls=" || ".join(calls))]))
    (folder / "inputs.bin").write_bytes(given)
    build(folder)
    command = [EMULATOR, *MACHINE, "-kernel", "driver.elf"]
    ran = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, check=False)
    assert ran.returncode == 0, ran.stderr[:4000]
    return split((folder / "outputs.bin").read_bytes(), cases, firmwares)


def build(folder: Path) -> None:
    """Warnings are errors; the C library's files go through semihosting."""
    with as_file(files("bitsmith.targets.c") / "cortex_m7") as board:
        command = [COMPILER, *OWN, *STRICT, "driver.c", "-o", "driver.elf", f"-I{board}", str(board / "startup.c"), str(board / "semi.c"),
                   "--specs=nano.specs", "--specs=rdimon.specs", "-T", str(board / "large.ld"), "-lm"]
        made = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr[:4000]
