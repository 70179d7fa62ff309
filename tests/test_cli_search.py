"""Sensitivities and searches from the command line."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bitsmith.cli import app
from bitsmith.display_sensitivity import bar

MEASURED = ("--data", "digits-calibration.npz", "--test", "digits-test.npz")


def run(*arguments: str, status: int = 0) -> str:
    found = CliRunner().invoke(app, list(arguments))
    assert found.exit_code == status, found.output
    return found.output


def test_sensitivity_says_who_hurts(digits_here: Path) -> None:
    said = run("sensitivity", "digits.onnx", *MEASURED, "--widths", "8,4", "--samples", "60", "-o", "d.json")
    for words in ("noise at 4 bits", "accuracy lost, in points", "half of the noise comes from", "Measured on ", "wrote d.json"):
        assert words in said
    assert len(json.loads((digits_here / "d.json").read_text())["effects"]) > 5


def test_sensitivities_go_into_a_report(digits_here: Path) -> None:
    run("sensitivity", "digits.onnx", *MEASURED, "--widths", "8,4", "--fast", "-o", "d.json")
    run("quantize", "digits.onnx", "--data", "digits-calibration.npz", "-o", "d.onnx")
    run("report", "digits.onnx", "d.onnx", "--sensitivity", "d.json", "-o", "d.html")
    assert "Sensitivity</h2>" in (digits_here / "d.html").read_text()


def test_sensitivity_as_data_without_labels(digits_here: Path) -> None:
    found = json.loads(run("sensitivity", "digits.onnx", "--data", "digits-calibration.npz", "--fast", "--roles", "weights", "--json"))
    assert found["made"]["fast"]
    assert {e["role"] for e in found["effects"]} == {"weights"}
    assert {e["bits"] for e in found["effects"]} == {8, 6, 4, 3, 2}


@pytest.mark.parametrize("wrong", ["--widths 8;4", "--widths none", "--roles biases", "-o d.txt", "--stats x.stats"])
def test_mistakes(digits_here: Path, wrong: str) -> None:
    run("sensitivity", "digits.onnx", *MEASURED, *wrong.split(), status=2)


def test_bars_have_eighths() -> None:
    assert [bar(share).plain for share in (0, 1 / 128, 0.5, 1, 7)] == ["", "▏", "█" * 8, "█" * 16, "█" * 16]


def test_search_writes_what_it_chose_and_every_point(digits_here: Path) -> None:
    asked = ("search", "digits.onnx", *MEASURED, "--tolerance", "0.02", "--widths", "8,4,3", "--budget", "60s", "--samples", "60")
    said = run(*asked, "-o", "d.q.onnx", "--report", "d.html")
    for words in ("accuracy lost in points, by bytes", "nobody beats", "the chosen widths in bits", "neither calibration nor search"):
        assert words in " ".join(said.split())
    kept = json.loads((digits_here / "d.q.search.json").read_text())
    best = kept["points"][kept["chosen"]]
    held_out = json.loads(run("evaluate", "d.q.onnx", "--data", "digits-test.npz", "--json"))
    whole = best["searched"]["top1"] * best["searched"]["samples"] + best["confirmed"]["top1"] * best["confirmed"]["samples"]
    assert held_out["top1"] * held_out["samples"] == pytest.approx(whole)
    recipes = sorted((digits_here / "d.q.points").iterdir())
    assert [path.name for path in recipes] == [f"{i + 1:02d}.toml" for i in range(len(recipes))]
    run("quantize", "digits.onnx", "--data", "digits-calibration.npz", "--recipe", str(recipes[0]), "-o", "again.onnx")
    page = (digits_here / "d.html").read_text()
    assert "Sensitivity</h2>" in page
    assert "Search</h2>" in page


def test_a_search_in_vain_says_so(digits_here: Path) -> None:
    asked = ("search", "digits.onnx", *MEASURED, "--tolerance", "0", "--widths", "2", "--samples", "60", "--fast", "-o", "d.q.onnx")
    assert "nothing keeps the tolerance" in run(*asked, status=1)
    assert not (digits_here / "d.q.onnx").exists()
    assert list((digits_here / "d.q.points").iterdir())


@pytest.mark.parametrize("wrong", ["--budget soon", "--tolerance 2", "--cost beauty", "--refine polish", "-o d.txt", "--max-bytes 10"])
def test_mistakes_in_a_search(digits_here: Path, wrong: str) -> None:
    run("search", "digits.onnx", *MEASURED, "--widths", "8,4", "--fast", "--samples", "40", *wrong.split(), status=2)
