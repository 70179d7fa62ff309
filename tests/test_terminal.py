"""Tables, names, numbers and progress, as a terminal of some width shows them."""

import io
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console, RenderableType

from bitsmith import terminal
from bitsmith.terminal import confusion, finite, fold, percent, plain, print_json, printable, progress_bar, short, size, table

LONG = "/separable/depthwise_norm/BatchNormalization_output_0"


def lines(block: RenderableType, width: int = 80) -> list[str]:
    console = Console(width=width, record=True, file=io.StringIO(), highlight=False)
    console.print(block)
    return [line.rstrip() for line in console.export_text().splitlines()]


@given(st.text("ab/._- 0A"), st.integers(1, 20))
def test_folded_lines_fit_and_lose_no_letter(text: str, width: int) -> None:
    folded = fold(text, width)
    assert all(len(line) <= width for line in folded)
    assert "".join(folded).replace(" ", "") == text.replace(" ", "")


@pytest.mark.parametrize(
    ("text", "width", "folded"),
    [
        ("short", 10, ["short"]),
        ("", 10, [""]),
        ("two words here", 9, ["two words", "here"]),
        (LONG, 30, ["/separable/depthwise_norm/", "BatchNormalization_output_0"]),
        ("GlobalAveragePool", 12, ["Global", "AveragePool"]),
        ("conv_transpose_17", 15, ["conv_", "transpose_17"]),
        ("xxxxxxxxxxxx", 5, ["xxxxx", "xxxxx", "xx"]),
        ("int8 [-3.09846, 3.07425]", 16, ["int8 [-3.09846,", "3.07425]"]),
    ],
)
def test_names_are_folded_where_a_reader_would(text: str, width: int, folded: list[str]) -> None:
    assert fold(text, width) == folded


@pytest.mark.parametrize("width", [60, 80, 120])
def test_numbers_are_never_broken_and_long_names_give_way(width: int) -> None:
    shown = lines(table("title", ["name", "count", "share"], [[LONG, 123456789, "99.99 %"], ["b", None, 0.25]]), width)
    assert shown[0] == "title"
    assert any("123,456,789" in line and "99.99 %" in line for line in shown)
    assert all(len(line) <= width for line in shown)


def test_a_table_takes_no_more_room_than_it_needs() -> None:
    assert lines(table("t", ["a", "b"], [["x", 1]])) == ["t", "a  b", "x  1"]


def test_without_column_names_there_is_no_line_for_them() -> None:
    assert lines(table("t", ["", ""], [["x", 1]])) == ["t", "x  1"]


def test_cells_are_not_markup() -> None:
    assert "[red]x[/red]" in lines(table("[b]t", ["a"], [["[red]x[/red]"]]))[2]


def test_control_characters_are_written_out() -> None:
    assert printable("a\nb\x1b[31m\u202e") == r"a\nb\x1b[31m\u202e"


@pytest.mark.parametrize(
    ("count", "words"), [(0, "0 B"), (999, "999 B"), (1000, "1.0 KB"), (49349, "49.3 KB"), (999_600, "1.0 MB"), (3.2e9, "3.2 GB")]
)
def test_sizes(count: float, words: str) -> None:
    assert size(count) == words


@pytest.mark.parametrize(
    ("count", "words"), [(None, ""), (0, ""), (7, "7"), (999, "999"), (1000, "1K"), (13824, "13.8K"), (999_999, "1M"), (4e7, "40M")]
)
def test_short_counts(count: float | None, words: str) -> None:
    assert short(count) == words


def test_percentages() -> None:
    assert percent(0.9876) == "98.76 %"
    assert percent(None) == ""


def test_confusion_matrix_shows_counts_and_dots() -> None:
    shown = lines(confusion([[5, 0], [2, 3]], ["cat", "dog"]))
    assert shown[1:] == ["     cat  dog", "cat    5    ·", "dog    2    3"]


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (float("nan"), None),
        (np.float64("inf"), None),
        ({"a": (1.5, float("-inf"))}, {"a": [1.5, None]}),
        ({3: [True, "x"]}, {"3": [True, "x"]}),
    ],
)
def test_json_has_null_for_what_it_cannot_say(value: Any, found: Any) -> None:
    assert finite(value) == found


def test_arrays_numbers_and_sets_become_json(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"a": np.arange(3), "b": np.float32(0.5), "c": frozenset("ba"), "d": np.array([np.inf, 1]), "e": np.int64(7)})
    assert json.loads(capsys.readouterr().out) == {"a": [0, 1, 2], "b": 0.5, "c": ["a", "b"], "d": [None, 1], "e": 7}
    assert plain(io) == str(io)


def test_progress_says_nothing_where_nobody_looks(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(terminal, "SILENT_SECONDS", -1.0)
    with progress_bar("working") as advance:
        advance(1, 2)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(("patience", "shown"), [(-1.0, True), (3600.0, False)])
def test_progress_shows_on_a_terminal_when_it_takes_long(patience: float, shown: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    class Screen(io.StringIO):
        def isatty(self) -> bool:
            return True

    screen = Screen()
    monkeypatch.setattr("sys.stderr", screen)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(terminal, "SILENT_SECONDS", patience)
    with progress_bar("working") as advance:
        advance(1, 2)
        advance(2, 2)
    assert ("working" in screen.getvalue()) == shown


def test_a_bar_is_taken_away_when_the_work_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(KeyError), progress_bar("working"):
        raise KeyError
