"""One sample on one thread of this x86: the compiled C beside onnxruntime, all in turn within one process.

    taskset -c 1 python benchmarks/x86.py [--networks tiny_resnet8] [--seconds 10]

Microseconds of the quickest run of each. onnxruntime's int8 is the quicker of two files, all in int8 and as the target `onnxruntime`
mixes; `exact` is the same with session.x64quantprecision=1: without VNNI its default saturates pairs of products, so that codes differ.
"""

import argparse
import ctypes
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from real_networks import REAL, RealNetwork, load_network

import bitsmith as bs
from bitsmith.planning.recipes import int8
from bitsmith.targets.c.run import Folder, door_bytes

NETWORKS = ("lenet5", "tiny_resnet8", "tiny_dscnn", "resnet20", "mobilenet_v1_025_224")
TARGETS = {"C, portable": "c", "C, x86": "c:x86", "C, x86, channels last": "c:x86,channels-last"}
COMPILE = ("gcc", "-std=c99", "-O3", "-march=native", "-ffp-contract=off", "-shared", "-fPIC")
COLUMNS = ("float", "int8", "int8 exact", *TARGETS)
Run = Callable[[], object]


def session_run(model: Path, sample: np.ndarray[Any, Any], *, exact: bool) -> Run:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    if exact:
        options.add_session_config_entry("session.x64quantprecision", "1")
    session = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    given = {session.get_inputs()[0].name: sample}
    return lambda: session.run(None, given)


def compiled_run(path: Path, sample: np.ndarray[Any, Any]) -> Run:
    """Codes are copied in before each run, as their memory is used again."""
    folder = Folder(path)
    library = path / "net.so"
    subprocess.run([*COMPILE, path / "net.c", path / "net_weights.c", "-o", library], check=True)
    (name, encoding), (door,) = next(iter(folder.program.inputs.items())), folder.firmware.inputs
    assert encoding is not None
    codes = door_bytes(door, encoding.quantize(sample)[0])
    net = ctypes.CDLL(str(library))
    arena = (ctypes.c_uint64 * (folder.firmware.arena.size // 8 + 1))()
    place = getattr(net, f"net_{name}")
    place.restype = ctypes.c_void_p
    spot = place(arena)

    def run() -> None:
        ctypes.memmove(spot, codes, len(codes))
        net.net_run(arena)

    return run


def prepare(found: RealNetwork, folder: Path) -> dict[str, Run]:
    """All that is to be timed, by name."""
    sample = found.test[:1].astype(np.float32)
    runs = {"float": session_run(found.path, sample, exact=False)}
    for kind, recipe in (("mixed", int8()), ("all", int8().with_everything())):
        path = folder / f"{kind}.onnx"
        bs.quantize(str(found.path), found.calibration, recipe=recipe).write(path)
        runs |= {f"{kind} {exact}": session_run(path, sample, exact=exact) for exact in (False, True)}
    for name, target in TARGETS.items():
        path = folder / name.replace(", ", "-").replace(" ", "-")
        bs.quantize(str(found.path), found.calibration, target=target).write(path)
        runs[name] = compiled_run(path, sample)
    return runs


def quickest(runs: Mapping[str, Run], seconds: float) -> dict[str, float]:
    """Microseconds of the quickest run of each, in turns of a few, the first of which only warms up."""
    least = dict.fromkeys(runs, float("inf"))
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        for name, run in runs.items():
            run()
            for _ in range(5):
                begin = time.perf_counter()
                run()
                least[name] = min(least[name], 1e6 * (time.perf_counter() - begin))
    return least


def row(name: str, least: Mapping[str, float]) -> str:
    """The network's figures, and the last one beside both of onnxruntime's int8."""
    figures = {**least, "int8": min(least["mixed False"], least["all False"]), "int8 exact": min(least["mixed True"], least["all True"])}
    best = min(figures[target] for target in TARGETS)
    ratios = (f"{best / figures[rival]:.2f}" for rival in ("int8", "int8 exact"))
    return f"| {name} | {' | '.join(f'{figures[column]:.0f}' for column in COLUMNS)} | {' | '.join(ratios)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=NETWORKS)
    parser.add_argument("--real", type=Path, default=REAL)
    parser.add_argument("--seconds", type=float, default=10)
    arguments = parser.parse_args()
    titles = ("network", *COLUMNS, "x86 / int8", "x86 / int8 exact")
    print(f"| {' | '.join(titles)} |\n{'|---' * len(titles)}|", flush=True)
    for name in arguments.networks:
        with tempfile.TemporaryDirectory() as temporary:
            print(row(name, quickest(prepare(load_network(name, arguments.real), Path(temporary)), arguments.seconds)), flush=True)


if __name__ == "__main__":
    main()
