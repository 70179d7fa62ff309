"""How a search looks in a terminal: what it measured as a plot, what nobody beats as a table, and what it chose."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Group
from rich.text import Text

from bitsmith.display import Shown, many
from bitsmith.display_sensitivity import bar
from bitsmith.terminal import heading, percent, printable, short, size, table

if TYPE_CHECKING:
    from bitsmith.analysis.search_points import Loss, Point, Search

WIDTH, HEIGHT = 60, 12          # of the plot
SHOWN_LOSS = 3.0                # tolerances; points that lose more lie on the plot's upper edge
WORDS = {"bytes": "bytes", "bitops": "bit operations", "energy": "energy"}


def show_search(found: "Search") -> Shown:
    """The plot, the front, the widths of the chosen point, and what is worth knowing."""
    shown: Shown = [Group(*plot(found)), show_front(found)]
    if (best := found.best) is not None:
        shown.append(show_widths(best))
    return [*shown, Group(*(Text(printable(line)) for line in (*verdict(found), *found.notes)))]


def cost_text(value: float, cost: str) -> str:
    if cost == "bytes":
        return size(value)
    return short(value) if cost == "bitops" else f"{value / 1e6:.4g} µJ"


def plot(found: "Search") -> list[Text]:
    """Loss upwards, cost to the right; the front is drawn as ●, what it beats as ·, the choice as ◆, the tolerance as a line."""
    points, cost = found.points, [p.costs.of(found.cost) for p in found.points]
    top = SHOWN_LOSS * max(found.tolerance, 1e-4)
    low, high = min(cost), max(cost)
    rows = [[" "] * WIDTH for _ in range(HEIGHT)]
    line = row_of(found.tolerance, top)
    rows[line] = ["┄"] * WIDTH
    best = {id(p) for p in found.front()}
    for mark, chosen in (("·", [p for p in points if id(p) not in best]), ("●", found.front()), ("◆", [found.best] if found.best else [])):
        for point in chosen:
            column = round((point.costs.of(found.cost) - low) / ((high - low) or 1) * (WIDTH - 1))
            rows[row_of(point.searched.drop, top)][column] = mark
    labels = {0: f"{100 * top:.3g}+", line: f"{100 * found.tolerance:.3g}", HEIGHT - 1: "0"}
    made = [heading(f"accuracy lost in points, by {WORDS[found.cost]}")]
    made += [Text(f"{labels.get(i, ''):>5} │{''.join(row)}".rstrip()) for i, row in enumerate(rows)]
    ends = cost_text(low, found.cost), cost_text(high, found.cost)
    made.append(Text(f"      └{'─' * WIDTH}\n       {ends[0]}{ends[1]:>{WIDTH - len(ends[0])}}", style="dim"))
    return [*made, Text("       ● nobody beats it   · beaten   ◆ chosen   ┄ tolerance", style="dim")]


def row_of(loss: float, top: float) -> int:
    return HEIGHT - 1 - round(max(0.0, min(1.0, loss / top)) * (HEIGHT - 1))


def show_front(found: "Search") -> Group:
    """From cheap to dear."""
    rows = [
        [Text("◆" if point is found.best else ""), f"{number:02d}", f"{point.costs.weight_bits:.2f}",
         cost_text(point.costs.of(found.cost), found.cost), loss_text(point.searched), loss_text(point.confirmed)]
        for number, point in enumerate(found.shown(), 1)
    ]
    title = "points that nobody beats: accuracy lost, in points ± standard error"
    return Group(table(title, ["", "point", "bits a weight", WORDS[found.cost], "for searching", "held out"], rows, left=2))


def loss_text(loss: "Loss | None") -> str:
    return "" if loss is None else f"{100 * loss.drop:.2f} ± {100 * loss.error:.2f}"


def show_widths(point: "Point") -> Group:
    """Bits of every layer, with a bar."""
    roles = [role for role in ("weights", "activations") if any(role in widths for widths in point.widths.values())]
    rows = [[name, *(cell for role in roles for cell in width_cells(widths.get(role)))] for name, widths in point.widths.items()]
    names = {"weights": "weights", "activations": "result"}
    columns = ["layer", *(column for role in roles for column in (names[role], ""))]
    return Group(table("the chosen widths in bits", columns, rows, left=len(columns)))


def width_cells(bits: int | None) -> list[Text]:
    return [Text(""), Text("")] if bits is None else [Text(f"{bits:2d}"), bar(bits / 16)]


def verdict(found: "Search") -> Sequence[str]:
    """What came out, in a sentence or two."""
    best, before = found.best, found.before
    if best is None or best.confirmed is None or before is None:
        return []
    cost, whole = best.costs.of(found.cost), before.of(found.cost)
    said = f"{best.costs.weight_bits:.2f} bits a weight; {cost_text(cost, found.cost)}, {whole / cost:.1f} times less than in float"
    if best.confirmed.top1 is None:
        kept = f"{percent(best.confirmed.agreement)} of the answers are those of the float network"
    else:
        kept = f"top-1 {percent(best.confirmed.top1)} where float has {percent(found.float_top1[1])}"
    held_out = f"{kept}, on {many(best.confirmed.samples, 'sample')} that neither calibration nor search used."
    return [f"{said}.", held_out[0].upper() + held_out[1:]]

