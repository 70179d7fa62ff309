"""Quantizing a network of several gigabytes: seconds and peak memory, beside the size of its file.

    python benchmarks/large.py [--width 8192] [--layers 12]        # 12 matrices of 268 MB: 3.2 GB
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper

RECIPES = ("int8", "weights_int8", "weights_int4")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--width", type=int, default=8192)
    parser.add_argument("--layers", type=int, default=12)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        size = generate(folder, arguments.width, arguments.layers)
        samples = np.random.default_rng(1).standard_normal((8, arguments.width), dtype=np.float32)
        np.savez(folder / "data.npz", x=samples)
        print(f"network: {size / 1e9:.2f} GB\n")
        print("| recipe | seconds | peak of own memory, GB | peak with mapped files, GB |\n|---|---|---|---|")
        for recipe in RECIPES:
            data = ["--data", str(folder / "data.npz")] if recipe == "int8" else []
            output = ["--recipe", recipe, "--refine", "none", "-o", str(folder / "q.onnx")]
            command = [sys.executable, "-m", "bitsmith", "quantize", str(folder / "net.onnx"), *data, *output]
            seconds, own, whole = watch(command)
            print(f"| {recipe} | {seconds:.0f} | {own:.2f} | {whole:.2f} |", flush=True)


def generate(folder: Path, width: int, layers: int) -> int:
    """MatMul and Relu, over and over; the weights beside the file. Returns their bytes."""
    random, nodes, weights, value = np.random.default_rng(0), [], [], "x"
    with (folder / "net.data").open("wb") as file:
        for layer in range(layers):
            place = {"location": "net.data", "offset": str(file.tell()), "length": str(4 * width * width)}
            for _ in range(width):
                file.write((random.standard_normal(width, dtype=np.float32) / np.float32(width**0.5)).tobytes())
            tensor = TensorProto(name=f"w{layer}", data_type=TensorProto.FLOAT, dims=[width, width], data_location=TensorProto.EXTERNAL)
            tensor.external_data.extend(onnx.StringStringEntryProto(key=key, value=said) for key, said in place.items())
            weights.append(tensor)
            nodes.append(helper.make_node("MatMul", [value, f"w{layer}"], [f"m{layer}"]))
            nodes.append(helper.make_node("Relu", [f"m{layer}"], [f"r{layer}"]))
            value = f"r{layer}"
        size = file.tell()
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["samples", width]) for name in ("x", value)]
    graph = helper.make_graph(nodes, "large", ends[:1], ends[1:], weights)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10), folder / "net.onnx")
    return size


def watch(command: list[str]) -> tuple[float, float, float]:
    """Run it: seconds, and the peaks in GB of the memory that is its own and of all that it has in memory, pages of files included."""
    start, own, whole = time.perf_counter(), 0, 0
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    while process.poll() is None:
        try:
            said = dict(line.split(":", 1) for line in Path(f"/proc/{process.pid}/status").read_text().splitlines())
            own, whole = max(own, int(said["RssAnon"].split()[0])), max(whole, int(said["VmRSS"].split()[0]))
        except (OSError, KeyError):
            pass                # it ended between the question and the answer
        time.sleep(0.05)
    if process.returncode:
        raise SystemExit(process.returncode)
    return time.perf_counter() - start, own / 1e6, whole / 1e6


if __name__ == "__main__":
    main()
