"""When int8 is faster than float32 in onnxruntime: what single layers cost beside what `bitsmith.targets.onnx.speed` says of them,
and what whole networks cost in float32, all in int8, and in the mixture that bitsmith chooses.

    python benchmarks/latency_study.py layers       # run on another processor, these figures are where to fit the rates anew
    python benchmarks/latency_study.py networks     # needs the real networks, see real_networks.py
"""

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import latency
import numpy as np
import onnx
import onnxruntime
from onnx import helper, numpy_helper
from real_networks import NETWORKS, REAL, load_network

import bitsmith as bs
from bitsmith.targets.onnx.fastest import total
from bitsmith.targets.onnx.forms import Layers, faster_in_float
from bitsmith.targets.onnx.speed import Cost, convolution

PROFILER = 1.9      # µs that onnxruntime's profiler adds to a node
SAMPLES = 32


class Convolution(NamedTuple):
    """A square convolution with as much padding as keeps the size."""

    deep: int
    wide: int
    kernel: int
    stride: int
    side: int
    group: int = 1


LAYERS = [
    *(Convolution(c, c, 1, 1, side) for c, side in ((16, 56), (32, 28), (64, 14), (64, 56), (128, 14), (256, 7), (256, 14))),
    Convolution(16, 32, 1, 1, 56), Convolution(8, 16, 1, 1, 112), Convolution(24, 96, 1, 1, 28), Convolution(20, 50, 1, 1, 28),
    *(Convolution(c, c, 3, 1, side) for c, side in ((16, 16), (16, 32), (32, 16), (64, 8), (64, 32), (128, 16))),
    Convolution(32, 64, 3, 2, 16), Convolution(20, 50, 5, 1, 12), Convolution(16, 8, 3, 1, 32),
    Convolution(3, 16, 3, 1, 32), Convolution(3, 8, 3, 2, 224), Convolution(3, 64, 7, 2, 112), Convolution(1, 20, 5, 1, 28),
    *(Convolution(c, c, 3, 1, side, c) for c, side in ((16, 112), (16, 28), (32, 56), (64, 14), (64, 28), (128, 28), (256, 14))),
    Convolution(8, 8, 3, 1, 112, 8), Convolution(40, 40, 3, 1, 28, 40), Convolution(64, 64, 3, 2, 28, 64),
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", choices=("layers", "networks"))
    parser.add_argument("--real", type=Path, default=REAL, help="folder of the real networks")
    arguments = parser.parse_args()
    if arguments.study == "layers":
        study_layers()
    else:
        study_networks(arguments.real)


def study_layers() -> None:
    """Profile each layer between two others, so that it has the layout that it would have in a network."""
    print("| C in | C out | kernel | stride | side | groups | float32 µs | told | int8 µs | told |\n" + "|---" * 10 + "|")
    for layer in LAYERS:
        model, side = build(layer), -(-layer.side // layer.stride)
        weights = (layer.wide, layer.deep // layer.group, layer.kernel, layer.kernel)
        told = convolution((1, layer.wide, side, side), weights, group=layer.group)
        measured = Cost(profile(model), profile(quantized(model)))
        cells = (*layer, f"{measured.real:.1f}", f"{told.real:.1f}", f"{measured.int8:.1f}", f"{told.int8:.1f}")
        print("| " + " | ".join(map(str, cells)) + " |", flush=True)


def build(layer: Convolution) -> onnx.ModelProto:
    """[pointwise ->] the layer, named 'studied', -> pointwise; thin layers are their network's first."""
    random = np.random.default_rng(0)
    thin = layer.deep < 8
    shapes = [] if thin else [("lead", 16, layer.deep, 1, 1, 1)]
    shapes += [("studied", layer.deep, layer.wide, layer.kernel, layer.stride, layer.group), ("tail", layer.wide, 16, 1, 1, 1)]
    nodes, constants, value = [], [], "input"
    for name, deep, wide, kernel, stride, group in shapes:
        weights = random.normal(0, (deep // group * kernel**2) ** -0.5, (wide, deep // group, kernel, kernel)).astype(np.float32)
        constants.append(numpy_helper.from_array(weights, f"{name}.weight"))
        constants.append(numpy_helper.from_array(np.zeros(wide, np.float32), f"{name}.bias"))
        attributes = {"kernel_shape": [kernel] * 2, "strides": [stride] * 2, "pads": [kernel // 2] * 4, "group": group}
        nodes.append(helper.make_node("Conv", [value, f"{name}.weight", f"{name}.bias"], [f"{name}_out"], name=name, **attributes))
        nodes.append(helper.make_node("Relu", [f"{name}_out"], [f"{name}_relu"], name=f"{name}_relu"))
        value = f"{name}_relu"
    given = helper.make_tensor_value_info("input", onnx.TensorProto.FLOAT, [1, layer.deep if thin else 16, layer.side, layer.side])
    made = helper.make_tensor_value_info(value, onnx.TensorProto.FLOAT, None)
    graph = helper.make_graph(nodes, "layer", [given], [made], constants)
    return onnx.shape_inference.infer_shapes(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10))


def sample_of(model: onnx.ModelProto) -> dict[str, np.ndarray[Any, Any]]:
    shape = [d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim]
    return {"input": np.random.default_rng(1).normal(size=shape).astype(np.float32)}


def quantized(model: onnx.ModelProto) -> onnx.ModelProto:
    """Every layer in int8."""
    with tempfile.TemporaryDirectory() as folder:
        return onnx.load(write(bs.load(model), sample_of(model), Path(folder) / "int8.onnx", everything=True))


def write(network: Any, data: Any, path: Path, *, everything: bool) -> Path:
    """The quantized file."""
    recipe = bs.recipes.int8().with_everything() if everything else bs.recipes.int8()
    plan = bs.make_plan(network, bs.calibrate(network, data), recipe=recipe)
    bs.write(network, plan, path)
    return path


def profile(model: onnx.ModelProto, runs: int = 100) -> float:
    """Microseconds of the studied convolution, the mean of the quicker half of the runs, less what the profiler adds."""
    with tempfile.TemporaryDirectory() as folder:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.log_severity_level = 1, 3
        options.enable_profiling, options.profile_file_prefix = True, f"{folder}/profile"
        session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        for _ in range(runs):
            session.run(None, sample_of(model))
        events = json.loads(Path(session.end_profiling()).read_text())
    times: dict[str, list[int]] = {}
    for event in events:
        if event["name"].endswith("_kernel_time") and "Conv" in event["args"]["op_name"]:
            times.setdefault(event["name"], []).append(event["dur"])
    convolutions = list(times.values())
    studied = sorted(convolutions[0 if len(convolutions) == 2 else 1])
    return float(np.mean(studied[: len(studied) // 2])) - PROFILER


def study_networks(real: Path) -> None:
    """Each network in three forms: predicted and measured."""
    print("| network | form | told µs | µs | of float32 | kB | left in float32 |\n" + "|---" * 7 + "|")
    for name in NETWORKS:
        found = load_network(name, real)
        network = bs.load(str(found.path))
        layers, advice = Layers.of(network.graph), faster_in_float(network.graph)
        able = frozenset(n for n, c in layers.costs.items() if c.int8 != float("inf"))
        told = {"float32": frozenset(), "everything": able, "mixed": able - advice.keys()}
        with tempfile.TemporaryDirectory() as folder:
            files = {"float32": found.path}
            for form in ("everything", "mixed"):
                files[form] = write(network, found.calibration[:SAMPLES], Path(folder) / f"{form}.onnx", everything=form == "everything")
            sessions = {form: latency.open_session(str(path)) for form, path in files.items()}
            given = next(iter(sessions.values())).get_inputs()[0].name
            measured = latency.compare(sessions, {given: found.test[:1]})
            for form, path in files.items():
                ratio, left = measured[form].least / measured["float32"].least, ", ".join(advice) if form == "mixed" else ""
                expected, size = total(layers.costs, layers.links, told[form]), path.stat().st_size / 1000
                print(f"| {name} | {form} | {expected:.0f} | {measured[form].least:.1f} | {ratio:.3f} | {size:.0f} | {left} |", flush=True)


if __name__ == "__main__":
    main()
