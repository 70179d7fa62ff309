"""`bitsmith accumulators`: of a file and of a folder of C; a table for people, numbers for programs, one line for mistakes."""

import json
from pathlib import Path

from typer.testing import CliRunner

from bitsmith.cli import app


def run(*arguments: str) -> tuple[int, str]:
    found = CliRunner().invoke(app, list(arguments), env={"COLUMNS": "200"})
    return found.exit_code, found.output


def quantized(*more: str, output: str = "net.onnx") -> str:
    status, said = run("quantize", "digits.onnx", "--data", "digits-calibration.npz", "-o", output, "--everything", *more)
    assert status == 0, said
    return said


def test_a_file_and_what_is_said_of_it(digits_here: Path) -> None:
    said = quantized()
    assert "session.x64quantprecision = 1" in said
    assert said.count("VNNI") == 1
    status, said = run("accumulators", "net.onnx", "--data", "digits-test.npz", "--limit", "20")
    assert status == 0, said
    assert "did on 20 samples" in said
    assert "hold every sum" in said
    found = json.loads(run("accumulators", "net.onnx", "--data", "digits-test.npz", "--limit", "20", "--json")[1])
    assert found["samples"] == 20
    assert all(layer["seen_bits"] <= layer["bits"] <= 32 for layer in found["layers"])
    assert found["saturating"]


def test_seven_bits_are_proven_safe(digits_here: Path) -> None:
    (digits_here / "seven.toml").write_text("[[rules]]\nweights = 7\n")
    assert "VNNI" not in quantized("--recipe", "seven.toml")
    assert "No pair of products can saturate" in run("accumulators", "net.onnx")[1]


def test_a_wanted_width_is_proven(digits_here: Path) -> None:
    quantized("--accumulator", "16", "--target", "c", output="firmware")
    found = json.loads(run("accumulators", "firmware", "--json")[1])
    assert all(layer["bits"] <= 16 for layer in found["layers"])
    status, said = run("quantize", "digits.onnx", "--data", "digits-calibration.npz", "-o", "n.onnx", "--accumulator", "40")
    assert status == 2
    assert "8 to 32 bits, not 40" in said


def test_a_folder_of_c(digits_here: Path) -> None:
    assert "VNNI" not in quantized("--target", "c", output="firmware")
    status, said = run("accumulators", "firmware")
    assert status == 0, said
    assert "hold every sum" in said


def test_what_is_not_quantized_is_refused(digits_here: Path) -> None:
    assert run("accumulators", "digits.onnx")[0] == 2
    assert run("accumulators", "nothing.onnx")[0] == 2
    (digits_here / "empty").mkdir()
    assert run("accumulators", "empty")[0] == 2
