"""Sensitivities and searches from the command line."""

import json
from importlib.resources import as_file, files
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bitsmith.cli import app
from bitsmith.display_sensitivity import bar

MEASURED = ("--data", "digits-calibration.npz", "--test", "digits-test.npz")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the digits in it."""
    with as_file(files("bitsmith") / "data") as shipped:
        for name in ("digits.onnx", "digits-calibration.npz", "digits-test.npz"):
            (tmp_path / name).write_bytes((shipped / name).read_bytes())
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments: str, status: int = 0) -> str:
    found = CliRunner().invoke(app, list(arguments))
    assert found.exit_code == status, found.output
    return found.output


def test_sensitivity_says_who_hurts(here: Path) -> None:
    said = run("sensitivity", "digits.onnx", *MEASURED, "--widths", "8,4", "--samples", "60", "-o", "d.json")
    for words in ("noise at 4 bits", "accuracy lost, in points", "half of the noise comes from", "Measured on ", "wrote d.json"):
        assert words in said
    assert len(json.loads((here / "d.json").read_text())["effects"]) > 5


def test_sensitivity_as_data_without_labels(here: Path) -> None:
    found = json.loads(run("sensitivity", "digits.onnx", "--data", "digits-calibration.npz", "--fast", "--roles", "weights", "--json"))
    assert found["made"]["fast"]
    assert {e["role"] for e in found["effects"]} == {"weights"}
    assert {e["bits"] for e in found["effects"]} == {8, 6, 4, 3, 2}


@pytest.mark.parametrize("wrong", ["--widths 8;4", "--widths none", "--roles biases", "-o d.txt", "--stats x.stats"])
def test_mistakes(here: Path, wrong: str) -> None:
    run("sensitivity", "digits.onnx", *MEASURED, *wrong.split(), status=2)


def test_bars_have_eighths() -> None:
    assert [bar(share).plain for share in (0, 1 / 128, 0.5, 1, 7)] == ["", "▏", "█" * 8, "█" * 16, "█" * 16]
