"""onnxruntime's own quantize_static: uint8 activations, int8 weights, Q/DQ."""

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import timed
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantType, quantize_static


class Samples(CalibrationDataReader):
    """One sample at a time, as onnxruntime's examples do."""

    def __init__(self, name: str, samples: np.ndarray) -> None:
        self.feeds: Iterator[dict[str, np.ndarray]] = ({name: samples[i : i + 1]} for i in range(len(samples)))

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self.feeds, None)


def quantize(model: Path, name: str, samples: np.ndarray, output: Path, arguments: argparse.Namespace) -> None:
    quantize_static(
        str(model), str(output), Samples(name, samples),
        per_channel=arguments.per_channel, calibrate_method=CalibrationMethod[arguments.method],
        activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8,
    )


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--per-channel", action="store_true")
    parser.add_argument("--method", default="MinMax")


if __name__ == "__main__":
    timed.run(quantize, options)
