"""The demonstration's three files are what their README says, and come from where it says."""

import importlib.util
import re
from importlib.resources import files
from pathlib import Path
from types import ModuleType

import numpy as np
import onnx
import onnxruntime
import pytest

DATA = Path(str(files("bitsmith"))) / "data"
README = (DATA / "README.md").read_text()
SCRIPT = Path(__file__).parents[2] / "scripts" / "train_digits.py"
PARTS = {"calibration": 200, "test": 500}


def load(part: str) -> tuple[np.ndarray, np.ndarray]:
    with np.load(DATA / f"digits-{part}.npz", allow_pickle=False) as arrays:
        assert sorted(arrays) == ["pixels", "y"]
        return arrays["pixels"], arrays["y"]


def right(part: str) -> int:
    pixels, labels = load(part)
    session = onnxruntime.InferenceSession(DATA / "digits.onnx", providers=["CPUExecutionProvider"])
    (logits,) = session.run(["logits"], {"pixels": pixels.astype(np.float32)})
    return int(np.sum(logits.argmax(axis=1) == labels))


@pytest.fixture(scope="module")
def model() -> onnx.ModelProto:
    return onnx.load(DATA / "digits.onnx", load_external_data=False)


@pytest.fixture(scope="module")
def script() -> ModuleType:
    pytest.importorskip("torch", reason="the training script needs the extra 'torch'")
    pytest.importorskip("sklearn", reason="the training script needs the extra 'dev'")
    spec = importlib.util.spec_from_file_location("train_digits", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_accuracy_is_as_stated() -> None:
    stated = re.search(r"gets (\d+\.\d+) % of the test images right \((\d+) of 500", README)
    assert stated is not None
    assert right("test") == int(stated[2])
    assert float(stated[1]) == pytest.approx(int(stated[2]) / 5)
    assert float(stated[1]) >= 98.5


def test_sizes_are_as_stated() -> None:
    stated = {name: int(size.replace(",", "")) for name, size in re.findall(r"^\| `(\S+)` \|.*\| ([\d,]+) \|$", README, re.M)}
    assert stated == {path.name: path.stat().st_size for path in DATA.iterdir() if path.suffix in (".onnx", ".npz")}
    assert len(stated) == 3
    assert sum(stated.values()) < 300_000


def test_parameters_are_as_stated(model: onnx.ModelProto) -> None:
    trained = sum(int(np.prod(t.dims)) for t in model.graph.initializer if ".running_" not in t.name)
    assert f"{trained:,} parameters" in README


@pytest.mark.parametrize("part", PARTS)
def test_arrays(part: str) -> None:
    pixels, labels = load(part)
    assert pixels.shape == (PARTS[part], 1, 8, 8)
    assert labels.shape == (PARTS[part],)
    assert pixels.dtype == labels.dtype == np.uint8
    assert (pixels.min(), pixels.max()) == (0, 16)
    counts = np.bincount(labels, minlength=10)
    assert counts.max() - counts.min() <= 0.12 * counts.mean()


def test_every_image_is_from_the_named_source_once() -> None:
    digits = pytest.importorskip("sklearn.datasets").load_digits()
    source = {image.astype(np.uint8).tobytes(): int(label) for image, label in zip(digits.images, digits.target, strict=True)}
    seen = [(image.tobytes(), int(label)) for part in PARTS for image, label in zip(*load(part), strict=True)]
    assert all(source[image] == label for image, label in seen)
    assert len(set(seen)) == len(seen) == 700


def test_network_is_whole_and_in_order(model: onnx.ModelProto) -> None:
    onnx.checker.check_model(model, full_check=True)
    assert [(o.domain, o.version) for o in model.opset_import] == [("", 21)]
    assert {t.data_location for t in model.graph.initializer} == {onnx.TensorProto.DEFAULT}
    assert all(t.raw_data and not t.external_data for t in model.graph.initializer)


def test_network_speaks_the_users_words(model: onnx.ModelProto) -> None:
    shapes = {v.name: [d.dim_param or d.dim_value for d in v.type.tensor_type.shape.dim] for v in (*model.graph.input, *model.graph.output)}
    assert shapes == {"pixels": ["batch", 1, 8, 8], "logits": ["batch", 10]}
    weights = {tensor.name for tensor in model.graph.initializer}
    assert {"stem.weight", "separable.depthwise.weight", "residual.first.weight", "classifier.bias"} <= weights
    assert {"/stem/Conv", "/residual/Add", "/classifier/Gemm"} <= {n.name for n in model.graph.node}


def test_network_has_one_of_each(model: onnx.ModelProto) -> None:
    kinds = [node.op_type for node in model.graph.node]
    assert {kind: kinds.count(kind) for kind in set(kinds) - {"Constant"}} == {
        "Conv": 5, "BatchNormalization": 5, "Relu": 4, "Clip": 1, "MaxPool": 1, "Add": 1, "GlobalAveragePool": 1, "Flatten": 1, "Gemm": 1,
    }  # fmt: skip


def test_nothing_of_the_machine_that_trained_it_is_inside(model: onnx.ModelProto) -> None:
    assert not model.metadata_props
    assert not any(n.metadata_props or n.doc_string for n in model.graph.node)
    assert str(Path.home()).encode() not in (DATA / "digits.onnx").read_bytes()


@pytest.mark.parametrize("part", PARTS)
def test_script_cuts_the_same_bytes(script: ModuleType, part: str) -> None:
    assert script.npz(*script.split()[part]) == (DATA / f"digits-{part}.npz").read_bytes()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_script_exports_the_same_structure(script: ModuleType, model: onnx.ModelProto) -> None:
    exported = script.export(script.Digits().eval())
    untrained, trained = ({tensor.name for tensor in m.graph.initializer} for m in (exported, model))
    assert untrained <= trained  # before training many are equal, and the exporter keeps one of those
    computed = [(n.op_type, n.name) for n in exported.graph.node if n.op_type != "Identity"]
    assert computed == [(n.op_type, n.name) for n in model.graph.node]
