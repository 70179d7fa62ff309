"""Sensitivities on the page: sorted, drawn, told in words, and absent where nobody measured them."""

from dataclasses import replace

import pytest
from made_up import HOSTILE, made_up

from bitsmith.report.losses import MOST, bar_of, draw_loss, largest_loss, loss_key, loss_text
from bitsmith.report.page import draw_page
from bitsmith.report.rows import Sensitive

ROWS = (Sensitive("a", "int4 weights", 0.05, 12.0), Sensitive("b", "int4 weights", 0.025, 9.0),
        Sensitive("c", "int8 weights", -0.001, 40.0))
NOISY = (Sensitive("a", "int2", None, 0.0), Sensitive("b", "int4", None, 30.0), Sensitive("c", "int8", None, 90.0),
         Sensitive("d", "int16", None, float("inf")))


def test_bars_are_in_proportion() -> None:
    assert [bar_of(row, largest_loss(ROWS)) for row in ROWS] == [1.0, 0.5, 0.0]
    assert [bar_of(row, largest_loss(NOISY)) for row in NOISY] == pytest.approx([1.0, 0.5, 0.0, 0.0])
    assert bar_of(Sensitive("x", "int4"), 0.0) == 0.0
    assert largest_loss((Sensitive("x", "int4"),)) == 0.0


def test_words_say_what_bars_show() -> None:
    assert loss_text(ROWS[0]) == "−5.00 points, int4 weights"
    assert loss_text(ROWS[2]) == "+0.10 points, int8 weights"
    assert loss_text(NOISY[1]) == "30.0 dB, int4"
    assert loss_text(None) == ""
    assert 'aria-label="−5.00 points, int4 weights"' in draw_loss(ROWS[0], 0.05)


def test_more_sensitive_sorts_higher() -> None:
    assert [loss_key(row) for row in (*ROWS[:2], *NOISY[:2], NOISY[3], None)] == [0.05, 0.025, 0.0, -30.0, None, None]


def test_the_page_shows_them_only_where_they_are_given() -> None:
    assert "Sensitivity</h2>" not in draw_page(made_up())
    page = draw_page(replace(made_up(), sensitive=ROWS))
    assert page.index("int4 weights") < page.index("int8 weights")
    assert '<a href="#sensitivity">' in page


def test_layers_show_the_worst_of_theirs() -> None:
    report = made_up()
    layers = (replace(report.layers[0], sensitivity=ROWS[0]), *report.layers[1:])
    assert ">sensitivity</button>" not in draw_page(report)
    page = draw_page(replace(report, layers=layers))
    assert ">sensitivity</button>" in page
    assert '<td class="n" data-v="0.05">−5.00 points, int4 weights</td>' in page


def test_names_stay_text_and_only_the_worst_are_shown() -> None:
    page = draw_page(replace(made_up(), sensitive=tuple(Sensitive(HOSTILE, HOSTILE, 0.1) for _ in range(MOST + 5))))
    assert "<script>alert" not in page
    assert f"the {MOST} most sensitive of {MOST + 5} settings" in page
