"""A page about ways to compute in C: bars for each measure, and the numbers in a table."""

from functools import cache
from pathlib import Path

from jinja2 import Template
from markupsafe import Markup

from bitsmith.files import write_atomically
from bitsmith.report.bars import Measure, draw_bars
from bitsmith.report.c_rows import CComparison, CVariant
from bitsmith.report.page import hash_of, make_environment, read
from bitsmith.report.words import decibels, share

MEASURES = (
    Measure[CVariant]("instructions", "instructions", "for one sample, counted by QEMU: less is better",
                      lambda row: row.instructions, lambda row: whole(row.instructions)),
    Measure[CVariant]("flash", "flash", "bytes of code and constants: less is better", lambda row: row.flash, lambda row: whole(row.flash)),
    Measure[CVariant]("ram", "RAM", "bytes, without the stack: less is better", lambda row: row.ram, lambda row: whole(row.ram)),
    Measure[CVariant]("top1", "top-1", "share of right answers of the C itself; dashed: the float network in onnxruntime",
                      lambda row: row.top1, lambda row: share(row.top1)),
    Measure[CVariant]("same", "same answer", "share of samples to which the float network gives the same answer",
                      lambda row: row.agreement, lambda row: share(row.agreement)),
    Measure[CVariant]("snr", "signal to noise", "of the outputs, against the float network's: more is better",
                      lambda row: row.snr_db, lambda row: decibels(row.snr_db)),
)


def whole(number: int | None) -> str:
    return "" if number is None else f"{number:,}"


def write_c_comparison(found: CComparison, path: str | Path, title: str) -> None:
    """Write one self-contained HTML file beside, then rename. Raises BitsmithError where the folder cannot be written."""
    write_atomically(Path(path), draw_c_comparison(found, title).encode())


def draw_c_comparison(found: CComparison, title: str) -> str:
    """The page; the same rows give the same text."""
    script = read("page.js")
    measures = [measure for measure in MEASURES if any(measure.value(row) is not None for row in found.rows)]
    pictures = [(kind, draw_bars(found.rows, kind, found.float_top1 if kind.key == "top1" else None)) for kind in measures]
    return page_template().render(found=found, pictures=pictures, title=title, style=Markup(read("page.css")), script=Markup(script),
                                  script_hash=hash_of(script))


@cache
def page_template() -> Template:
    return make_environment(read).get_template("compare_c.html")
