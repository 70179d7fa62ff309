"""A type for each channel is the one that its numbers alone would get, and never loses more than one for all."""

import json
from pathlib import Path

import networks
import numpy as np
import onnx
import pytest
from typer.testing import CliRunner

import bitsmith as bs
from bitsmith.analysis.fixed_point_channels import analyze_channels
from bitsmith.cli import app

MODEL = networks.conv_bn_relu()
DATA = networks.feeds(MODEL, 8)


@pytest.mark.parametrize("scaling", ["largest", "least_error"])
def test_channels_of_a_weight_are_fitted_alone(scaling: str) -> None:
    network = bs.load(MODEL)
    found = {c.name: c for c in analyze_channels(network, word_length=6, scaling=scaling)}  # type: ignore[arg-type]
    for name, types in found.items():
        array = network.graph.initializers[name].const_value.numpy()  # type: ignore[union-attr]
        assert types.axis == 0
        assert len(types.fits) == len(array)
        squares = 0.0
        for numbers, fit in zip(array, types.fits, strict=True):
            alone = bs.fixed_point(numbers, word_length=6, fraction_length=None if scaling == "largest" else "least_error")
            assert fit.type.fraction_length == alone.fraction_length  # type: ignore[attr-defined]
            squares += float(np.square(alone.real - numbers.astype(np.float64)).sum())
        assert types.rms_error == pytest.approx((squares / array.size) ** 0.5)
    assert set(found) == {"conv1.weight", "conv2.weight", "fc.weight"}


def test_activations_are_those_that_were_counted() -> None:
    network = bs.load(MODEL)
    statistics = bs.calibrate(network, DATA, per_channel=["residual_relu", "input"])
    found = {c.name: c for c in analyze_channels(network, statistics) if c.kind == "activation"}
    assert set(found) == {"residual_relu", "input"}
    assert found["input"].ranges == tuple((part.minimum, part.maximum) for part in statistics.channels["input"])
    assert not any(fit.type.signed for fit in found["residual_relu"].fits)  # type: ignore[attr-defined]


def test_uneven_channels_gain() -> None:
    network = bs.load(MODEL)
    weight = network.graph.initializers["conv1.weight"]
    array = weight.const_value.numpy().copy()  # type: ignore[union-attr]
    array[0] *= 64
    import onnx_ir as ir

    weight.const_value = ir.tensor(array, name="conv1.weight")
    found = next(c for c in analyze_channels(network) if c.name == "conv1.weight")
    low, high = found.fraction_lengths
    assert high - low >= 5
    assert found.rms_error < found.whole.rms_error
    assert found.snr_db > found.whole.snr_db


def test_the_command(tmp_path: Path) -> None:
    onnx.save(MODEL, tmp_path / "net.onnx")
    np.savez(tmp_path / "data.npz", **DATA)  # type: ignore[arg-type]
    arguments = ["fixed-point", str(tmp_path / "net.onnx"), "--data", str(tmp_path / "data.npz"), "--per-channel"]
    said = CliRunner().invoke(app, arguments).output
    assert "a fraction length for each channel" in said
    assert "conv1.weight" in said
    found = json.loads(CliRunner().invoke(app, [*arguments, "--bits", "6", "--json"]).output)
    by_name = {row["name"]: row for row in found["tensors"]}
    assert len(by_name["residual"]["channels"]) == 6
    assert by_name["input"]["axis"] == 1
    assert by_name["conv1.weight"]["whole"]["type"].startswith("int6")
