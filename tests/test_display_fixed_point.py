"""Fixed-point analysis on the command line: tables that fit, and a heat map that shows what is lost."""

import io
import json
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console
from typer.testing import CliRunner

import bitsmith as bs
from bitsmith import cli
from bitsmith.analysis.fit import Held
from bitsmith.analysis.fixed_point import FixedPointAnalysis, Proposal
from bitsmith.analysis.significant_bits import SignificantBits
from bitsmith.display_fixed_point import HeatMap, is_held, labels
from bitsmith.numerics.fixed_point_type import FixedPointType

DATA = Path(str(files("bitsmith") / "data"))
NET, CALIBRATION = str(DATA / "digits.onnx"), str(DATA / "digits-calibration.npz")


def run(*args: Any, columns: int = 80, status: int = 0) -> str:
    result = CliRunner(env={"COLUMNS": str(columns), "TERMINAL_WIDTH": str(columns)}).invoke(cli.app, ["fixed-point", *map(str, args)])
    assert result.exit_code == status, result.output
    return result.output


@pytest.mark.parametrize("columns", [80, 100, 140])
def test_every_tensor_is_shown_and_lines_fit(columns: int) -> None:
    text = run(NET, "--data", CALIBRATION, columns=columns)
    assert all(len(line) <= columns for line in text.splitlines())
    assert text.count("int8 * 2^") >= len(bs.load(NET).graph.initializers) > 5
    for word in ("pixels", "logits", "stem.weight", "below", "beyond", "bfloat16", "leading ones by power of two", "█"):
        assert word in text


def test_one_tensors_fraction_lengths() -> None:
    text = run(NET, "--value", "residual.first.weight", "--bits", "6")
    rows = [line.split() for line in text.splitlines() if "int6" in line]
    network = bs.load(NET)
    found = bs.compare_fraction_lengths(network, "residual.first.weight", word_length=6)
    assert len(rows) == len(found.fits)
    assert f"2^{-found.largest} saturates nothing" in text
    assert f"2^{-found.least_error} has the least error" in text
    for row, fit in zip(rows, found.fits, strict=True):
        assert f"{100 * fit.below_precision:.2f}" in row


def test_json_is_that_of_the_functions() -> None:
    told = json.loads(run(NET, "--tolerance", "0.02", "--least-error", "--json"))
    found = bs.analyze_fixed_point(bs.load(NET), tolerance=0.02, scaling="least_error")
    assert [t["word_length"] for t in told["tensors"]] == [p.type.word_length for p in found.proposals]
    assert (told["tolerance"], told["scaling"]) == (0.02, "least_error")
    assert [row["name"] for row in told["significant_bits"]] == [t["name"] for t in told["tensors"]]
    one = json.loads(run(NET, "--value", "stem.weight", "--json"))
    assert one["largest"] in [row["fraction_length"] for row in one["fraction_lengths"]]


def test_statistics_serve_as_data_do(tmp_path: Path) -> None:
    network = bs.load(NET)
    bs.save_statistics(bs.calibrate(network, CALIBRATION), tmp_path / "net.stats")
    assert run(NET, "--stats", tmp_path / "net.stats", "--json") == run(NET, "--data", CALIBRATION, "--json")


def test_mistakes_are_one_line() -> None:
    assert "called 'nothing'" in run(NET, "--value", "nothing", status=2)
    assert "not both" in run(NET, "--data", CALIBRATION, "--stats", "net.stats", status=2)
    assert "2 to 32 bits, not 99" in run(NET, "--bits", "99", status=2)
    assert "No word, however long" in run(NET, "--tolerance", "1e-13")


def heat_map(encoding: str = "utf-8", width: int = 40) -> list[str]:
    """Of a tensor 'x' with numbers from 2^2 to 2^-6, of which a type holds those from 2^1 to 2^-3."""
    type = FixedPointType(6, 3)
    fit = Held(np.ones(1)).measure(type)
    analysis = FixedPointAnalysis((Proposal("x", "parameter", 1, 1.0, 1.0, fit, {}),), "largest")
    bits = [SignificantBits("x", "parameter", (-5, -2, 0, 1, 2, 4), (1, 40, 0, 50, 3, 1), (0, 60, 10, 50, 4, 0), 7)]
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    Console(file=stream, width=width).print(HeatMap(analysis, bits))
    stream.seek(0)
    return [line.rstrip() for line in stream.read().splitlines()]


def test_the_heat_map_is_dark_where_many_are_and_dotted_where_they_are_lost() -> None:
    title, powers, cells, *legend = heat_map()
    assert title == "leading ones by power of two"
    assert cells == "x . ▒█▒ █  ."
    assert powers.index("2^0") - 2 == 3
    assert "█ over 50%" in " ".join(legend)


def test_the_heat_map_without_unicode_and_without_room() -> None:
    assert heat_map("ascii")[2] == "x . +#+ #  ."
    narrow = heat_map(width=8)
    assert "x . ▒█▒" in narrow
    assert "powers below 2^-2 are not shown" in " ".join(narrow)


def test_nothing_to_show_is_no_heat_map() -> None:
    stream = io.StringIO()
    Console(file=stream).print(HeatMap(FixedPointAnalysis((), "largest"), []))
    assert stream.getvalue().strip() == ""


@pytest.mark.parametrize("type", [FixedPointType(8, 3), FixedPointType(8, -2), FixedPointType(5, 9, signed=False)])
def test_powers_that_are_held_are_those_that_survive(type: FixedPointType) -> None:
    for power in range(-20, 20):
        number = np.asarray(2.0**power)
        assert is_held(power, type) == bool(type.represent(number) != 0 and not type.is_beyond(number))


def test_labels_stand_at_their_powers() -> None:
    line = labels(range(9, -12, -1))
    assert [line.index(label) for label in ("2^8", "2^0", "2^-8")] == [1, 9, 17]
    assert labels(range(3, 1, -1)) == ""


@pytest.mark.parametrize(("options", "named"), [
    (["--value", "stem.weight", "--tolerance", "0.1"], "--value and --tolerance"),
    (["--value", "stem.weight", "--per-channel"], "--value and --per-channel"),
    (["--value", "stem.weight", "--least-error"], "--value and --least-error"),
    (["--per-channel", "--tolerance", "0.1"], "--per-channel and --tolerance"),
    (["--tolerance", "0.1", "--bits", "8"], "--tolerance and --bits"),
    (["--limit", "3"], "give --data"), (["--image", "size=3"], "give --data"),
    (["--value", "pixels"], "--data"), (["--tolerance", "2"], "between 0 and 1"), (["--bits", "1"], "2 to 32 bits"),
])
def test_options_that_would_say_nothing_are_refused(options: list[str], named: str) -> None:
    assert named in " ".join(run(NET, *options, status=2, columns=200).split())


def test_a_word_has_eight_bits_unless_told_otherwise() -> None:
    assert json.loads(run(NET, "--json")) == json.loads(run(NET, "--json", "--bits", 8))
