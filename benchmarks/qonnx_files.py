"""QONNX files in the package qonnx: every tensor against our simulation, and every code against onnxruntime and the integer program.

    pip install qonnx
    python benchmarks/qonnx_files.py [--networks lenet5] [--samples 8] [--real ../shared/real]
"""

import argparse
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import onnxruntime
from qonnx.core import onnx_exec
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.transformation.infer_shapes import InferShapes
from real_networks import NETWORKS, REAL, Array, load_network

import bitsmith as bs
from bitsmith.running.session import Session

RECIPES = {"int8": bs.recipes.int8(), "int8, powers of two": bs.recipes.int8().with_rules(bs.Rule(power_of_two=True)),
           "int4": bs.recipes.int4()}
READ_BY_ALL = 10        # version of ONNX's file format


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--networks", nargs="+", choices=NETWORKS, default=["lenet5", "resnet20", "tiny_resnet8", "tiny_dscnn"])
    asked.add_argument("--samples", type=int, default=8, help="qonnx computes node by node, and that is slow")
    asked.add_argument("--real", type=Path, default=REAL)
    given = asked.parse_args()
    run_nodes_as_they_are()
    print("| network | recipe | samples | tensors | numbers | qonnx, simulation | codes | qonnx, program | onnxruntime, program |")
    print("|---" * 9 + "|")
    for name in given.networks:
        found = load_network(name, given.real)
        for title, recipe in RECIPES.items():
            result = bs.quantize(str(found.path), found.calibration, recipe=recipe, target="qonnx")
            print(f"| {name} | {title} | {given.samples} | {compare(result, found.test[:given.samples])} |", flush=True)


def run_nodes_as_they_are() -> None:
    """qonnx makes a file of each node in the latest format, which onnxruntime may not read yet, and lets it be optimised: a single
    convolution is then another kernel, whose float sums have another order.
    """
    made, options = onnx_exec.qonnx_make_model, onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    onnx_exec.qonnx_make_model = lambda graph: made(graph, ir_version=READ_BY_ALL)
    onnx_exec.rt = SimpleNamespace(InferenceSession=lambda content: onnxruntime.InferenceSession(content, options))


def compare(result: bs.Quantized, x: Array) -> str:
    """How many numbers differ, as cells of the table."""
    source, simulated = result.network.graph.inputs[0].name or "", result.network
    with tempfile.TemporaryDirectory() as folder:
        theirs = execute(result.write(Path(folder) / "net.onnx")[0], source, x)
    tensors = [v.name or "" for node in simulated.graph for v in node.outputs if v.name in theirs]
    ours = Session(simulated, tensors, optimise=False).run({source: x})
    apart = sum(int(np.count_nonzero(ours[name] != theirs[name])) for name in tensors)
    numbers = sum(ours[name].size for name in tensors)
    encodings = result.plan.encodings
    coded = [name for name in result.program.encodings if f"{name}_dequantized" in theirs]
    codes = result.program.codes({source: x}, coded)
    off = sum(int(np.count_nonzero(codes[n] != encodings[n].quantize(theirs[f"{n}_dequantized"]))) for n in coded)
    optimised = Session(simulated, [f"{n}_quantized" for n in coded]).run({source: x})
    other = sum(int(np.count_nonzero(codes[n] != optimised[f"{n}_quantized"])) for n in coded)
    return f"{len(tensors)} | {numbers:,} | {apart} | {sum(c.size for c in codes.values()):,} | {off:,} | {other:,}"


def execute(path: Path, source: str, x: Array) -> dict[str, Any]:
    """Every tensor, from the file fixed to the number of samples."""
    model = onnx.load(path)
    for value in (*model.graph.input, *model.graph.output, *model.graph.value_info):
        for size in value.type.tensor_type.shape.dim:
            if size.dim_param:
                size.dim_value = len(x)
    shaped = ModelWrapper(model).transform(InferShapes())
    found: dict[str, Any] = onnx_exec.execute_onnx(shaped, {source: x}, return_full_exec_context=True)
    return found


if __name__ == "__main__":
    main()
