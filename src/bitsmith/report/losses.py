"""How sensitive layers are, drawn as bars: accuracy lost where anybody measured it, else noise against the loudest."""

from collections.abc import Iterable
from math import isfinite

from markupsafe import Markup

from bitsmith.report.rows import Sensitive
from bitsmith.report.words import decibels, points

MOST = 120          # rows
SPAN = 60.0         # decibels: a bar is full at the noisiest setting and empty so far below it


def drops_known(rows: Iterable[Sensitive]) -> bool:
    return any(row.drop is not None for row in rows)


def largest_loss(rows: Iterable[Sensitive]) -> float:
    """What a full bar stands for: accuracy, or minus decibels."""
    known = list(rows)
    if drops_known(known):
        return max(*(row.drop or 0.0 for row in known), 1e-9)
    return max((-row.snr_db for row in known if row.snr_db is not None and isfinite(row.snr_db)), default=0.0)


def draw_loss(row: Sensitive, largest: float) -> Markup:
    """A bar across its cell, with the same in words for those who cannot see it."""
    width = round(100 * bar_of(row, largest))
    return Markup('<svg class="meter" viewBox="0 0 100 4" preserveAspectRatio="none" role="img" aria-label="{}">'
                  '<rect width="{}" height="4"/></svg>').format(loss_text(row), width)


def bar_of(row: Sensitive, largest: float) -> float:
    """0 to 1."""
    if row.drop is not None:
        return min(1.0, max(0.0, row.drop / largest)) if largest > 0 else 0.0
    if row.snr_db is None:
        return 0.0
    return min(1.0, max(0.0, 1 - (row.snr_db + largest) / SPAN)) if largest <= 0 or isfinite(row.snr_db) else 0.0


def loss_text(row: Sensitive | None) -> str:
    """In a cell of the table of layers."""
    if row is None:
        return ""
    found = points(row.drop) if row.drop is not None else decibels(row.snr_db)
    return f"{found}, {row.format}"


def loss_key(row: Sensitive | None) -> float | None:
    """By which it is sorted: the larger, the more sensitive."""
    if row is None or row.drop is not None:
        return None if row is None else row.drop
    return -row.snr_db if row.snr_db is not None and isfinite(row.snr_db) else None
