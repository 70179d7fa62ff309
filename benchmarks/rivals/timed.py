"""What every rival's script shares: arguments, the clock, the peak of memory, and one line of JSON. Runs in the rival's own environment.

Imports happen before the clock starts, and so does the reading of data; calibration, quantization and writing are timed.
"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

Quantize = Callable[[Path, str, np.ndarray, Path, argparse.Namespace], None]


def peak_megabytes() -> float:
    """The process's own peak (VmHWM). getrusage would tell that of the process that started this one, where it was higher."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def no_options(parser: argparse.ArgumentParser) -> None:
    """The rival has nothing to choose."""


def no_repair(output: Path) -> None:
    """The rival's file is good as it is."""


def run(quantize: Quantize, options: Callable[[argparse.ArgumentParser], None] = no_options,
        repair: Callable[[Path], None] = no_repair) -> None:
    """Call `quantize(model, input name, samples, output file, arguments)` once and print its seconds and the process's peak.

    `repair` mends a file that onnxruntime would refuse; its time is not counted.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("model", type=Path)
    parser.add_argument("data", type=Path, help=".npz with one array, named as the network's input")
    parser.add_argument("output", type=Path)
    options(parser)
    arguments = parser.parse_args()
    with np.load(arguments.data, allow_pickle=False) as pack:
        name = pack.files[0]
        samples = pack[name]
    begin = time.perf_counter()
    quantize(arguments.model, name, samples, arguments.output, arguments)
    seconds = time.perf_counter() - begin
    peak = peak_megabytes()
    repair(arguments.output)
    print(json.dumps({"seconds": seconds, "peak_mb": peak}), flush=True)
