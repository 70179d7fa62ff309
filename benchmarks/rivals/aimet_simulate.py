"""AIMET for ONNX: a simulation with 8-bit weights per channel and 8-bit activations, min/max, written as Q/DQ."""

import argparse
from pathlib import Path

import aimet_onnx
import numpy as np
import onnx
import timed


def quantize(model: Path, name: str, samples: np.ndarray, output: Path, arguments: argparse.Namespace) -> None:
    simulation = aimet_onnx.QuantizationSimModel(
        onnx.load(model), param_type="int8", activation_type="int8", quant_scheme="min_max", providers=["CPUExecutionProvider"],
    )
    step = arguments.batch
    simulation.compute_encodings([{name: samples[i : i + step]} for i in range(0, len(samples), step)])
    onnx.save(simulation.to_onnx_qdq(), output)


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--batch", type=int, default=32)


if __name__ == "__main__":
    timed.run(quantize, options)
