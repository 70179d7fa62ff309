"""The demonstration: a network and data that ship with the package, through the whole chain."""

from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path

from bitsmith.analysis.evaluate import Evaluation
from bitsmith.analysis.verify import Verification
from bitsmith.planning.recipes import int8
from bitsmith.workflow import Quantized, Steps, evaluate, load, quantize, verify

DEMONSTRATION = "digits.int8.onnx"
ENGINES = ("onnxruntime", "simulated", "program")


@dataclass(frozen=True)
class Demonstration:
    """What the demo measured: the float network, and the file that was written, by engine."""

    result: Quantized
    original: Path
    written: list[Path]
    evaluations: dict[str, Evaluation]
    verification: Verification


def demonstrate(folder: Path, steps: Steps) -> Demonstration:
    """Quantize the digits network, write it into the folder, evaluate it with every engine and verify it."""
    with as_file(files("bitsmith") / "data") as shipped:
        original, data, test = (shipped / name for name in ("digits.onnx", "digits-calibration.npz", "digits-test.npz"))
        result = quantize(load(original), data, test=test, recipe=int8().with_everything(), progress=steps)
        written = result.write(folder / DEMONSTRATION)
        evaluations = {engine: evaluate(written[0], test, against=original, engine=engine) for engine in ENGINES}
        return Demonstration(result, original, written, evaluations, verify(written[0], test))
