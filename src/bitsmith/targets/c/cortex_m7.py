"""A written folder on an emulated Cortex-M7: built with arm-none-eabi-gcc, run in QEMU, instructions counted."""

import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path
from string import Template

from bitsmith.errors import TargetError
from bitsmith.numerics.formats import Array
from bitsmith.targets.c.firmware import Door
from bitsmith.targets.c.names import Names
from bitsmith.targets.c.run import Folder, collect, door_bytes
from bitsmith.targets.c.source import TAKEN

COMPILER, EMULATOR, SIZE = "arm-none-eabi-gcc", "qemu-system-arm", "arm-none-eabi-size"
NEEDED = (COMPILER, EMULATOR, SIZE)
FLAGS = ("-mcpu=cortex-m7", "-mthumb", "-mfpu=fpv5-sp-d16", "-mfloat-abi=hard", "-std=c99", "-O2", "-ffp-contract=off",
         "-ffunction-sections", "-fdata-sections", "-nostartfiles", "-Wl,--gc-sections", "--specs=nano.specs", "--specs=nosys.specs")
BOARDS = ("stm32f746", "large")         # each the room that a program has: 1 MiB flash and 320 KiB RAM, or 4 MiB each
MACHINE = ("-M", "mps2-an500", "-display", "none", "-monitor", "none", "-serial", "none", "-semihosting-config", "enable=on,target=native",
           "-icount", "shift=6")
TICKS = 8 / 5                           # of the timer for each instruction
READING = 9                             # ticks that reading the timer twice takes
MOST_SECONDS = 900


@dataclass(frozen=True)
class Ran:
    """What running some samples gave.

    outputs       codes by name, [samples, ...]
    instructions  of the longest inference
    layers        of the first sample, by call: instructions; empty where they were not asked for
    stack         bytes touched, those of main included
    """

    outputs: Mapping[str, Array]
    instructions: int
    layers: tuple[int, ...]
    stack: int


@dataclass(frozen=True)
class Built:
    """An executable: path, bytes of flash (text and data), bytes of RAM (data and bss; the stack comes on top)."""

    path: Path
    flash: int
    ram: int


def missing_tools() -> list[str]:
    """What is not installed of that which this needs."""
    return [tool for tool in NEEDED if shutil.which(tool) is None]


def check_tools() -> None:
    if missing := missing_tools():
        raise TargetError(f"A Cortex-M7 needs {', '.join(missing)}, not installed here; on Debian: "
                          "apt install gcc-arm-none-eabi libnewlib-arm-none-eabi qemu-system-arm.")


def build(folder: Folder, into: Path, *, board: str = BOARDS[0], traced: bool = False) -> Built:
    """Compile and link. Raises TargetError where tools are missing, where the compiler complains, and where the board is too small."""
    check_tools()
    firmware, prefix = folder.firmware, folder.prefix
    (into / "main.c").write_text(main_source(folder), encoding="utf-8")
    sources = [str((folder.path / f"{prefix}{end}").resolve()) for end in (".c", "_weights.c")]
    made = into / ("traced.elf" if traced else "plain.elf")
    trace = [f"-D{prefix.upper()}_DEBUG", f"-DLAYERS={len(firmware.calls)}"] if traced else []
    with as_file(files("bitsmith.targets.c") / "cortex_m7") as board_files:
        own = [str(board_files / name) for name in ("startup.c", "semi.c")]
        command = [COMPILER, *FLAGS, *trace, f"-I{board_files}", f"-I{folder.path.resolve()}", *own, *sources, str(into / "main.c"),
                   "-T", str(board_files / f"{board}.ld"), "-o", str(made)]
        ran = subprocess.run(command, capture_output=True, text=True, check=False)
    if ran.returncode:
        raise TargetError(f"'{folder.path}' cannot be built for the board '{board}': {ran.stderr.strip()[-1000:]}")
    return Built(made, *measure(made))


def measure(executable: Path) -> tuple[int, int]:
    """(flash, RAM) in bytes."""
    said = subprocess.run([SIZE, str(executable)], capture_output=True, text=True, check=True).stdout.splitlines()[1].split()
    text, data, bss = (int(column) for column in said[:3])
    return text + data, data + bss


def main_source(folder: Folder) -> str:
    """The C that reads samples, runs the network and writes what comes out."""
    names = Names(TAKEN)
    for door in (*folder.firmware.inputs, *folder.firmware.outputs):
        names.identifier(door.name)

    def lines(action: str, chosen: tuple[Door, ...]) -> str:
        calls = [(f"{folder.prefix}_{names.identifier(door.name)}(arena)", door.stored.bytes) for door in chosen]
        return "\n".join(f"        failed |= semi_{action}({action[0]}, {call}, {count});" for call, count in calls)

    text = (files("bitsmith.targets.c") / "templates" / "main_cortex_m7.c").read_text(encoding="utf-8")
    return Template(text).substitute(prefix=folder.prefix, PREFIX=folder.prefix.upper(), reads=lines("read", folder.firmware.inputs),
                                     writes=lines("write", folder.firmware.outputs))


def run(folder: Folder, built: Built, batch: Mapping[str, Array]) -> Ran:
    """Codes of the inputs, [samples, ...] by name -> what the emulated processor makes of them. Raises TargetError where it fails."""
    doors = folder.firmware.inputs
    samples = len(next(iter(batch.values()), []))
    with tempfile.TemporaryDirectory(prefix="bitsmith-") as temporary:
        given = b"".join(door_bytes(door, batch[door.name][i]) for i in range(samples) for door in doors)
        (Path(temporary) / "inputs.bin").write_bytes(given)
        command = [EMULATOR, *MACHINE, "-kernel", str(built.path.resolve())]
        ran = subprocess.run(command, cwd=temporary, capture_output=True, text=True, check=False, timeout=MOST_SECONDS)
        if ran.returncode:
            raise TargetError(f"The C of '{folder.path}' fails on the Cortex-M7: {ran.stderr.strip()[:400] or 'no reason given'}.")
        written = (Path(temporary) / "outputs.bin").read_bytes()
    size = len(written) // max(1, samples)
    outputs = collect([written[i * size:(i + 1) * size] for i in range(samples)], [(d.name, d.stored) for d in folder.firmware.outputs])
    return Ran(outputs, *understood(ran.stderr))


def understood(said: str) -> tuple[int, tuple[int, ...], int]:
    """(instructions, of each layer, stack) from what the program says."""
    found = {word: [int(n) for n in numbers.split()] for word, numbers in re.findall(r"^(\w+):((?: \d+)*)$", said, re.MULTILINE)}
    return instructions(found["ticks"][0]), tuple(instructions(ticks) for ticks in found["layers"]), found["stack"][0]


def instructions(ticks: int) -> int:
    return round(max(0, ticks - READING) / TICKS)
