"""The page that compares range estimators: bars as long as what they mean, names escaped, nothing asked of the network."""

import re
from math import inf
from pathlib import Path

import pytest
from chromium import FOUND, opened

from bitsmith.report.bars import WIDTH, draw_bars
from bitsmith.report.estimator_rows import Estimated, EstimatorComparison
from bitsmith.report.estimators import CLIPPED, SNR, TIME, TOP1, draw_estimators, write_estimators

HOSTILE = "<script>alert('x')</script>"
ROWS = (Estimated("min_max", 0.7, 0.9, 10.0, 0.0, 0.002), Estimated("mse", 0.8, 0.95, 20.0, 0.01, 0.3),
        Estimated("mean_std:3", 0.1, 0.2, -5.0, 0.2, 0.003))
FOUND_ROWS = EstimatorComparison("int4", "onnx", 1000, 0.9, 0.5, ROWS)


def widths(picture: str) -> list[float]:
    return [float(width) for width in re.findall(r'<rect class="bar"[^>]* width="([\d.]+)"', picture)]


def test_bars_are_as_long_as_their_numbers() -> None:
    assert widths(draw_bars(ROWS, SNR)) == [WIDTH / 2, WIDTH, 0]
    assert widths(draw_bars(ROWS, CLIPPED)) == [0, WIDTH * 0.05, WIDTH]
    assert widths(draw_bars(ROWS, TOP1, 1.0)) == pytest.approx([0.7 * WIDTH, 0.8 * WIDTH, 0.1 * WIDTH])
    assert 'class="limit"' in draw_bars(ROWS, TOP1, 1.0)
    assert "300 ms" in draw_bars(ROWS, TIME)


def test_exact_and_unknown_outputs_have_a_bar_or_none() -> None:
    rows = (Estimated("a", None, None, inf, 0.0, 0.0), Estimated("b", None, None, None, 0.0, 0.0))
    assert widths(draw_bars(rows, SNR)) == [WIDTH, 0]
    assert widths(draw_bars(rows, CLIPPED)) == [0, 0]
    page = draw_estimators(EstimatorComparison("int8", "onnx", 3, None, None, rows), "net")
    assert "Top-1" not in page
    assert "calibration pass" not in page
    assert "exact" in page


def test_the_best_comes_first_and_names_are_escaped() -> None:
    rows = (*ROWS, Estimated(HOSTILE, 0.5, 0.5, 1.0, 0.0, 0.1))
    page = draw_estimators(EstimatorComparison(HOSTILE, "onnx", 1000, 0.9, 0.5, rows), HOSTILE)
    assert HOSTILE not in page
    assert re.findall(r'<th scope="row">([\w:]+)<', page) == ["mse", "min_max", "mean_std:3"]
    assert '<tr class="chosen"><th scope="row">mse' in page
    assert page == draw_estimators(EstimatorComparison(HOSTILE, "onnx", 1000, 0.9, 0.5, rows), HOSTILE)


@pytest.mark.skipif(FOUND is None, reason="there is no Chromium, so the page was not looked at")
def test_it_works_in_a_browser(tmp_path: Path) -> None:
    write_estimators(FOUND_ROWS, tmp_path / "e.html", "net.onnx")
    with opened(tmp_path / "e.html") as page:
        page.show(390, 800, "dark")
        assert page.run("document.documentElement.scrollWidth") == 390
        page.run("document.querySelectorAll('button.sort')[5].click()")         # by time
        assert page.run("document.querySelector('tbody th').textContent") == "min_max"
        assert page.complaints() == []
        assert page.requests() == [(tmp_path / "e.html").as_uri()]
