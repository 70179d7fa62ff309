"""Scales that are powers of two: C, its integer program and onnxruntime on the same plan, every code of every value.

    python benchmarks/verify_shift.py [--real ../shared/real] [--samples 10000] [networks ...]
"""

import argparse
import tempfile
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

import numpy as np
from real_networks import REAL, Array, RealNetwork, load_network

import bitsmith as bs
from bitsmith.analysis.compiled import codes_of
from bitsmith.analysis.engines import Subject
from bitsmith.targets.c.run import Compiled, Folder

NETWORKS = ("lenet5", "tiny_resnet8", "resnet20")
CHUNK = 100


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("networks", nargs="*", default=NETWORKS)
    asked.add_argument("--real", type=Path, default=REAL)
    asked.add_argument("--samples", type=int, default=10000)
    given = asked.parse_args()
    print("| network | samples | codes | C, program: differ | onnxruntime, program: differ |\n|---|---|---|---|---|")
    for name in given.networks:
        print("|", " | ".join(measure(load_network(name, given.real), given.samples)), "|", flush=True)


def measure(network: RealNetwork, samples: int) -> list[str]:
    """One row."""
    recipe = bs.recipes.int8().with_rules(bs.Rule(power_of_two=True))
    result = bs.quantize(network.path, network.calibration, recipe=recipe, target="c:shift")
    test = network.test[:samples]
    with tempfile.TemporaryDirectory() as temporary:
        result.write(Path(temporary) / "c")
        with closing(Compiled(Folder(Path(temporary) / "c"))) as compiled:
            return [network.name, f"{len(test):,}", *(f"{count:,}" for count in compare(compiled, Subject(result.network), test))]


def compare(compiled: Compiled, written: Subject, test: Array) -> tuple[int, int, int]:
    """(codes that all three make, those of C that differ from the program's, those of onnxruntime that do)."""
    program, (engines, values) = compiled.folder.program, written.codes_engines()
    values = [name for name, _ in compiled.folder.traced_values if name in values]
    (source,) = program.inputs
    total = by_c = by_runtime = 0
    for start in range(0, len(test), CHUNK):
        batch = {source: test[start:start + CHUNK]}
        expected = program.codes(batch, values)
        total += sum(expected[name].size for name in values)
        by_c += differing(compiled.trace(codes_of(program, batch)), expected, values)
        by_runtime += differing(engines["onnxruntime"](batch).codes, expected, values)
    return total, by_c, by_runtime


def differing(found: Mapping[str, Array], expected: Mapping[str, Array], values: list[str]) -> int:
    return sum(int(np.count_nonzero(found[name] != expected[name])) for name in values)


if __name__ == "__main__":
    main()
