"""Bars: one picture for each measure, one bar for each row, as inline SVG."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Generic, Protocol, TypeVar

from markupsafe import Markup, escape

NAMES, WIDTH, SAID, ROW, TOP = 210, 320, 110, 26, 6      # of a picture: names, the longest bar, numbers behind bars; heights


class Named(Protocol):
    """A row with a name."""

    @property
    def name(self) -> str: ...


Row = TypeVar("Row", bound=Named)


@dataclass(frozen=True)
class Measure(Generic[Row]):
    """key, title  one column and one picture
    note           what it means
    value, text    of a row; None where nobody measured it
    """

    key: str
    title: str
    note: str
    value: Callable[[Row], float | None]
    text: Callable[[Row], str]


def draw_bars(rows: Sequence[Row], measure: Measure[Row], limit: float | None = None) -> Markup:
    """One bar to the right for each row, from 0, with its number behind it; a dashed line where a limit is."""
    values = [measure.value(row) for row in rows]
    longest = max([value for value in (*values, limit) if value is not None and isfinite(value)], default=0.0)
    lines = "".join(draw_bar(i, row, measure, longest) for i, row in enumerate(rows))
    height = TOP + ROW * len(rows)
    dashed = "" if limit is None else f'<path class="limit" d="M{NAMES + length(limit, longest)} {TOP - 4}V{height}"/>'
    said = f"{measure.title}: " + ", ".join(f"{row.name} {measure.text(row)}" for row in rows)
    return Markup(f'<svg class="chart front" viewBox="0 0 {NAMES + WIDTH + SAID} {height + 4}" role="img" aria-label="{escape(said)}">'
                  f"{lines}{dashed}</svg>")


def draw_bar(place: int, row: Row, measure: Measure[Row], longest: float) -> str:
    middle, end = TOP + ROW * place + ROW // 2, length(measure.value(row), longest)
    return (f'<text class="last" x="{NAMES - 8}" y="{middle + 5}">{escape(row.name)}</text>'
            f'<rect class="bar" x="{NAMES}" y="{middle - 8}" width="{end}" height="16"/>'
            f'<text class="first" x="{NAMES + end + 6}" y="{middle + 5}">{escape(measure.text(row))}</text>')


def length(value: float | None, longest: float) -> float:
    """In the picture's units: nothing for what is negative or unknown, all for what is endless."""
    if value is None or value <= 0:
        return 0
    return WIDTH if value >= longest else round(WIDTH * value / longest, 1)
