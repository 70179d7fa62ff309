"""The classical comparison on real networks: C in float32, with int8 weights and float arithmetic, in integers, on a Cortex-M7.

    python benchmarks/compare_c.py [--networks mnist_tanh lenet5] [--samples 1000] [--write FOLDER]

mnist_tanh is made here: two layers (784 - 64 - 10) with tanh between, trained on MNIST by numpy for a few seconds; the same versions
give the same network. Instructions are counted by QEMU; accuracy is that of the C, on the first so many test samples.
"""

import argparse
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from real_networks import REAL, Array, RealNetwork, load_module, load_network

import bitsmith as bs
from bitsmith.report.compare_c import write_c_comparison

NETWORKS = ("mnist_tanh", "lenet5", "tiny_resnet8", "tiny_dscnn")
HIDDEN = 64
EPOCHS, BATCH, RATE, MOMENTUM = 10, 100, 0.1, 0.9
MEAN, DEVIATION = 0.1307, 0.3081                # of MNIST's pixels
CALIBRATES = 512
# float32 by onnx2c -O3, counted the same way: instructions, flash, RAM
RIVALS = {"tiny_resnet8": "onnx2c -O3 116.0 M; 319 KB; 209 KB", "tiny_dscnn": "onnx2c -O3 19.5 M; 96 KB; 66 KB"}


def train(x: Array, y: Array) -> dict[str, Array]:
    """Two layers by stochastic gradient descent with momentum on the cross entropy; float64, one seed."""
    random = np.random.default_rng(0)
    sizes = {"w1": (x.shape[1], HIDDEN), "b1": (HIDDEN,), "w2": (HIDDEN, 10), "b2": (10,)}
    p = {n: random.normal(0, s[0]**-0.5, s) if len(s) == 2 else np.zeros(s) for n, s in sizes.items()}
    speed = {n: np.zeros_like(v) for n, v in p.items()}
    for epoch in range(EPOCHS):
        order = random.permutation(len(x))
        rate = RATE * 0.5 * (1 + np.cos(np.pi * epoch / EPOCHS))
        for start in range(0, len(x), BATCH):
            chosen = order[start:start + BATCH]
            for name, slope in slopes(p, x[chosen], y[chosen]).items():
                speed[name] = MOMENTUM * speed[name] - rate * slope
                p[name] = p[name] + speed[name]
    return p


def slopes(p: dict[str, Array], x: Array, y: Array) -> dict[str, Array]:
    """Of the mean cross entropy, by parameter."""
    hidden = np.tanh(x @ p["w1"] + p["b1"])
    logits = hidden @ p["w2"] + p["b2"]
    shares = np.exp(logits - logits.max(1, keepdims=True))
    error = (shares / shares.sum(1, keepdims=True) - np.eye(10)[y]) / len(x)
    inner = error @ p["w2"].T * (1 - hidden**2)
    return {"w1": x.T @ inner, "b1": inner.sum(0), "w2": hidden.T @ error, "b2": error.sum(0)}


def to_onnx(p: dict[str, Array], inputs: int) -> onnx.ModelProto:
    nodes = [helper.make_node("Gemm", ["input", "w1", "b1"], ["linear"], "layer1"),
             helper.make_node("Tanh", ["linear"], ["hidden"], "tanh"),
             helper.make_node("Gemm", ["hidden", "w2", "b2"], ["output"], "layer2")]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", size]) for name, size in (("input", inputs), ("output", 10))]
    weights = [numpy_helper.from_array(v.astype(np.float32), n) for n, v in p.items()]
    graph = helper.make_graph(nodes, "mnist_tanh", ends[:1], ends[1:], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


def make_mnist(folder: Path, into: Path) -> RealNetwork:
    """Train on the 60,000 images, calibrate on some of them, test on the 10,000 others."""
    real = load_module(folder / "real.py")
    (x, y), (test, labels) = ((images.reshape(len(images), -1) / 255.0, np.asarray(found, np.int64))
                              for images, found in (real.mnist("train"), real.mnist("test")))
    x, test = ((a - MEAN) / DEVIATION for a in (x, test))
    path = into / "mnist_tanh.onnx"
    onnx.save(to_onnx(train(x, y), x.shape[1]), path)
    return RealNetwork("mnist_tanh", path, x[:CALIBRATES].astype(np.float32), test.astype(np.float32), labels)


def print_rows(name: str, found: bs.CComparison) -> None:
    for row in found.rows:
        print(f"| {name} | {row.name} | {row.instructions:,} | {row.flash:,} | {row.ram:,} | {row.board} | {100 * (row.top1 or 0):.2f} | "
              f"{100 * (row.agreement or 0):.2f} | {row.apart} | {RIVALS.get(name, '') if row.name == 'float32' else ''} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=NETWORKS)
    parser.add_argument("--real", type=Path, default=REAL)
    parser.add_argument("--samples", type=int, default=1000)
    parser.add_argument("--write", type=Path, default=Path("compare-c"), help="where pages and the trained network go")
    arguments = parser.parse_args()
    arguments.write.mkdir(parents=True, exist_ok=True)
    print("| network | way | instructions | flash | RAM | board | top-1 % | same answer % | apart on the chip | rival, float32 |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    for name in arguments.networks:
        network = make_mnist(arguments.real, arguments.write) if name == "mnist_tanh" else load_network(name, arguments.real)
        limit = arguments.samples
        test = (network.test[:limit], None if network.labels is None else network.labels[:limit])
        loaded = bs.load(str(network.path))
        fed = {loaded.graph.inputs[0].name: test[0], "y": test[1]}
        found = bs.compare_c(loaded, network.calibration, fed, on="cortex-m7")
        write_c_comparison(found, arguments.write / f"{name}.html", name)
        print_rows(name, found)


if __name__ == "__main__":
    main()
