"""The classical comparison of C, end to end: every way compiled and run; what they take is what their folders say."""

import json
import shutil
from pathlib import Path

import networks
import numpy as np
import pytest
from typer.testing import CliRunner, Result

import bitsmith as bs
from bitsmith.cli import app
from bitsmith.errors import TargetError
from bitsmith.report.compare_c import draw_c_comparison
from bitsmith.running.session import Session
from bitsmith.targets.c.cortex_m7 import missing_tools

pytestmark = pytest.mark.skipif(shutil.which("gcc") is None, reason="needs gcc")
NAMES = ["float32", "float, narrow weights", "integers, curves by math.h", "integers, curves by tables"]


@pytest.fixture(scope="module")
def data() -> dict[str, np.ndarray]:  # type: ignore[type-arg]
    """The tanh network's inputs, and its own answers as labels, two of them wrong."""
    x = networks.feeds(networks.mlp(), 40)["input"]
    y = Session(bs.load(networks.mlp())).run({"input": x})["output"].argmax(1)
    y[:2] = (y[:2] + 1) % 4
    return {"input": x, "y": y}


@pytest.fixture(scope="module")
def found(data: dict[str, np.ndarray]) -> bs.CComparison:  # type: ignore[type-arg]
    return bs.compare_c(networks.mlp(), data, data)


def test_four_ways_with_tanh(found: bs.CComparison) -> None:
    assert [row.name for row in found.rows] == NAMES
    assert (found.on, found.samples, found.float_top1, found.left_out) == ("host", 40, 0.95, "")
    assert found.rows[0].top1 == 0.95
    assert all(row.agreement is not None and row.agreement >= 0.9 for row in found.rows)


def test_noise_grows_and_sizes_shrink(found: bs.CComparison) -> None:
    exact, narrow, by_math, by_tables = found.rows
    assert exact.snr_db > 100 > narrow.snr_db > by_tables.snr_db > 20  # type: ignore[operator]
    assert by_math.snr_db == pytest.approx(by_tables.snr_db, abs=0.5)
    assert exact.flash >= 4 * (12 * 16 + 16 * 16 + 16 * 4)
    assert narrow.flash < exact.flash / 2
    assert by_tables.flash == by_math.flash + 256
    assert 4 * by_tables.ram == exact.ram


def test_without_a_function_three_ways() -> None:
    model = networks.conv_bn_relu()
    feeds = networks.feeds(model, 10)
    made = bs.compare_c(model, feeds, feeds)
    assert [row.name for row in made.rows] == ["float32", "float, narrow weights", "integers"]
    assert made.rows[0].top1 is None


def test_several_functions_in_one_table_are_said() -> None:
    b = networks.Builder(21, 0)
    b.node("Sigmoid", [b.node("Tanh", [b.linear("input", "fc", 4, 3)], "inner")], "output")
    model = b.model({"input": ("batch", 4)}, {"output": ("batch", 3)})
    feeds = networks.feeds(model, 10)
    made = bs.compare_c(model, feeds, feeds)
    assert len(made.rows) == 3
    assert "holds more than one function" in made.left_out


@pytest.mark.skipif(bool(missing_tools()), reason=f"needs {', '.join(missing_tools())}")
def test_on_cortex_m7(data: dict[str, np.ndarray]) -> None:  # type: ignore[type-arg]
    """The same outputs as here, bit for bit but for math.h; tables take fewer instructions than tanhf, integers than floats."""
    made = bs.compare_c(networks.mlp(), data, data, on="cortex-m7")
    exact, narrow, by_math, by_tables = (row.instructions for row in made.rows)
    assert by_tables < by_math < exact < narrow  # type: ignore[operator]
    assert made.on == "cortex-m7"
    assert {row.board for row in made.rows} == {"stm32f746"}
    assert [row.apart for row in made.rows][2:] == [0, 0]
    assert all(row.flash > 1000 and row.stack for row in made.rows)


def test_the_page_shows_every_way_and_number(found: bs.CComparison) -> None:
    page = draw_c_comparison(found, "<b>")
    assert "&lt;b&gt;" in page
    assert all(name in page for name in NAMES)
    assert page.count("<svg") == 5          # instructions were not counted
    assert f"{found.rows[0].flash:,}" in page
    assert page == draw_c_comparison(found, "<b>")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: dict[str, np.ndarray]) -> Path:  # type: ignore[type-arg]
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.onnx").write_bytes(networks.mlp().SerializeToString())
    np.savez(tmp_path / "data.npz", **data)
    return tmp_path


def run(*words: str) -> Result:
    return CliRunner().invoke(app, ["compare-c", "net.onnx", "--data", "data.npz", "--test", "data.npz", *words], env={"COLUMNS": "200"})


def test_the_command(here: Path) -> None:
    said = run("-o", "ways.html", "--limit", "20")
    assert said.exit_code == 0, said.output
    assert all(name in said.output for name in NAMES)
    assert "20 samples" in said.output
    assert "float network in onnxruntime: top-1 90.00 %" in said.output
    assert (here / "ways.html").read_text().startswith("<!DOCTYPE html>")
    rows = json.loads(run("--json").stdout)["rows"]
    assert [row["name"] for row in rows] == NAMES


def test_every_way_takes_raw_samples_and_gives_classes(here: Path) -> None:
    """Also where a table holds more than one function: then nobody says that an operand has no encoding."""
    raw = np.random.default_rng(0).integers(-3000, 3000, (40, 12)).astype(np.int16)
    np.savez(here / "data.npz", input=raw)
    said = run("--raw-input", "int16", "--normalize", "scale=1/1000", "--end-with", "arg-max", "--json")
    assert said.exit_code == 0, said.output
    found = json.loads(said.stdout)
    assert [row["name"] for row in found["rows"]][:2] == NAMES[:2]
    assert all(row["agreement"] > 0.9 for row in found["rows"])
    assert "no encoding" not in found["left_out"]


def test_mistakes_are_one_line(here: Path) -> None:
    for words, message in ((["--on", "moon"], "C runs on host, cortex-m7, not on 'moon'"), (["-o", "ways.txt"], "ways.txt"),
                           (["--recipe", "nothing"], "No recipe is called 'nothing'")):
        said = run(*words)
        assert said.exit_code == 2
        assert message in " ".join(said.output.split())


def test_data_that_can_be_read_once_are_refused(data: dict[str, np.ndarray]) -> None:  # type: ignore[type-arg]
    with pytest.raises(bs.BitsmithError, match="can be read only once"):
        bs.compare_c(networks.mlp(), data, iter([{"input": data["input"]}]))


def test_missing_tools_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(TargetError, match="arm-none-eabi-gcc"):
        bs.compare_c(networks.mlp(), {}, {}, on="cortex-m7")


def test_math_curves_is_a_wish_like_others(data: dict[str, np.ndarray], tmp_path: Path) -> None:  # type: ignore[type-arg]
    """Written and verified by itself: code for code what its own program says, up to math.h."""
    bs.quantize(networks.mlp(), data, target="c:math-curves").write(tmp_path / "firmware")
    assert "#include <math.h>" in (tmp_path / "firmware" / "net.c").read_text()
    assert "activation functions are computed in float of `math.h`" in (tmp_path / "firmware" / "README.md").read_text()
    checked = bs.verify(tmp_path / "firmware", data)
    assert checked.comparisons[0].largest <= 1
    assert checked.library == {"hidden"}
