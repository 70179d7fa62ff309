"""The commands that write and check C."""

import json
import re
import shutil
from pathlib import Path

import networks
import numpy as np
import pytest
from typer.testing import CliRunner, Result

from bitsmith.cli import app

pytestmark = pytest.mark.skipif(shutil.which("gcc") is None, reason="needs gcc")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a network and samples."""
    monkeypatch.chdir(tmp_path)
    model = networks.conv_bn_relu()
    (tmp_path / "net.onnx").write_bytes(model.SerializeToString())
    np.savez(tmp_path / "data.npz", input=networks.feeds(model, 40)["input"], y=np.zeros(40, np.int64))
    return tmp_path


def run(*words: str) -> Result:
    return CliRunner().invoke(app, words)


@pytest.mark.parametrize("how", [[], ["--requantize", "shift"], ["--requantize", "float"], ["--recipe", "int4"],
                                 ["--weights", "ternary"], ["--weights", "binary", "--requantize", "shift"]])
def test_what_is_written_is_verified(here: Path, how: list[str]) -> None:
    written = run("quantize", "net.onnx", "--data", "data.npz", "--test", "data.npz", "--target", "c", *how, "-o", "firmware", "--json")
    assert written.exit_code == 0, written.output
    found = json.loads(written.stdout)
    assert found["quantized"]["engine"] == ("program" if "float" in how else "program-shift" if "shift" in how else "program-fixed-point")
    assert found["bytes"]["least_arena"] <= found["bytes"]["arena"]
    names = {Path(file).name for file in found["files"]}
    sources = {"net.h", "net.c", "net_weights.h", "net_weights.c", "main.c"}
    assert names == sources | {"CMakeLists.txt", "README.md", "net.onnx", "net.plan.json"}
    verified = json.loads(run("verify", "firmware", "--data", "data.npz", "--json").stdout)
    assert verified["exact"] is True
    assert verified["samples"] == 40


@pytest.mark.parametrize("weights", [[], ["--weights", "float32"], ["--weights", "int4"]])
def test_what_computes_in_float_is_verified(here: Path, weights: list[str]) -> None:
    """Step by step bit for bit, and near onnxruntime's outputs; nobody needs data for it."""
    made = run("quantize", "net.onnx", "--target", "c", "--compute", "float", *weights, "-o", "firmware", "--refine", "none", "--json")
    assert made.exit_code == 0, made.output
    assert json.loads(made.stdout)["target"] == "c:compute-float"
    found = json.loads(run("verify", "firmware", "--data", "data.npz", "--json").stdout)
    assert found["exact"] is True
    assert found["tolerance"] == 1e-4
    program, runtime = found["comparisons"][0], found["comparisons"][-1]
    assert program["codes"] > 40
    assert program["differing"] == 0
    assert (runtime["first"], runtime["second"], runtime["differences"]) == ("c", "onnxruntime", [])
    assert 0 < runtime["output_error"] < 1e-4 * runtime["largest_output"]
    text = (here / "firmware" / "net.c").read_text()
    assert "float" in text
    assert ("const int8_t *weights" in text) == (weights == [])


def test_people_read_that_floats_are_not_bit_for_bit(here: Path) -> None:
    run("quantize", "net.onnx", "--target", "c", "--compute", "float", "-o", "firmware")
    assert "in float32" in (here / "firmware" / "net.h").read_text()
    said = " ".join(run("verify", "firmware", "--data", "data.npz").output.split())
    assert "Every step of the C is what it means in numpy, bit for bit." in said
    assert "(tolerance 1e-04): not bit for bit, since float sums have another order there." in said


def test_a_weight_that_is_another_is_seen_in_float(here: Path) -> None:
    run("quantize", "net.onnx", "--target", "c", "--compute", "float", "--weights", "float32", "-o", "firmware")
    weights = here / "firmware" / "net_weights.c"
    text = weights.read_text()
    number = re.findall(r"-?0x1\.[0-9a-f]+p-?[+0-9]+f", text)[0]
    weights.write_text(text.replace(number, "0x1.8p+1f", 1))
    found = json.loads(run("verify", "firmware", "--data", "data.npz", "--json").stdout)
    assert found["exact"] is False
    assert "The C and what its steps mean in numpy differ." in " ".join(run("verify", "firmware", "--data", "data.npz").output.split())


def test_people_read_sizes(here: Path) -> None:
    text = run("quantize", "net.onnx", "--data", "data.npz", "--target", "c:channels-last", "-o", "firmware").output
    assert "weights and tables" in text
    assert "bytes at least" in text
    assert "uint8_t [8][8][3], channels last" in (here / "firmware" / "net.h").read_text()
    assert "The integer program and the C agree in every code." in run("verify", "firmware", "--data", "data.npz").output


