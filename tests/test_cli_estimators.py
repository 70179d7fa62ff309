"""`bitsmith estimators`: a table for people, numbers for programs, one line for mistakes."""

import json
from pathlib import Path

from typer.testing import CliRunner

from bitsmith.analysis.compare_estimators import usual_estimators
from bitsmith.cli import app

GIVEN = ("estimators", "digits.onnx", "--test", "digits-test.npz")


def test_a_row_for_every_estimator(digits_here: Path) -> None:
    found = CliRunner().invoke(app, [*GIVEN, "--data", "digits-calibration.npz"], env={"COLUMNS": "200"})
    assert found.exit_code == 0, found.output
    assert all(name in found.output for name in usual_estimators())
    assert "one calibration pass" in found.output


def test_numbers_for_programs(digits_here: Path) -> None:
    chosen = ("--estimator", "mse", "--estimator", "percentile:99")
    found = CliRunner().invoke(app, [*GIVEN, "--data", "digits-calibration.npz", *chosen, "--json"])
    rows = json.loads(found.stdout)["rows"]
    assert [row["estimator"] for row in rows] == ["mse", "percentile:99"]
    assert all(0 <= row["clipped"] <= 1 and row["top1"] > 0.5 for row in rows)


def test_statistics_or_data(digits_here: Path) -> None:
    found = CliRunner().invoke(app, list(GIVEN))
    assert found.exit_code == 2
    assert "--data or --stats" in found.output


def test_a_page_with_pictures(digits_here: Path) -> None:
    chosen = ("--data", "digits-calibration.npz", "--estimator", "mse", "--json")
    found = CliRunner().invoke(app, [*GIVEN, *chosen, "-o", "page.html"])
    assert found.exit_code == 0, found.output
    page = (digits_here / "page.html").read_text("utf-8")
    assert f"{100 * json.loads(found.stdout)['rows'][0]['top1']:.2f} %" in page
    assert "Range estimators on digits.onnx" in page


def test_a_page_that_cannot_be_written_is_told_before_any_work(digits_here: Path) -> None:
    found = CliRunner().invoke(app, [*GIVEN, "--data", "digits-calibration.npz", "-o", "page.svg"])
    assert found.exit_code != 0
    assert "must end in .html" in found.output
