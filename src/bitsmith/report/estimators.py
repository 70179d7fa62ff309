"""A page about a comparison of range estimators: bars for each measure, and the numbers in a table."""

from collections.abc import Callable, Sequence
from functools import cache
from math import inf, isfinite
from pathlib import Path
from typing import NamedTuple

from jinja2 import Template
from markupsafe import Markup, escape

from bitsmith.files import write_atomically
from bitsmith.report.estimator_rows import Estimated, EstimatorComparison
from bitsmith.report.page import hash_of, make_environment, read
from bitsmith.report.words import decibels, scaled, share

NAMES, WIDTH, SAID, ROW, TOP = 210, 320, 110, 26, 6      # of a picture: names, the longest bar, numbers behind bars; heights
TIMES = ("µs", "ms", "s")


class Measure(NamedTuple):
    """key, title  one column and one picture
    note           what it means
    value, text    of a row; None where nobody measured it
    """

    key: str
    title: str
    note: str
    value: Callable[[Estimated], float | None]
    text: Callable[[Estimated], str]


SNR = Measure("snr", "signal to noise", "of the network's outputs against its float outputs: more is better",
              lambda row: row.snr_db, lambda row: decibels(row.snr_db))
TOP1 = Measure("top1", "top-1", "share of right answers; dashed: the float network's", lambda row: row.top1, lambda row: share(row.top1))
SAME = Measure("same", "same answer", "share of samples to which the float network gives the same answer",
               lambda row: row.agreement, lambda row: share(row.agreement))
CLIPPED = Measure("clipped", "clipped", "share of all numbers counted in calibration that lie beyond the codes",
                  lambda row: row.clipped, lambda row: share(row.clipped, 4))
TIME = Measure("seconds", "time", "for the whole plan, once the statistics that serve all are there",
               lambda row: row.seconds, lambda row: scaled(1e6 * row.seconds, TIMES))


def write_estimators(found: EstimatorComparison, path: str | Path, title: str) -> None:
    """Write one self-contained HTML file beside, then rename. Raises BitsmithError where the folder cannot be written."""
    write_atomically(Path(path), draw_estimators(found, title).encode())


def draw_estimators(found: EstimatorComparison, title: str) -> str:
    """The page; the same rows give the same text."""
    script = read("page.js")
    rows = sorted(found.rows, key=lambda row: -inf if row.snr_db is None else row.snr_db, reverse=True)
    kinds = [measure for measure in (TOP1, SNR, SAME, CLIPPED, TIME) if any(measure.value(row) is not None for row in rows)]
    pictures = [(kind, draw_bars(rows, kind, found.float_top1 if kind is TOP1 else None)) for kind in kinds]
    return page_template().render(
        found=found, rows=rows, pictures=pictures, title=title, style=Markup(read("page.css")), script=Markup(script),
        script_hash=hash_of(script), best=found.best.estimator,
    )


@cache
def page_template() -> Template:
    return make_environment(read).get_template("estimators.html")


def draw_bars(rows: Sequence[Estimated], measure: Measure, limit: float | None = None) -> Markup:
    """One bar to the right for each row, from 0, with its number behind it; a dashed line where a limit is."""
    values = [measure.value(row) for row in rows]
    longest = max([value for value in (*values, limit) if value is not None and isfinite(value)], default=0.0)
    lines = "".join(draw_bar(i, row, measure, longest) for i, row in enumerate(rows))
    height = TOP + ROW * len(rows)
    dashed = "" if limit is None else f'<path class="limit" d="M{NAMES + length(limit, longest)} {TOP - 4}V{height}"/>'
    said = f"{measure.title}: " + ", ".join(f"{row.estimator} {measure.text(row)}" for row in rows)
    return Markup(f'<svg class="chart front" viewBox="0 0 {NAMES + WIDTH + SAID} {height + 4}" role="img" aria-label="{escape(said)}">'
                  f"{lines}{dashed}</svg>")


def draw_bar(place: int, row: Estimated, measure: Measure, longest: float) -> str:
    middle, end = TOP + ROW * place + ROW // 2, length(measure.value(row), longest)
    return (f'<text class="last" x="{NAMES - 8}" y="{middle + 5}">{escape(row.estimator)}</text>'
            f'<rect class="bar" x="{NAMES}" y="{middle - 8}" width="{end}" height="16"/>'
            f'<text class="first" x="{NAMES + end + 6}" y="{middle + 5}">{escape(measure.text(row))}</text>')


def length(value: float | None, longest: float) -> float:
    """In the picture's units: nothing for what is negative or unknown, all for what is endless."""
    if value is None or value <= 0:
        return 0
    return WIDTH if value >= longest else round(WIDTH * value / longest, 1)
