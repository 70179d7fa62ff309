"""A written folder on an emulated Cortex-M7: built with arm-none-eabi-gcc, run in QEMU, instructions counted."""

import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
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
FULL = ("will not fit in region", "overflowed by", "no room for")


@dataclass(frozen=True)
class Spent:
    """What running some samples took.

    instructions  of the longest inference
    layers        of the first sample, by call: instructions; empty where they were not asked for
    stack         bytes touched, those of main included
    """

    instructions: int
    layers: tuple[int, ...]
    stack: int


@dataclass(frozen=True)
class Built:
    """An executable, the board that it is for, bytes of flash (text and data) and of RAM (data and bss; the stack comes on top)."""

    path: Path
    board: str
    flash: int
    ram: int


def missing_tools() -> list[str]:
    """What is not installed of that which this needs."""
    return [tool for tool in NEEDED if shutil.which(tool) is None]


def check_tools() -> None:
    if missing := missing_tools():
        raise TargetError(f"A Cortex-M7 needs {', '.join(missing)}, not installed here; on Debian: "
                          "apt install gcc-arm-none-eabi libnewlib-arm-none-eabi qemu-system-arm.")


def build(folder: Folder, into: Path, *, boards: Sequence[str] = BOARDS, traced: bool = False) -> Built:
    """Compile, and link for the first of the boards that has room.

    Raises TargetError where tools are missing, where the compiler complains, and where every board is too small.
    """
    check_tools()
    (into / "main.c").write_text(main_source(folder), encoding="utf-8")
    made = into / ("traced.elf" if traced else "plain.elf")
    said = ""
    for board in boards:
        said = link(folder, made, board, traced=traced)
        if not said:
            return Built(made, board, *measure(made))
        if not any(words in said for words in FULL):
            break
    raise TargetError(f"'{folder.path}' cannot be built for the board '{board}': {said.strip()[-1000:]}")


def link(folder: Folder, made: Path, board: str, *, traced: bool) -> str:
    """What the compiler and the linker complain of; nothing where all is well."""
    prefix = folder.prefix
    sources = [str((folder.path / f"{prefix}{end}").resolve()) for end in (".c", "_weights.c")]
    trace = [f"-D{prefix.upper()}_DEBUG", f"-DLAYERS={max(1, len(folder.firmware.calls))}"] if traced else []
    with as_file(files("bitsmith.targets.c") / "cortex_m7") as board_files:
        own = [str(board_files / name) for name in ("startup.c", "semi.c")]
        command = [COMPILER, *FLAGS, *trace, f"-I{board_files}", f"-I{folder.path.resolve()}", *own, *sources, str(made.parent / "main.c"),
                   "-T", str(board_files / f"{board}.ld"), "-o", str(made), "-lm"]
        ran = subprocess.run(command, capture_output=True, text=True, check=False)
    return (ran.stderr or "no reason given") if ran.returncode else ""


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


def run(folder: Folder, built: Built, batch: Mapping[str, Array]) -> tuple[list[bytes], Spent]:
    """Codes of the inputs, [samples, ...] by name -> what the processor writes for each sample, and what it took.

    Raises TargetError where it fails.
    """
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
    return [written[i * size:(i + 1) * size] for i in range(samples)], understood(ran.stderr)


def understood(said: str) -> Spent:
    """From what the program says at its end."""
    found = {word: [int(n) for n in numbers.split()] for word, numbers in re.findall(r"^(\w+):((?: \d+)*)$", said, re.MULTILINE)}
    return Spent(instructions(found["ticks"][0]), tuple(instructions(ticks) for ticks in found["layers"]), found["stack"][0])


def instructions(ticks: int) -> int:
    return round(max(0, ticks - READING) / TICKS)


class Emulated:
    """A folder on an emulated Cortex-M7, until it is closed: what `Compiled` is on this machine.

    plain     the executable, for the first board that it fits
    measured  flash, RAM, and, once it has run, stack in bytes and instructions for one inference
    """

    name = "c on cortex-m7"

    def __init__(self, folder: Folder) -> None:
        self.folder = folder
        self._temporary = tempfile.TemporaryDirectory(prefix="bitsmith-")
        into = Path(self._temporary.name)
        self.plain = build(folder, into)
        self._traced = build(folder, into, traced=True)
        self.measured = {"flash": self.plain.flash, "ram": self.plain.ram}

    def close(self) -> None:
        self._temporary.cleanup()

    def run(self, batch: Mapping[str, Array]) -> dict[str, Array]:
        """Codes of the inputs, [samples, ...] by name -> codes of the outputs."""
        pieces, spent = run(self.folder, self.plain, batch)
        for name, number in (("instructions", spent.instructions), ("stack", spent.stack)):
            self.measured[name] = max(number, self.measured.get(name, 0))
        return collect(pieces, [(door.name, door.stored) for door in self.folder.firmware.outputs])

    def trace(self, batch: Mapping[str, Array]) -> dict[str, Array]:
        """Codes of the inputs -> codes of every value that a kernel makes."""
        return collect(run(self.folder, self._traced, batch)[0], self.folder.traced_values)

    def count_layers(self, batch: Mapping[str, Array]) -> tuple[int, ...]:
        """Instructions that each call takes for the first sample."""
        return run(self.folder, self._traced, {name: codes[:1] for name, codes in batch.items()})[1].layers
