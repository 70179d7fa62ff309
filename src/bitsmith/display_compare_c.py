"""How a comparison of ways to compute in C looks in a terminal: a table, with a bar for what each takes."""

from typing import TYPE_CHECKING, Any

from rich.text import Text

from bitsmith.display import Shown, decibels
from bitsmith.display_sensitivity import bar
from bitsmith.terminal import percent, table

if TYPE_CHECKING:
    from bitsmith.report.c_rows import CComparison, CVariant


def show_c_comparison(found: "CComparison") -> Shown:
    """In the order of the classical table: bars are instructions where those were counted, else flash."""
    counted, labelled = found.rows[0].instructions is not None, found.float_top1 is not None
    most = max(cost(row) for row in found.rows) or 1
    columns = ["way to compute", "instructions" if counted else "flash", *(["instructions"] if counted else []), "flash", "RAM",
               *(["board"] if counted else []), *(["top-1"] if labelled else []), "same answer", "signal to noise"]
    rows = [[row.name, bar(cost(row) / most), *figures(row, counted, labelled)] for row in found.rows]
    what = "the whole executable" if counted else "tables and arena alone"
    right = f"; float network in onnxruntime: top-1 {percent(found.float_top1)}" if labelled else ""
    apart = [f"{row.name}: {row.apart}" for row in found.rows if row.apart]
    said = f"on {found.on}, bytes of {what}; answers of the C on this machine for {found.samples:,} samples{right}"
    notes = [Text(text) for text in (found.left_out, f"outputs that differ on the chip: {', '.join(apart)}" if apart else "") if text]
    return [table("C, way by way", columns, rows, left=2), Text(said), *notes]


def cost(row: "CVariant") -> int:
    return row.flash if row.instructions is None else row.instructions


def figures(row: "CVariant", counted: bool, labelled: bool) -> list[Any]:
    return [*([f"{row.instructions:,}"] if counted else []), f"{row.flash:,}", f"{row.ram:,}",
            *([Text(row.board)] if counted else []), *([percent(row.top1)] if labelled else []),
            percent(row.agreement), decibels(row.snr_db)]
