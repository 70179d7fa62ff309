"""What the command line shows: tables, progress on standard error, one clear line for an error."""

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

Advance = Callable[[int, int | None], None]
SILENT_SECONDS = 1.0        # shorter work shows no bar

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)


def print_json(data: Mapping[str, Any]) -> None:
    """One JSON object on standard output."""
    sys.stdout.write(json.dumps(data, default=plain, allow_nan=False) + "\n")


def plain(value: Any) -> Any:
    """Arrays, numpy numbers, paths and sets as JSON has them."""
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    return sorted(value) if isinstance(value, set | frozenset) else str(value)


def finite(value: Any) -> Any:
    """The same data with null for what JSON has no word for (infinities, NaN)."""
    if isinstance(value, float):
        return value if np.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(k): finite(v) for k, v in value.items()}
    return [finite(v) for v in value] if isinstance(value, list | tuple) else value


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]], *, left: int = 1) -> Table:
    """A table whose first `left` columns are text and the others numbers; names from files are shown as they are, never as markup."""
    made = Table(title=Text(title, style="bold"), title_justify="left", header_style="bold", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for index, column in enumerate(columns):
        made.add_column(column, justify="left" if index < left else "right", overflow="fold")
    for row in rows:
        made.add_row(*(cell if isinstance(cell, Text) else Text(show(cell)) for cell in row))
    return made


def show(value: Any) -> str:
    """A cell: integers with thin groups, reals with six digits, nothing for None."""
    if value is None:
        return ""
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.2f} %"


def size(count: float) -> str:
    """Bytes with a unit."""
    for unit in ("B", "KB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.2f} GB"


def confusion(matrix: Sequence[Sequence[int]], names: Sequence[str] | None = None) -> Table:
    """Counts [true, answered]; right answers bold, zeros as dots."""
    labels = names or [str(i) for i in range(len(matrix))]
    rows = []
    for true, counts in enumerate(matrix):
        styles = ["bold green" if given == true else "red" if n else "dim" for given, n in enumerate(counts)]
        cells = [Text(str(n) if n else "·", style=style) for n, style in zip(counts, styles, strict=True)]
        rows.append([labels[true], *cells])
    return table("true class (rows) and answer (columns)", ["", *labels], rows)


@contextmanager
def progress_bar(title: str) -> Iterator[Advance]:
    """A bar on standard error for work longer than a second; nothing where that is not a terminal."""
    from time import monotonic

    bar = Progress(SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
                   console=err, transient=True, disable=not err.is_terminal)
    task, started = bar.add_task(title, total=None), monotonic()

    def advance(done: int, total: int | None) -> None:
        if not bar.live.is_started and monotonic() - started > SILENT_SECONDS:
            bar.start()
        bar.update(task, completed=done, total=total)

    try:
        yield advance
    finally:
        bar.stop()


def print_error(message: str) -> None:
    """One message on standard error, never interpreted as markup."""
    err.print(Text("bitsmith: ", style="bold red") + Text(message), soft_wrap=True)
