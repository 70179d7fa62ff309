"""Real networks, with the data that calibrate and test them. They lie beside the project, not in it: ../shared/real."""

import importlib.util
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
REAL = Path(__file__).resolve().parents[2] / "shared" / "real"
TRAINED_ON = 512            # images of the training part
EVERY = {"mobilenet_v1_025_224": 5, "tiny_dscnn": 10, "ultraface_slim320": 10}      # there is one part only: each n-th sample calibrates
NETWORKS = ("lenet300", "lenet5", "resnet20", "tiny_resnet8", "tiny_dscnn", "mobilenet_v1_025_224", "ultraface_slim320")


@dataclass(frozen=True)
class RealNetwork:
    """path         of the float network
    calibration  samples to calibrate with
    test         samples to test with, and their labels; None where there are none
    """

    name: str
    path: Path
    calibration: Array
    test: Array
    labels: Array | None


def load_network(name: str, folder: Path = REAL) -> RealNetwork:
    """A network and its data. Raises SystemExit, saying what is missing, where the folder is not there."""
    if not folder.is_dir():
        raise SystemExit(f"The real networks are not in {folder}; name their folder with --real.")
    real = load_module(folder / "real.py")
    x, y = real.inputs(name, "test")
    if name not in EVERY:
        return RealNetwork(name, real.model(name), real.inputs(name, "train", limit=TRAINED_ON)[0], x, y)
    calibrates = np.arange(len(x)) % EVERY[name] == 0
    return RealNetwork(name, real.model(name), x[calibrates], x[~calibrates], None if y is None else y[~calibrates])


def load_module(path: Path) -> ModuleType:
    """A Python file that is not on the path."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
