"""Networks as C on an emulated Cortex-M7: instructions, flash, RAM, and whether every code is the integer program's.

    python benchmarks/cortex_m7.py [--networks tiny_resnet8] [--target c:cortex-m] [--requantize shift] [--samples 100] [--layers]
        [--write FOLDER]

Instructions are those of the longest inference, counted by QEMU (-icount); gcc -O2. Flash and RAM are those of the whole executable,
with start-up and reading of files, without the stack.
"""

import argparse
import tempfile
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from real_networks import NETWORKS, REAL, load_network

import bitsmith as bs
from bitsmith.analysis.compiled import codes_of
from bitsmith.cli_parts import chosen_target
from bitsmith.targets.c.cortex_m7 import Emulated
from bitsmith.targets.c.run import Folder
from bitsmith.targets.c.target import ROUNDINGS

WITH_C = [name for name in NETWORKS if name != "ultraface_slim320"]
# TensorFlow Lite Micro with CMSIS-NN, counted the same way: instructions, flash, RAM (arena)
RIVALS = {"tiny_resnet8": (30.03e6, 149_828, 54_996), "tiny_dscnn": (7.64e6, 107_144, 22_820)}


@dataclass(frozen=True)
class Row:
    """One network: what was measured, and (name, kernel, instructions, multiplications, elements) of every layer of the first sample."""

    name: str
    board: str
    samples: int
    codes: int
    differing: int
    macs: int
    measured: dict[str, int]
    layers: Sequence[tuple[str, str, int, int, int]]


def measure(name: str, folder: Path, samples: np.ndarray[Any, Any]) -> Row:
    """Run the samples on the emulated processor, and compare every output code with the program."""
    with closing(Emulated(Folder(folder))) as emulated:
        program, firmware = emulated.folder.program, emulated.folder.firmware
        batch = {next(iter(program.inputs)): samples}
        codes = codes_of(program, batch)
        found, wanted = emulated.run(codes), program.codes(batch, program.outputs)
        counts = emulated.count_layers(codes)
        layers = [(call.result, call.kernel, count, call.macs, firmware.stored[call.result].count)
                  for call, count in zip(firmware.calls, counts, strict=True)]
        return Row(name, emulated.plain.board, len(samples), sum(v.size for v in wanted.values()),
                   sum(int(np.count_nonzero(found[n] != wanted[n])) for n in wanted), sum(call.macs for call in firmware.calls),
                   dict(emulated.measured), layers)


def print_head(*names: str) -> None:
    print(f"| {' | '.join(names)} |\n" + "|---" * len(names) + "|")


def print_networks(rows: Sequence[Row]) -> None:
    print_head("network", "board", "instructions", "per multiplication", "flash", "RAM", "stack", "TFLM + CMSIS-NN", "codes that differ")
    for row in rows:
        m, rival = row.measured, RIVALS.get(row.name)
        theirs = "" if rival is None else f"{rival[0] / 1e6:.2f} M; {rival[1]:,}; {rival[2]:,}"
        print(f"| {row.name} | {row.board} | {m['instructions']:,} | {m['instructions'] / row.macs:.2f} | {m['flash']:,} | {m['ram']:,} | "
              f"{m['stack']} | {theirs} | {row.differing} of {row.codes:,} ({row.samples} samples) |", flush=True)


def print_layers(row: Row) -> None:
    """Each layer's instructions, for a multiplication or, where there is none, for an element that it makes."""
    print(f"\n{row.name}, layer by layer\n")
    print_head("layer", "kernel", "instructions", "multiplications", "per multiplication", "per element")
    for name, kernel, count, macs, elements in row.layers:
        ratio = f"{count / macs:.2f}" if macs else ""
        print(f"| {name} | {kernel} | {count:,} | {macs:,} | {ratio} | {count / max(1, elements):.1f} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", choices=WITH_C, default=WITH_C)
    parser.add_argument("--real", type=Path, default=REAL)
    parser.add_argument("--target", default="c:cortex-m")
    parser.add_argument("--requantize", choices=ROUNDINGS, default=ROUNDINGS[0])
    parser.add_argument("--samples", type=int, default=100)
    parser.add_argument("--layers", action="store_true", help="a table for each network as well")
    parser.add_argument("--write", type=Path, help="keep the folders of C there")
    arguments = parser.parse_args()
    rows, recipe = [], bs.recipes.int8()
    target = chosen_target(arguments.target, arguments.requantize)
    if arguments.requantize == "shift":
        recipe = recipe.with_rules(bs.Rule(power_of_two=True))
    if arguments.write:
        arguments.write.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        for name in arguments.networks:
            found = load_network(name, arguments.real)
            folder = (arguments.write or Path(temporary)) / name
            bs.quantize(str(found.path), found.calibration, recipe=recipe, target=target).write(folder)
            rows.append(measure(name, folder, found.test[:arguments.samples]))
    print_networks(rows)
    for row in rows if arguments.layers else ():
        print_layers(row)


if __name__ == "__main__":
    main()
