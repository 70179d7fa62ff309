"""Every assignment of formats that a search measured, drawn by what it costs and what it loses."""

from collections.abc import Sequence

from markupsafe import Markup, escape

from bitsmith.report.rows import Tried
from bitsmith.report.words import points, scaled

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 640, 260, 56, 12, 12, 40
SHOWN = 3.0             # tolerances; points that lose more lie on the upper edge
ENERGIES = ("pJ", "nJ", "µJ", "mJ", "J")
UNITS = {"bytes": ("B", "kB", "MB", "GB", "TB"), "bitops": ("", "k", "M", "G", "T"), "energy": ENERGIES}
NAMES = {"bytes": "bytes of all constants", "bitops": "bit operations", "energy": "energy of arithmetic"}


def cost_text(value: float, cost: str) -> str:
    return scaled(value, UNITS[cost])


def draw_front(tried: Sequence[Tried], cost: str, tolerance: float) -> Markup:
    """Loss upwards, cost to the right; the tolerance as a line, and through the points that nobody beats a second one."""
    top = SHOWN * max(tolerance, 1e-4)
    costs = [t.cost for t in tried]
    low, high = min(costs), max(costs)

    def across(value: float) -> float:
        return round(LEFT + WIDTH * (value - low) / ((high - low) or 1.0), 1)

    def up(drop: float) -> float:
        return round(TOP + HEIGHT * (1 - max(0.0, min(1.0, drop / top))), 1)

    edge = sorted((t for t in tried if t.unbeaten), key=lambda t: t.cost)
    path = "M" + "L".join(f"{across(t.cost)} {up(t.drop)}" for t in edge) if edge else ""
    dots = "".join(dot(t, across(t.cost), up(t.drop), cost) for t in sorted(tried, key=lambda t: (t.chosen, t.unbeaten)))
    marks = "".join(f'<text class="last" x="{LEFT - 6}" y="{up(drop) + 5}">{escape(said)}</text>'
                    for drop, said in ((0.0, "0"), (tolerance, f"{100 * tolerance:.3g}"), (top, f"{100 * top:.3g}+")))
    ends = (f'<text class="first" x="{LEFT}" y="{TOP + HEIGHT + 22}">{escape(cost_text(low, cost))}</text>'
            f'<text class="last" x="{LEFT + WIDTH}" y="{TOP + HEIGHT + 22}">{escape(cost_text(high, cost))}</text>'
            f'<text x="{LEFT + WIDTH // 2}" y="{TOP + HEIGHT + 36}">{escape(NAMES[cost])}</text>')
    body = (f'<path class="line" d="M{LEFT} {TOP}V{TOP + HEIGHT}H{LEFT + WIDTH}"/>'
            f'<path class="limit" d="M{LEFT} {up(tolerance)}H{LEFT + WIDTH}"/><path class="line" d="{path}"/>{dots}{marks}{ends}')
    return Markup(f'<svg class="chart front" viewBox="0 0 {WIDTH + LEFT + RIGHT} {HEIGHT + TOP + BOTTOM}" role="img" '
                  f'aria-label="{len(tried)} assignments by {NAMES[cost]} and accuracy lost">{body}</svg>')


def dot(tried: Tried, x: float, y: float, cost: str) -> str:
    """A point with what it is in words."""
    kind, radius = ("chosen", 8) if tried.chosen else ("unbeaten", 5) if tried.unbeaten else ("beaten", 3)
    said = f"{tried.bits:.2f} bits a weight, {cost_text(tried.cost, cost)}, {points(tried.drop)}"
    return f'<circle class="{kind}" cx="{x}" cy="{y}" r="{radius}"><title>{escape(said)}</title></circle>'
