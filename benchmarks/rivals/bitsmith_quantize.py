"""bitsmith itself, through its public door. What that imports on first use is imported before the clock starts, as in the others."""

import argparse
from pathlib import Path

import numpy as np
import onnxruntime  # noqa: F401
import timed

import bitsmith as bs
import bitsmith.workflow


def bitsmith_column(model: Path, name: str, samples: np.ndarray, output: Path, arguments: argparse.Namespace) -> None:
    recipe = bs.recipes.int8()
    quantized = bs.quantize(str(model), samples, recipe=recipe.with_everything() if arguments.everything else recipe, target="onnxruntime")
    quantized.write(output)


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--everything", action="store_true")


if __name__ == "__main__":
    timed.run(bitsmith_column, options)
