"""Peak memory of quantization for more and more images: it must not grow with their number.

    python benchmarks/memory.py [--network resnet20] [--real ../shared/real]
"""

import argparse
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from real_networks import REAL, load_network

IMAGES = (500, 5000)


def main() -> None:
    """A process for each number of images, each fed from a file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", default="resnet20")
    parser.add_argument("--real", type=Path, default=REAL)
    parser.add_argument("--run", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.run:
        measure(*arguments.run)
        return
    found = load_network(arguments.network, arguments.real)
    print("| images | peak MB |\n|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for count in IMAGES:
            path = Path(folder) / f"{count}.npz"
            np.savez(path, x=np.resize(found.test, (count, *found.test.shape[1:])))
            command = [sys.executable, __file__, "--run", str(found.path), str(path)]
            print(f"| {count} | {subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()} |", flush=True)


def measure(network: str, data: str) -> None:
    """Quantize and print the peak memory of this process."""
    import bitsmith as bs

    with tempfile.TemporaryDirectory() as folder:
        bs.quantize(network, data).write(Path(folder) / "quantized.onnx")
    print(round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000))


if __name__ == "__main__":
    main()
