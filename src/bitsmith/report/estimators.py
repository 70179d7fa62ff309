"""A page about a comparison of range estimators: bars for each measure, and the numbers in a table."""

from functools import cache
from math import inf
from pathlib import Path

from jinja2 import Template
from markupsafe import Markup

from bitsmith.files import write_atomically
from bitsmith.report.bars import Measure, draw_bars
from bitsmith.report.estimator_rows import Estimated, EstimatorComparison
from bitsmith.report.page import hash_of, make_environment, read
from bitsmith.report.words import decibels, scaled, share

TIMES = ("µs", "ms", "s")


SNR = Measure[Estimated]("snr", "signal to noise", "of the network's outputs against its float outputs: more is better",
              lambda row: row.snr_db, lambda row: decibels(row.snr_db))
TOP1 = Measure[Estimated]("top1", "top-1", "share of right answers; dashed: the float network's",
                          lambda row: row.top1, lambda row: share(row.top1))
SAME = Measure[Estimated]("same", "same answer", "share of samples to which the float network gives the same answer",
               lambda row: row.agreement, lambda row: share(row.agreement))
CLIPPED = Measure[Estimated]("clipped", "clipped", "share of all numbers counted in calibration that lie beyond the codes",
                  lambda row: row.clipped, lambda row: share(row.clipped, 4))
TIME = Measure[Estimated]("seconds", "time", "for the whole plan, once the statistics that serve all are there",
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
