"""bitsmith itself, through its public door."""

import argparse
from pathlib import Path

import numpy as np
import timed

import bitsmith as bs


def bitsmith_column(model: Path, name: str, samples: np.ndarray, output: Path, arguments: argparse.Namespace) -> None:
    quantized = bs.quantize(str(model), samples, target="onnxruntime")
    quantized.write(output)


if __name__ == "__main__":
    timed.run(bitsmith_column)
