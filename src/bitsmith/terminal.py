"""What a terminal shows: tables that fit it, progress on standard error, one clear line for an error."""

import io
import json
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.measure import Measurement
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from bitsmith.errors import BitsmithError

Advance = Callable[[int, int | None], None]
SILENT_SECONDS = 1.0  # shorter work shows no bar
UNBROKEN = 10_000  # columns where nobody looks, but grep does
NARROWEST = 12  # columns that names are folded to at most
PLACES = re.compile(r"(?<=[/._:\-])(?!\d*$)|(?<=[a-z])(?=[A-Z])")  # where a name may be broken; not before its last number


class Name:
    """Words, and users' own names for things: wrapped between words, and within a name only where it is longer than its column."""

    def __init__(self, text: str) -> None:
        self.text = printable(text)

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        longest = max(map(len, self.text.split(" ")))
        return Measurement(min(NARROWEST, longest), len(self.text))

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield Text("\n".join(fold(self.text, options.max_width)))


def fold(text: str, width: int) -> list[str]:
    """Lines of at most `width` characters, which together are the text but for spaces at their ends."""
    lines = [""]
    for word in text.split(" "):
        if lines[-1] and len(lines[-1]) + 1 + len(word) <= width:
            lines[-1] += f" {word}"
        elif len(word) <= width:
            lines.append(word)
        else:
            lines += fold_word(word, width)
    return lines[1:] if len(lines) > 1 and not lines[0] else lines


def fold_word(word: str, width: int) -> list[str]:
    """A long word in lines: broken behind / . _ - : and before capitals where it can be, anywhere where not."""
    lines = [""]
    for piece in re.split(PLACES, word):
        if lines[-1] and len(lines[-1]) + len(piece) > width:
            lines.append("")
        lines[-1] += piece
        while len(lines[-1]) > width:
            lines[-1:] = [lines[-1][:width], lines[-1][width:]]
    return lines


def printable(text: str) -> str:
    """The text on one line, without what would move a terminal's cursor."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def print_blocks(blocks: Iterable[RenderableType]) -> None:
    """Blocks on standard output, an empty line between them; as wide as they like where that is no terminal.

    Raises BitsmithError where standard output takes no more.
    """
    screen = sys.stdout.isatty()
    wide = not screen and "COLUMNS" not in os.environ
    text = io.StringIO()
    console = Console(file=text, force_terminal=screen, highlight=False, width=UNBROKEN if wide else None)
    for index, block in enumerate(blocks):
        console.print(*([""] if index else []), block, sep="\n")
    with written_out():
        sys.stdout.write(text.getvalue())


def print_json(data: Mapping[str, Any]) -> None:
    """One JSON object on standard output. Raises BitsmithError where that takes no more."""
    with written_out():
        sys.stdout.write(json.dumps(finite(data), default=plain, allow_nan=False) + "\n")


@contextmanager
def written_out() -> Iterator[None]:
    """Flushes what the block wrote, so that a full disk is noticed here. Raises BitsmithError; BrokenPipeError passes."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as problem:
        silence()
        raise BitsmithError(f"Standard output takes no more: {problem.strerror}.") from problem


def silence() -> None:
    """Let what is still buffered for standard output go nowhere, or Python would complain at its end."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def plain(value: Any) -> Any:
    """Arrays, numpy numbers, paths and sets as JSON has them."""
    if isinstance(value, np.ndarray | np.generic):
        return finite(value.tolist())
    return sorted(value) if isinstance(value, set | frozenset) else str(value)


def finite(value: Any) -> Any:
    """The same data with null for what JSON has no word for (infinities, NaN)."""
    if isinstance(value, float):
        return float(value) if np.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(k): finite(v) for k, v in value.items()}
    return [finite(v) for v in value] if isinstance(value, list | tuple) else value


def heading(title: str) -> Text:
    return Text(printable(title), style="bold")


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]], *, left: int = 1) -> RenderableType:
    """A table under its title, whose first `left` columns are text and the others numbers, which are never broken.

    Names from files are shown as they are, never as markup. Without column names there is no line for them.
    """
    made = Table(header_style="dim", box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=any(columns))
    for index, column in enumerate(columns):
        made.add_column(column, justify="left" if index < left else "right", no_wrap=index >= left, vertical="top")
    for row in rows:
        made.add_row(*(cell_of(cell, index < left) for index, cell in enumerate(row)))
    return Group(*([heading(title)] if title else []), made)


def cell_of(cell: Any, words: bool) -> RenderableType:
    if isinstance(cell, Text):
        return cell
    return Name(show(cell)) if words else Text(show(cell))


def show(value: Any) -> str:
    """A cell: integers in groups of three, reals with four digits, nothing for None."""
    if value is None:
        return ""
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.2f} %"


def size(count: float) -> str:
    """Bytes with a unit."""
    return f"{count:.0f} B" if count < 1000 else f"{scaled(count, '.1f', ' ')}B"


def short(count: float | None) -> str:
    """A count with three digits: 14.4K, 230K, 40.6M; exact below a thousand."""
    if not count:
        return ""
    return f"{count:.0f}" if count < 1000 else scaled(count, ".3g")


def scaled(count: float, digits: str, space: str = "") -> str:
    """The number in thousands, millions or more."""
    for unit in "KMGT":
        count /= 1000
        if count < 999.5 or unit == "T":
            break
    return f"{count:{digits}}{space}{unit}"


def confusion(matrix: Sequence[Sequence[int]], names: Sequence[str] | None = None) -> RenderableType:
    """Counts [true, answered]; right answers bold, zeros as dots."""
    labels = names or [str(i) for i in range(len(matrix))]
    rows = []
    for true, counts in enumerate(matrix):
        styles = ["bold green" if given == true else "red" if n else "dim" for given, n in enumerate(counts)]
        cells = [Text(str(n) if n else "·", style=style) for n, style in zip(counts, styles, strict=True)]
        rows.append([Text(labels[true], style="dim"), *cells])
    return table("true class (rows) and answer (columns)", ["", *labels], rows)


@contextmanager
def progress_bar(title: str) -> Iterator[Advance]:
    """A bar on standard error for work longer than a second; nothing where that is not a terminal."""
    from time import monotonic

    parts = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    bar = Progress(*parts, console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty())
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
    console = Console(stderr=True, highlight=False)
    console.print(Text("bitsmith: ", style="bold red") + Text(printable(message)), soft_wrap=True)
