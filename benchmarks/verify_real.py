"""Simulation, integer program and onnxruntime on whole test sets: codes that differ, answers that agree.

    python benchmarks/verify_real.py [--networks resnet20] [--real ../shared/real]
"""

import argparse
import tempfile
import time
from pathlib import Path

from real_networks import NETWORKS, REAL, load_network

import bitsmith as bs


def main() -> None:
    """Both forms of each network: as the target likes it, and everything in int8."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--real", type=Path, default=REAL)
    arguments = parser.parse_args()
    print("| network | form | engines | samples | codes | differ | at most by | same answer | seconds |\n" + "|---" * 9 + "|")
    for name in arguments.networks:
        found = load_network(name, arguments.real)
        for form, recipe in (("default", bs.recipes.int8()), ("everything", bs.recipes.int8().with_everything())):
            with tempfile.TemporaryDirectory() as folder:
                path = bs.quantize(str(found.path), found.calibration, recipe=recipe).write(Path(folder) / "quantized.onnx")[0]
                start = time.perf_counter()
                verified = bs.verify(path, found.test)
            seconds = time.perf_counter() - start
            for pair in verified.comparisons[:0:-1]:
                counts = f"{verified.samples} | {pair.codes} | {pair.differing} | {pair.largest} | {100 * pair.agreement:.2f} %"
                print(f"| {name} | {form} | {pair.first}, {pair.second} | {counts} | {seconds:.0f} |", flush=True)


if __name__ == "__main__":
    main()
