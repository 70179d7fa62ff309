"""Pictures show what the rows say."""

import re
from dataclasses import replace

import pytest

from bitsmith.report import pictures
from bitsmith.report.rows import Distribution, Lost, Significant, Tensor

BITS = Significant((-3, -2, 0, 1), (1, 2, 3, 4), (0, 2, 0, 10), 5)
TENSOR = Tensor("x", "activation", "calibration data", BITS, "int8", "", -2.0, 2.0, 0.25)


def spans(picture: str, kind: str) -> list[tuple[float, float]]:
    """From where to where the lines of a kind of cell reach, in columns."""
    paths = re.findall(rf'class="{kind}\d" d="([^"]*)"', picture)
    lines = [line for path in paths for line in re.findall(r"M([\d.]+) .5h([\d.]+)", path)]
    return sorted((float(start), float(start) + float(length)) for start, length in lines)


def test_counts_of_both_signs_are_one_cell() -> None:
    assert BITS.counts == (1, 4, 3, 14)
    assert BITS.total == 27


def test_columns_reach_from_the_smallest_common_bit_to_the_largest() -> None:
    assert pictures.columns_of([BITS, replace(BITS, exponents=(-5, -2, 0, 7))]) == pictures.Columns(-5, 7)


def test_rare_small_numbers_are_pooled_in_the_first_column() -> None:
    rare = Significant((-90, 0, 1), (1, 50_000, 50_000), (0, 0, 0), 0)
    columns = pictures.columns_of([rare])
    assert columns == pictures.Columns(0, 1)
    assert pictures.cells(rare.exponents, rare.counts, columns) == [50_001, 50_000]


def test_a_strip_is_grey_where_numbers_are_lost() -> None:
    """What becomes 0 at the left of its cell, what is clipped at the right."""
    lost = Lost((1, 1, 0, 0), (0, 0, 0, 7), (1, 0, 0, 0), (0, 1, 0, 7))
    strip = pictures.heat_strip(replace(TENSOR, lost=lost), pictures.Columns(-4, 2))
    assert spans(strip, "o") == [(1, 2), (2, 2.25), (5.5, 6)]
    assert spans(strip, "i") == [(2.25, 3), (4, 5), (5, 5.5)]
    assert 'class="can" d="M2 .96h4"' in strip                       # half a step is 2^-3, the far end is 2^1
    assert 'class="can"' not in pictures.heat_strip(replace(TENSOR, lost=lost, blocks=2), pictures.Columns(-4, 2))


def test_the_ends_of_bars_are_grey_by_what_is_lost() -> None:
    drawn = pictures.draw_bits(replace(TENSOR, lost=Lost((0, 0, 0, 0), (0, 0, 0, 0), (0, 1, 0, 0), (0, 0, 0, 10))))
    assert re.findall(r'class="lost" d="([^"]*)"', drawn) == ["M1.5 28v14", "M4.5 200v-143"]
    assert 'class="lost"' not in pictures.draw_bits(TENSOR)


def test_errors_are_drawn_with_what_rounding_alone_can_cause() -> None:
    row = replace(TENSOR, errors=Distribution(-2.0, 2.0, (0.25, 0.5, 0.25, 0.0)), rounding=1.0)
    drawn = pictures.draw_errors(row)
    assert re.findall(r'class="limit" d="M(\d+) ', drawn) == ["168", "488"]          # a quarter and three quarters of 640, behind 8
    assert 'class="bar" d="M0 200v-141h1v-59h1v59h1v141h1"' in drawn
    assert 'class="limit"' not in pictures.draw_errors(replace(row, rounding=3.0))   # outside of the picture
    assert pictures.draw_errors(TENSOR) == ""


def test_a_strip_in_float_has_no_grey() -> None:
    strip = pictures.heat_strip(Tensor("x", "activation", "", BITS), pictures.Columns(-4, 2))
    assert spans(strip, "o") == []
    assert "float" in strip


@pytest.mark.parametrize(("share", "shade"), [(0, 0), (1e-9, 1), (1e-4, 2), (0.2, 7), (0.25, 8), (1, 8)])
def test_more_is_darker(share: float, shade: int) -> None:
    assert pictures.shade(share) == shade


def test_bars_stand_on_their_signs_side() -> None:
    up, down = re.findall(r'class="bars" d="([^"]*)"', pictures.draw_bits(TENSOR))
    assert [int(v) for v in re.findall(r"v(-?\d+)", up)] == [-14, -29, -43, -57]       # 200 units for 4 + 10 numbers
    assert [int(v) for v in re.findall(r"v(-?\d+)", down)] == [29, 143]


def test_strokes_say_how_far_the_next_is() -> None:
    assert pictures.strokes([(0, 100, -30), (1, 100, -40), (5, 20, 7)]) == "M0.5 100v-30m1 30v-40m4-40v7"


def test_an_outline_rises_with_the_root_of_shares() -> None:
    assert pictures.steps([0.0, 1.0, 0.25], 1.0, "bar") == '<path class="bar" d="M0 200h1v-200h1v100h1v100"/>'


def test_what_is_not_nothing_is_seen() -> None:
    assert pictures.tall(0.01) == 1
    assert pictures.tall(-0.01) == -1


@pytest.mark.parametrize(("value", "text"), [(0.5, ".5"), (0, "0"), (-0.001, "0"), (10, "10"), (1.256, "1.26"), (100.0, "100")])
def test_numbers_are_short(value: float, text: str) -> None:
    assert pictures.short(value) == text


def test_a_distribution_is_marked_at_round_numbers() -> None:
    drawn = pictures.draw_distribution(replace(TENSOR, distribution=Distribution(-2.5, 2.5, (0.5, 0.5), (0.25, 0.75))))
    assert re.findall(r">(−?[\d.]+)</text>", drawn) == ["−2", "−1", "0", "1", "2"]


def test_nothing_is_drawn_of_nothing() -> None:
    empty = Tensor("x", "weight", "", Significant((), (), (), 9))
    assert pictures.draw_distribution(empty) == pictures.draw_channels(empty) == ""
    assert "all zero" in pictures.draw_bits(empty)
    assert "all zero" in pictures.heat_strip(empty, pictures.columns_of([empty.bits]))
