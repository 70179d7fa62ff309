"""The page from the command line."""

import json
from pathlib import Path

from typer.testing import CliRunner

from bitsmith.cli import app


def run(*arguments: str) -> str:
    found = CliRunner().invoke(app, list(arguments))
    assert found.exit_code == 0, found.output
    return found.output


def test_quantize_writes_a_page(digits_here: Path) -> None:
    measured = ("--data", "digits-calibration.npz", "--test", "digits-test.npz")
    said = run("quantize", "digits.onnx", *measured, "-o", "d.onnx", "--report", "d.html")
    assert "wrote d.html" in said
    page = (digits_here / "d.html").read_text()
    assert "<title>d.onnx" in page
    assert "top-1 accuracy" in page
    assert "<td>&#39;digits-calibration.npz&#39;, 200 samples, " in page
    assert "<td>&#39;digits-test.npz&#39;, 500 samples</td>" in page
    assert len(page) < 2_000_000


def test_report_compares_two_files(digits_here: Path) -> None:
    run("quantize", "digits.onnx", "--data", "digits-calibration.npz", "-o", "d.onnx")
    said = run("report", "digits.onnx", "d.onnx", "--data", "digits-test.npz", "--limit", "50", "-o", "d.html", "--json")
    assert json.loads(said) == {"files": ["d.html"]}
    page = (digits_here / "d.html").read_text()
    assert "Accuracy over 50 samples" in page
    assert "percentile" in page


def test_a_page_is_called_html(digits_here: Path) -> None:
    found = CliRunner().invoke(app, ["report", "digits.onnx", "digits.onnx", "-o", "page.txt"])
    assert found.exit_code == 2
    assert not (digits_here / "page.txt").exists()
