"""C against the integer program on whole test sets: every output code, accuracy, sizes, and how long one sample takes on this machine.

    python benchmarks/verify_c.py [--real ../shared/real] [--target c] [--samples 10000] [networks ...]
"""

import argparse
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import bitsmith as bs
from bitsmith.targets.c.run import Folder, collect, door_bytes

NETWORKS = {"lenet300": "mnist", "lenet5": "mnist", "tiny_dscnn": "kws", "tiny_resnet8": "cifar10", "mobilenet_v1_025_224": "imagenet",
            "resnet20": "cifar10"}
CHUNK = 250
FAST = ("-O3", "-march=native", "-ffp-contract=off", "-DNET_KERNEL=static inline __attribute__((always_inline))")


@dataclass
class Row:
    """One network's figures."""

    network: str
    samples: int
    codes: int
    differing: int
    top1: float
    tables: int
    arena: int
    least_arena: int
    microseconds: float


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("networks", nargs="*", default=list(NETWORKS))
    asked.add_argument("--real", type=Path, default=Path(__file__).resolve().parents[2] / "shared" / "real")
    asked.add_argument("--target", default="c")
    asked.add_argument("--recipe", default="int8")
    asked.add_argument("--samples", type=int, default=10000)
    given = asked.parse_args()
    sys.path.insert(0, str(given.real))
    print("| network | samples | codes | differ | top-1 % | tables | arena | least | us / sample |\n|---|---|---|---|---|---|---|---|---|")
    for name in given.networks:
        r = measure(name, given.target, given.recipe, given.samples)
        counts = f"{r.samples:,} | {r.codes:,} | {r.differing} | {r.top1:.2f}"
        print(f"| {r.network} | {counts} | {r.tables:,} | {r.arena:,} | {r.least_arena:,} | {r.microseconds:.0f} |", flush=True)


def measure(name: str, target: str, recipe: str, samples: int) -> Row:
    """Quantize, write, compile twice (as the folder says and as fast as can be), run everything."""
    import real

    calibration = real.inputs(name, "train", limit=512)[0] if NETWORKS[name] in ("mnist", "cifar10") else calibrated_on(real, name)
    result = bs.quantize(str(real.model(name)), {"input": calibration}, recipe=recipe, target=target)
    x, y = real.inputs(name, limit=samples)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "c"
        result.write(folder)
        return compare(name, Folder(folder), x, y)


def calibrated_on(real: Any, name: str) -> Any:
    """Every fifth image, or the first hundred sounds."""
    x = real.inputs(name)[0]
    return x[:100] if name == "tiny_dscnn" else x[::5]


def compare(name: str, folder: Folder, x: Any, y: Any) -> Row:
    """Chunk by chunk, so that nothing grows with the number of samples."""
    program, firmware = folder.program, folder.firmware
    (source,), (output,) = program.inputs, program.outputs
    executable = build(folder)
    outputs = [(door.name, door.stored) for door in firmware.outputs]
    differing = total = right = 0
    seconds = 0.0
    for start in range(0, len(x), CHUNK):
        codes = program.inputs[source].quantize(x[start:start + CHUNK])
        expected = program.codes({source: x[start:start + CHUNK]}, [output])[output]
        given = b"".join(door_bytes(firmware.inputs[0], sample) for sample in codes)
        began = time.perf_counter()
        written = subprocess.run([executable], input=given, capture_output=True, check=True).stdout
        seconds += time.perf_counter() - began
        size = len(written) // len(codes)
        found = collect([written[i * size:(i + 1) * size] for i in range(len(codes))], outputs)[output]
        differing += int(np.count_nonzero(found != expected))
        total += expected.size
        right += int((found.reshape(len(found), -1).argmax(1) == y[start:start + CHUNK]).sum())
    return Row(name, len(x), total, differing, 100 * right / len(x), firmware.table_bytes, firmware.arena.size,
               firmware.arena.lower_bound, 1e6 * seconds / len(x))


def build(folder: Folder) -> Path:
    executable = folder.path / "fast"
    sources = [folder.path / name for name in ("net.c", "net_weights.c", "main.c")]
    subprocess.run(["gcc", "-std=c99", *FAST, *sources, "-o", executable], check=True)
    return executable


if __name__ == "__main__":
    main()