def test_integers_only_unless_asked(here: Path) -> None:
    """Not a float, not a library, in what goes on the chip."""
    run("quantize", "net.onnx", "--data", "data.npz", "--target", "c", "-o", "firmware")
    text = "".join((here / "firmware" / name).read_text() for name in ("net.c", "net_weights.c", "net_weights.h"))
    assert not any(word in text for word in ("float", "double", "math.h", "malloc", "stdio"))


@pytest.mark.parametrize(("words", "message"), [
    (["--target", "onnx", "--requantize", "float", "-o", "x.onnx"], "cannot requantize by 'float'"),
    (["--target", "onnx", "--compute", "float", "-o", "x.onnx"], "cannot compute in 'float'"),
    (["--target", "c", "--compute", "double", "-o", "x"], "cannot compute in 'double'"),
    (["--target", "c", "--compute", "float", "--requantize", "float", "-o", "x"], "leave --requantize out"),
    (["--target", "c", "--compute", "float", "--weights", "float16", "-o", "x"], "has no float16 weights; it takes int8"),
    (["--target", "c", "--compute", "float", "--everything", "-o", "x"], "has no 8 bits activations; it takes float"),
    (["--target", "c:fast", "-o", "x"], "does not know 'fast'"),
    (["--target", "onnx:fast", "-o", "x.onnx"], "does not know 'fast'; onnxruntime and onnx know"),
    (["--target", "c", "-o", "nowhere/x"], "there is no folder"),
    (["--target", "c", "--recipe", "weights_int8", "-o", "x"], "computes in float"),
])
def test_refusals_say_what_to_do(here: Path, words: list[str], message: str) -> None:
    result = run("quantize", "net.onnx", "--data", "data.npz", *words)
    assert result.exit_code == 2
    assert message in " ".join(result.output.split())


def test_the_whole_application(here: Path) -> None:
    """Pixels go in and a class comes out; the numbers are those of the network with its preprocessing."""
    random = np.random.default_rng(0)
    np.savez(here / "pixels.npz", input=random.integers(0, 256, (40, 3, 8, 8)).astype(np.uint8), y=np.zeros(40, np.int64))
    ends = ["--raw-input", "uint8", "--normalize", "scale=1/255", "--normalize", "mean=0.5,0.4,0.3", "--end-with", "arg-max"]
    samples = ["--data", "pixels.npz", "--test", "pixels.npz", "--target", "c", "-o", "firmware"]
    written = run("quantize", "net.onnx", *samples, *ends, "--json")
    assert written.exit_code == 0, written.output
    found = json.loads(written.stdout)
    assert found["quantized"]["agreement"] > 0.7
    header = (here / "firmware" / "net.h").read_text()
    assert "uint8_t *net_input(void *arena)" in header
    assert "const uint8_t *net_output_arg_max(const void *arena)" in header
    assert json.loads(run("verify", "firmware", "--data", "pixels.npz", "--json").stdout)["exact"] is True


def test_the_whole_application_in_float(here: Path) -> None:
    """The C takes the same pixels and gives the same classes, in float."""
    pixels = np.random.default_rng(0).integers(0, 256, (40, 3, 8, 8)).astype(np.uint8)
    np.savez(here / "pixels.npz", input=pixels)
    ends = ["--raw-input", "uint8", "--normalize", "scale=1/255", "--normalize", "mean=0.5,0.4,0.3", "--end-with", "arg-max"]
    written = run("quantize", "net.onnx", "--target", "c", "--compute", "float", "--weights", "float32", "-o", "firmware", *ends)
    assert written.exit_code == 0, written.output
    header = (here / "firmware" / "net.h").read_text()
    assert "uint8_t *net_input(void *arena)" in header
    assert "const uint8_t *net_output_arg_max(const void *arena)" in header
    found = json.loads(run("verify", "firmware", "--data", "pixels.npz", "--json").stdout)
    assert found["exact"] is True
    assert [c["misplaced"] for c in found["comparisons"]] == [0, 0, 0]
    assert {"input_numbers", "output_arg_max"} <= {d["value"] for d in found["comparisons"][0]["differences"]}
    assert "bit for bit. Its outputs are onnxruntime's." in " ".join(run("verify", "firmware", "--data", "pixels.npz").stdout.split())


@pytest.mark.parametrize(("words", "message"), [
    (["--normalize", "scale=1/255"], "say which with --raw-input"),
    (["--raw-input", "uint8", "--normalize", "size=3"], "There is no normalization 'size=3'"),
    (["--raw-input", "uint8", "--normalize", "mean=x"], "The option 'mean' needs numbers between commas"),
    (["--raw-input", "float32"], "Raw input is uint8, int8, uint16, int16"),
    (["--end-with", "top-1"], "A network can end with arg-max or softmax"),
    (["--raw-input", "uint8"], "they must be whole numbers"),
])
def test_ill_applications_are_refused(here: Path, words: list[str], message: str) -> None:
    ran = run("quantize", "net.onnx", "--data", "data.npz", "--target", "c", "-o", "firmware", *words)
    assert ran.exit_code == 2
    assert message in " ".join(ran.output.split())
