"""The demonstration: what it measures, and what it looks like."""

import io
from contextlib import nullcontext
from pathlib import Path

import pytest
from rich.console import Console

from bitsmith.demo import DEMONSTRATION, Demonstration, demonstrate
from bitsmith.display import show_demonstration, show_verification
from bitsmith.terminal import size


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Demonstration:
    return demonstrate(tmp_path_factory.mktemp("demo"), lambda title: nullcontext())


def text_of(found: Demonstration, width: int) -> str:
    console = Console(width=width, record=True, file=io.StringIO(), highlight=False)
    console.print(*show_demonstration(found), sep="\n")
    return console.export_text()


def test_int8_is_as_good_as_float_on_every_engine(found: Demonstration) -> None:
    float_top1 = found.result.float_evaluation.top1
    for evaluation in found.evaluations.values():
        assert evaluation.samples == 500
        assert evaluation.top1 >= float_top1 - 0.004
        assert evaluation.agreement > 0.99


def test_program_and_onnxruntime_agree_in_every_code(found: Demonstration) -> None:
    assert found.verification.exact
    assert found.verification.comparisons[-1].codes > 1_000_000


def test_the_written_file_is_smaller(found: Demonstration) -> None:
    assert [path.name for path in found.written] == [DEMONSTRATION, "digits.int8.plan.json"]
    assert found.written[0].stat().st_size < 0.45 * found.original.stat().st_size


@pytest.mark.parametrize("width", [80, 120])
def test_all_is_seen_in_any_width(found: Demonstration, width: int) -> None:
    shown = text_of(found, width)
    words = ["float32  onnxruntime  99.20 %", "int8     onnxruntime", "int8     simulated", "int8     program", "true class (rows)"]
    assert all(word in shown for word in [*words, "program - onnxruntime", "agree in every code", "wrote "]), shown
    assert size(found.original.stat().st_size) in shown
    assert "values whose codes differ" not in shown


def test_verification_in_full_lists_the_values(found: Demonstration) -> None:
    console = Console(width=80, record=True, file=io.StringIO(), highlight=False)
    console.print(*show_verification(found.verification), sep="\n")
    shown = console.export_text()
    assert "codes that differ, by value" in shown
    assert "first apart at" in shown
    assert shown.splitlines()[1].split() == ["engines", "differ", "at", "most", "by", "same", "answer", "output", "error"]


def test_the_same_twice(found: Demonstration, tmp_path: Path) -> None:
    again = demonstrate(tmp_path, lambda title: nullcontext())
    assert again.written[0].read_bytes() == found.written[0].read_bytes()
