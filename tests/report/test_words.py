"""Numbers as people read them."""

import math

import pytest

from bitsmith.report import words
from bitsmith.report.rows import Figure


@pytest.mark.parametrize(
    ("value", "text"), [(None, "–"), (0, "0 %"), (0.00001, "< 0.01 %"), (0.0001, "0.01 %"), (0.12345, "12.35 %"), (1, "100.00 %")]
)
def test_share_that_is_not_zero_never_looks_like_it(value: float | None, text: str) -> None:
    assert words.share(value) == text


@pytest.mark.parametrize(("value", "text"), [(math.inf, "exact"), (-math.inf, "–"), (-3.25, "−3.2 dB"), (31.46, "31.5 dB"), (None, "–")])
def test_decibels(value: float | None, text: str) -> None:
    assert words.decibels(value) == text


@pytest.mark.parametrize(("value", "text"), [(0, "0 B"), (999, "999 B"), (1000, "1 kB"), (999_600, "1 MB"), (1_234_567, "1.23 MB")])
def test_bytes(value: float, text: str) -> None:
    assert words.in_bytes(value) == text


@pytest.mark.parametrize(
    ("figure", "text"),
    [
        (Figure("a", 0.9, 0.875, "share"), "−2.50 points"),
        (Figure("a", 0.9, 0.90001, "share"), "unchanged"),
        (Figure("a", 4e6, 1e6, "bytes"), "4.0 times less"),
        (Figure("a", 1e6, 1.1e6, "bytes"), "1.10 times more"),
        (Figure("a", 5, 0, "count"), "none left"),
        (Figure("a", None, 5, "count"), ""),
    ],
)
def test_change(figure: Figure, text: str) -> None:
    assert words.change(figure) == text
