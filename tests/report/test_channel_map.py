"""The map of channels: a row for each, grey for what is lost, small in a page of many."""

import re
from dataclasses import replace

import pytest
from made_up import made_up

from bitsmith.report.channel_map import MOST_ROWS, cells_of, draw_channel_bits, merged, rows_for, rows_together
from bitsmith.report.page import draw_page
from bitsmith.report.pictures import Columns
from bitsmith.report.rows import ChannelBits, ChannelRow, Significant, Tensor

ROW = ChannelRow((0, 1), (4, 8), (1, 0), (0, 2), 4)
TENSOR = Tensor("x", "weight", "", Significant((), (), (), 0), channel_bits=ChannelBits(1, 100, 1, (ROW,) * 100))


def test_cells_are_cut_where_numbers_are_lost() -> None:
    found = cells_of(ROW, Columns(0, 1), 3)
    assert [name[0] for name, _ in found] == ["o", "i", "i", "o"]
    assert [piece for _, piece in found] == ["M0 3.5h.25", "M.25 3.5h.75", "M1 3.5h.75", "M1.75 3.5h.25"]


def test_rows_are_pooled_by_adding() -> None:
    other = ChannelRow((1, 2), (1, 1), (1, 0), (0, 0), 1)
    assert merged([ROW, other]) == ChannelRow((0, 1, 2), (4, 9, 1), (1, 1, 0), (0, 2, 0), 5)


@pytest.mark.parametrize(("most", "each", "rows"), [(64, 2, 50), (8, 13, 8), (1000, 1, 100)])
def test_no_more_rows_than_allowed(most: int, each: int, rows: int) -> None:
    assert TENSOR.channel_bits is not None
    assert rows_together(TENSOR.channel_bits, most) == each
    drawn = draw_channel_bits(TENSOR, most)
    assert len(set(re.findall(r"M[\d.]+ (\d+).5h", drawn))) == rows
    assert f"100 channels of x, {each} in a row" in drawn


def test_nothing_is_drawn_of_nothing() -> None:
    assert draw_channel_bits(replace(TENSOR, channel_bits=None)) == ""
    assert draw_channel_bits(replace(TENSOR, channel_bits=ChannelBits(0, 1, 1, (ChannelRow((), (), (), (), 9),)))) == ""


def test_many_tensors_get_few_rows_each() -> None:
    assert rows_for([TENSOR]) == MOST_ROWS
    assert rows_for([TENSOR] * 500) == 10
    assert rows_for([TENSOR] * 1000) == 0


def test_a_page_of_too_many_tensors_says_that_channels_are_left_out() -> None:
    page = draw_page(replace(made_up(), tensors=(TENSOR,) * 1000))
    assert "too many to show their channels" in page
    assert "one by one</summary>" not in page


def test_the_page_says_what_a_row_is() -> None:
    page = draw_page(made_up())
    assert "each row is 2 neighbouring channels together" in page
    assert page.count("128 channels, one by one</summary>") == 6
