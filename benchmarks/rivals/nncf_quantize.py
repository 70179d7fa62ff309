"""NNCF's nncf.quantize on ONNX, with its mixed preset (symmetric weights, asymmetric activations)."""

import argparse
from pathlib import Path

import nncf
import nncf.onnx
import numpy as np
import onnx
import timed


def quantize(model: Path, name: str, samples: np.ndarray, output: Path, arguments: argparse.Namespace) -> None:
    feeds = [{name: samples[i : i + 1]} for i in range(len(samples))]
    quantized = nncf.quantize(
        onnx.load(model), nncf.Dataset(feeds), preset=nncf.QuantizationPreset.MIXED, subset_size=len(feeds),
    )
    onnx.save(quantized, output)


if __name__ == "__main__":
    timed.run(quantize)
