"""Weights beside the file: memory-mapped where they lie, refused where they are cut off or lie elsewhere."""

import os
import resource
from pathlib import Path

import networks
import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import numpy_helper, parser

from bitsmith.errors import LoadError
from bitsmith.loading.from_onnx import load


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    onnx.save(networks.conv_bn_relu(17), tmp_path / "net.onnx", save_as_external_data=True, location="net.weights", size_threshold=100)
    return tmp_path / "net.onnx"


def edit(path: Path, key: str, value: str) -> None:
    """Changes where conv1.weight is said to lie."""
    model = onnx.load(path, load_external_data=False)
    for entry in model.graph.initializer[0].external_data:
        if entry.key == key:
            entry.value = value
    path.write_bytes(model.SerializeToString())


def test_weights_stay_on_disk(outside: Path) -> None:
    value = load(outside).graph.initializers["conv1.weight"]
    assert isinstance(value.const_value, ir.ExternalTensor)
    expected = numpy_helper.to_array(networks.conv_bn_relu(17).graph.initializer[0])
    np.testing.assert_array_equal(value.const_value.numpy(), expected)


def test_weights_are_found_from_another_folder(outside: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(outside.parent)
    model = load("net.onnx")
    monkeypatch.chdir("/")
    assert model.graph.initializers["conv1.weight"].const_value.numpy().shape == (6, 3, 3, 3)


@pytest.mark.parametrize(("key", "value", "message"), [
    ("location", "../../../etc/passwd", "outside the network's folder"),
    ("location", "/etc/passwd", "outside the network's folder"),
    ("location", "missing.weights", "there is no such file"),
    ("location", ".", "there is no such file"),
    ("offset", "999999", "needs 648 bytes"),
    ("offset", "-8", "needs 648 bytes"),
    ("offset", "a lot", "Weight 'conv1.weight' is ill"),
    ("length", "64", "needs 648 bytes of 'net.weights' and finds 64"),
])
def test_places_that_do_not_hold_it(outside: Path, key: str, value: str, message: str) -> None:
    edit(outside, key, value)
    with pytest.raises(LoadError, match=message):
        load(outside)


def test_a_cut_off_file_is_refused(outside: Path) -> None:
    with (outside.parent / "net.weights").open("r+b") as file:
        file.truncate(100)
    with pytest.raises(LoadError, match=r"Weight 'conv1.weight' .* needs 648 bytes"):
        load(outside)


def test_links_that_lead_away_are_not_followed(outside: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "secret"
    (outside.parent / "net.weights").rename(elsewhere)
    (outside.parent / "net.weights").symlink_to(elsewhere)
    with pytest.raises(LoadError, match="outside the network's folder"):
        load(outside)


def test_hard_links_are_refused(outside: Path) -> None:
    os.link(outside.parent / "net.weights", outside.parent / "other")
    with pytest.raises(LoadError, match="second hard link"):
        load(outside)


def test_content_without_a_folder_cannot_have_weights_outside(outside: Path) -> None:
    with pytest.raises(LoadError, match="give the file's path"):
        load(outside.read_bytes())


def test_nan_is_found_outside_too(outside: Path) -> None:
    with (outside.parent / "net.weights").open("r+b") as file:
        file.write(np.float32([np.nan]).tobytes())
    with pytest.raises(LoadError, match=r"'conv1\.weight' holds 1 NaN"):
        load(outside)


def test_gigabytes_of_weights_are_never_in_memory(tmp_path: Path) -> None:
    """2.4 GB in a sparse file: more than protobuf can hold, so neither serialised nor read at once."""
    head = '<ir_version: 8, opset_import: ["" : 17]>'
    model = parser.parse_model(head + f"g (float[n, 9] x) => (float[n, {2**26}] y) {{ y = MatMul(x, w) }}")
    weight = model.graph.initializer.add(name="w", data_type=onnx.TensorProto.FLOAT, dims=[9, 2**26])
    weight.data_location = onnx.TensorProto.EXTERNAL
    weight.external_data.add(key="location", value="big")
    (tmp_path / "net.onnx").write_bytes(model.SerializeToString())
    with (tmp_path / "big").open("wb") as file:
        file.truncate(9 * 2**28)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    loaded = load(tmp_path / "net.onnx")
    assert loaded.graph.initializers["w"].const_value.nbytes > 2**31
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000      # kB
