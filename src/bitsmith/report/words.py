"""Numbers as people read them."""

import math
from collections.abc import Callable, Mapping

from bitsmith.report.rows import Figure, Kind

NOTHING = "–"               # nobody measured it
MINUS = "−"
BYTES = ("B", "kB", "MB", "GB", "TB")
COUNTS = ("", "k", "M", "G", "T")
TIMES = ("µs", "ms", "s")
ENERGIES = ("pJ", "nJ", "µJ", "mJ", "J")


def show(value: float | None, kind: Kind) -> str:
    """A number in its unit."""
    return NOTHING if value is None else SHOWN[kind](value)


def share(value: float | None, places: int = 2) -> str:
    """12.34 %; a share that is not 0 never looks like it."""
    if value is None:
        return NOTHING
    smallest = 10.0**-places
    if 0 < 100 * value < smallest:
        return f"< {smallest:.{places}f} %"
    return f"{100 * value:.{places}f} %" if value else "0 %"


def decibels(value: float | None) -> str:
    if value is None:
        return NOTHING
    return "exact" if value == math.inf else NOTHING if value == -math.inf else signed(f"{value:.1f} dB")


def points(drop: float) -> str:
    """Accuracy lost, in points; a sign where it rose."""
    return "0 points" if round(100 * drop, 2) == 0 else signed(f"{-100 * drop:+.2f} points")


def number(value: float | None) -> str:
    """Four digits."""
    return NOTHING if value is None else signed(f"{value:.4g}")


def signed(text: str) -> str:
    """With a minus sign as wide as a plus."""
    return text.replace("-", MINUS) if text[:1] == "-" and "e" not in text else text


def scaled(value: float, units: tuple[str, ...]) -> str:
    """1.23 MB"""
    place = 0
    while abs(value) >= 999.5 and place < len(units) - 1:
        value, place = value / 1000, place + 1
    digits = f"{value:.3g}" if abs(value) < 999.5 else f"{value:.0f}"
    return f"{digits} {units[place]}".strip()


def in_bytes(value: float) -> str:
    return scaled(value, BYTES)


def count(value: float) -> str:
    return scaled(value, COUNTS)


def area(value: float) -> str:
    return f"{value:,.0f} µm²"


SHOWN: Mapping[Kind, Callable[[float], str]] = {
    "share": share,
    "bytes": in_bytes,
    "count": count,
    "decibels": decibels,
    "picojoule": lambda v: scaled(v, ENERGIES),
    "area": area,
    "seconds": lambda v: scaled(v * 1e6, TIMES),
}


def change(figure: Figure) -> str:
    """What became of it: -0.12 points, 3.9 times less."""
    before, after = figure.before, figure.after
    if before is None or after is None:
        return ""
    if figure.kind == "share":
        points = 100 * (after - before)
        return "unchanged" if round(points, 2) == 0 else signed(f"{points:+.2f} points")
    if after == before:
        return "unchanged"
    if not after or not before:
        return "none left" if not after else ""
    ratio, word = (before / after, "less") if after < before else (after / before, "more")
    return f"{times(ratio)} times {word}"


def times(ratio: float) -> str:
    return f"{ratio:.2f}" if ratio < 1.95 else f"{ratio:.1f}" if ratio < 99.5 else f"{ratio:.0f}"
