"""Statistics per channel through the public function and the commands."""

from pathlib import Path

import networks
import numpy as np
import pytest
from typer.testing import CliRunner

import bitsmith as bs
from bitsmith import workflow
from bitsmith.cli import app

MODEL = networks.conv_bn_relu()
DATA = networks.feeds(MODEL, 8)


def run(*arguments: str) -> str:
    found = CliRunner().invoke(app, list(arguments))
    assert found.exit_code == 0, found.output
    return found.output


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a network and data."""
    (tmp_path / "net.onnx").write_bytes(MODEL.SerializeToString())
    np.savez(tmp_path / "data.npz", **DATA)  # type: ignore[arg-type]
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_channels_are_kept_where_asked() -> None:
    network = bs.load(MODEL)
    assert bs.calibrate(network, DATA).channels == {}
    every = bs.calibrate(network, DATA, per_channel=True)
    assert set(every.channels) == set(every)
    assert [part.mean for part in every.channels["input"]] == pytest.approx(DATA["input"].mean((0, 2, 3)).tolist(), rel=1e-5)
    assert list(bs.calibrate(network, DATA, per_channel=["residual"]).channels) == ["residual"]
    some = bs.calibrate(network, DATA, per_channel=True, recipe="int8")
    assert set(some.channels) == set(some)


def test_the_whole_is_the_same_with_channels_and_without() -> None:
    network = bs.load(MODEL)
    plain, both = bs.calibrate(network, DATA), bs.calibrate(network, DATA, per_channel=True)
    for name, found in both.items():
        assert all(np.array_equal(a, b) for a, b in zip(found.record, plain[name].record, strict=True))


def test_what_has_no_channels_and_what_has_too_many_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    network = bs.load(MODEL)
    with pytest.raises(bs.BitsmithError, match="'absent' has no channels"):
        bs.calibrate(network, DATA, per_channel=["absent"])
    monkeypatch.setattr(workflow, "MOST_CHANNELS", 10)
    with pytest.raises(bs.BitsmithError, match="more than the 10 that are counted at once; name the values"):
        bs.calibrate(network, DATA, per_channel=True)


def test_the_command_keeps_channels_and_merges_them(here: Path) -> None:
    run("calibrate", "net.onnx", "--data", "data.npz", "-o", "all.stats", "--per-channel")
    run("calibrate", "net.onnx", "--data", "data.npz", "-o", "one.stats", "--channels-of", "residual", "--limit", "3")
    assert list(bs.load_statistics(here / "one.stats").channels) == ["residual"]
    run("merge", "all.stats", "all.stats", "-o", "twice.stats")
    once, twice = (bs.load_statistics(here / name).channels["residual"] for name in ("all.stats", "twice.stats"))
    assert [part.count for part in twice] == [2 * part.count for part in once]
