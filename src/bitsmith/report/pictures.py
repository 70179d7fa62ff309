"""Pictures as inline SVG: heat strips of most significant bits, histograms, ranges of channels. Colours come from the page's classes."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from bitsmith.report.rows import Channels, Distribution, Significant, Tensor
from bitsmith.report.words import number, share

SHADES = (1e-4, 1e-3, 1e-2, 0.03, 0.07, 0.15, 0.25)     # shares from which a cell is one shade darker
MOST_COLUMNS = 44
RARE = 1e-4                 # share of a tensor's numbers that may be pooled in the leftmost column
WIDTH, HEIGHT = 640, 200    # of a picture in the page's units, axes left out
LEFT, RIGHT, TOP, BOTTOM = 8, 8, 10, 26
RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


@dataclass(frozen=True)
class Columns:
    """The powers of two of a heat map: column i holds numbers of exponent first + i, the leftmost all smaller ones, too."""

    first: int
    last: int

    @property
    def count(self) -> int:
        return self.last - self.first + 1


def columns_of(rows: Iterable[Significant]) -> Columns:
    """Enough for all numbers but the rarest small ones of each tensor."""
    firsts, lasts = [], []
    for row in rows:
        if row.exponents:
            firsts.append(first_common(row))
            lasts.append(row.exponents[-1])
    last = max(lasts, default=0)
    return Columns(max(min(firsts, default=0), last - MOST_COLUMNS + 1), last)


def first_common(row: Significant) -> int:
    """The exponent below which only rare numbers lie."""
    below, allowed = 0, RARE * sum(row.counts)
    for exponent, count in zip(row.exponents, row.counts, strict=True):
        below += count
        if below > allowed:
            return exponent
    return row.exponents[-1]


def reach(tensor: Tensor) -> tuple[float, float] | None:
    """Powers of two between which the codes tell numbers apart: from half a step, below which all is 0, to the farther end."""
    if tensor.step is None or tensor.low is None or tensor.high is None:
        return None
    return math.log2(tensor.step / 2), math.log2(max(abs(tensor.low), abs(tensor.high), tensor.step / 2))


def cells(exponents: Sequence[int], counts: Sequence[int], columns: Columns) -> list[int]:
    """Counts by column."""
    found = [0] * columns.count
    for exponent, count in zip(exponents, counts, strict=True):
        found[max(0, min(columns.count - 1, exponent - columns.first))] += count
    return found


def shade(part: float) -> int:
    """0 for nothing, 1 to 8."""
    return 0 if part <= 0 else 1 + sum(part >= limit for limit in SHADES)


def heat_strip(tensor: Tensor, columns: Columns) -> Markup:
    """One row of the heat map: a cell for each power of two; of each the part is grey that becomes 0 (left) or is clipped (right)."""
    bits, total = tensor.bits, max(1, tensor.bits.total)
    nothing = (0,) * len(bits.exponents)
    ends = (nothing, nothing) if tensor.lost is None else (tensor.lost.below, tensor.lost.beyond)
    below, beyond = (cells(bits.exponents, part, columns) for part in ends)
    paths: dict[str, list[str]] = {}
    for place, count in enumerate(cells(bits.exponents, bits.counts, columns)):
        if level := shade(count / total):
            for kind, a, b in pieces(place, place + below[place] / count, place + 1 - beyond[place] / count):
                paths.setdefault(f"{kind}{level}", []).append(f"M{short(a)} .5h{short(b - a)}")
    drawn = "".join(f'<path class="{name}" d="{"".join(d)}"/>' for name, d in sorted(paths.items()))
    region = reach(tensor) if tensor.blocks == 1 else None
    line = "" if region is None else boundary(region, columns)
    return Markup(f'<svg class="strip" viewBox="0 0 {columns.count} 1" preserveAspectRatio="none" role="img" '
                  f'aria-label="{escape(say_bits(tensor))}">{drawn}{line}</svg>')


def pieces(left: float, start: float, end: float) -> list[tuple[str, float, float]]:
    """A cell one wide, cut where the codes begin and end: i inside, o outside."""
    a, b = min(max(start, left), left + 1), min(max(end, left), left + 1)
    found = [("o", left, a), ("i", a, b), ("o", b, left + 1)] if b - a > 0.005 else [("o", left, left + 1)]
    return [(kind, x, y) for kind, x, y in found if y - x > 0.005]


def boundary(region: tuple[float, float], columns: Columns) -> str:
    """A line under what the codes can say."""
    a, b = (min(max(x - columns.first + 1, 0), columns.count) for x in region)
    return f'<path class="can" d="M{short(a)} .96h{short(b - a)}"/>' if b > a else ""


def short(value: float) -> str:
    """Two decimals at most, as few characters as can be."""
    text = f"{value:.2f}".rstrip("0").rstrip(".")
    return "0" if text in ("", "-0") else text.replace("0.", ".", 1) if text.startswith("0.") else text


def say_bits(tensor: Tensor) -> str:
    """The strip in words."""
    bits = tensor.bits
    if not bits.exponents:
        return "all zero"
    common = bits.exponents[max(range(len(bits.counts)), key=bits.counts.__getitem__)]
    text = f"most numbers near 2^{common - 1}, the largest below 2^{bits.exponents[-1]}"
    if tensor.clipped is None:
        return f"{text}; float"
    return f"{text}; {share(tensor.underflow)} become 0, {share(tensor.clipped)} beyond range"


def power(exponent: int) -> str:
    """2⁻¹² as a number is written whose leading bit it is."""
    return "2" + str(exponent).translate(RAISED)


def heat_axis(columns: Columns) -> Markup:
    """Powers of two above the strips: the number whose bit a column is."""
    every = 4 if columns.count > 20 else 2
    marks = [e for e in range(columns.first, columns.last + 1) if (e - 1) % every == 0]
    texts = []
    for exponent in marks:
        kind, x = "" if (exponent - 1) % (2 * every) == 0 else " class=fine", short(100 * (exponent - columns.first + 0.5) / columns.count)
        texts.append(f'<text{kind} x="{x}%" y="14">{power(exponent - 1)}</text>')
    return Markup(f'<svg class="axis" width="100%" height="18" aria-hidden="true">{"".join(texts)}</svg>')


def frame(title: str, body: str) -> Markup:
    """A picture with a name for those who cannot see it."""
    return Markup(f'<svg class="chart" viewBox="0 0 {WIDTH + LEFT + RIGHT} {HEIGHT + TOP + BOTTOM}" role="img" '
                  f'aria-label="{escape(title)}">{body}</svg>')


def stretched(columns: int, body: str) -> str:
    """Drawn in a column for each unit to the right and HEIGHT units downward: short numbers, since a page may hold a thousand pictures."""
    return (f'<svg x="{LEFT}" y="{TOP}" width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {columns} {HEIGHT}" preserveAspectRatio="none" '
            f'aria-hidden="true">{body}</svg>')


def bars(heights: Sequence[float], base: int) -> str:
    """Bars beside each other, upward from a line or, where negative, downward; heights in units."""
    return f'<path class="bars" d="{strokes((i, base, -tall(height)) for i, height in enumerate(heights) if height)}"/>'


def strokes(wanted: Iterable[tuple[int, int, int]]) -> str:
    """Upright lines in the middles of columns, each (column, where it begins, how far it goes)."""
    drawn: list[str] = []
    x = y = 0
    for column, start, length in wanted:
        drawn.append(f"m{column - x}{start - y:+d}v{length}" if drawn else f"M{column}.5 {start}v{length}")
        x, y = column, start + length
    return "".join(drawn).replace("+", " ")


def tall(height: float) -> int:
    """Whole units; at least one for what is not nothing."""
    return round(height) or (1 if height > 0 else -1)


def steps(shares: Sequence[float], highest: float, name: str) -> str:
    """A histogram's outline; heights are square roots of shares."""
    at, drawn = HEIGHT, [f"M0 {HEIGHT}"]
    for share_of_all in [*shares, 0.0]:
        y = HEIGHT - max(1, round(HEIGHT * math.sqrt(share_of_all / highest))) if share_of_all else HEIGHT
        drawn.append((f"v{y - at}" if y != at else "") + "h1")
        at = y
    return f'<path class="{name}" d="{"".join(drawn).removesuffix("h1")}"/>'


def outside(spans: Iterable[tuple[float, float]]) -> str:
    """Grey over parts of a picture, each from and to a place 0..1."""
    kept = [(max(0.0, a), min(1.0, b)) for a, b in spans]
    sized = ((round(LEFT + a * WIDTH), max(1, round((b - a) * WIDTH))) for a, b in kept if b - a > 0.001)
    drawn = (f"M{x} {TOP}h{width}v{HEIGHT}h-{width}z" for x, width in sized)
    return f'<path class="cannot" d="{"".join(drawn)}"/>'


def label(x: float, text: object) -> str:
    """At a place 0..1 of the axis; kept within the picture. Belongs among `labels`."""
    anchor = " class=first" if x < 0.02 else " class=last" if x > 0.98 else ""
    return f'<text x={LEFT + x * WIDTH:.0f}{anchor}>{text}</text>'


def labels(texts: Iterable[str]) -> str:
    """Below the axis."""
    return f'<g transform="translate(0 {TOP + HEIGHT + 18})">{"".join(texts)}</g>'


def draw_bits(tensor: Tensor) -> Markup:
    """Most significant bits of one tensor: positive numbers upward, negative ones downward; grey at the ends of bars is what is lost."""
    bits, columns = tensor.bits, columns_of([tensor.bits])
    nothing = (0,) * len(bits.exponents)
    ends = (nothing, nothing) if tensor.lost is None else (tensor.lost.positive, tensor.lost.negative)
    up, down, lost_up, lost_down = (cells(bits.exponents, side, columns) for side in (bits.positive, bits.negative, *ends))
    unit = HEIGHT / max(max(up) + max(down), 1)
    base = round(max(up) * unit)
    drawn = bars([v * unit for v in up], base) + bars([-v * unit for v in down], base)
    for side, lost, height in ((up, lost_up, unit), (down, lost_down, -unit)):
        drawn += tips([v * height for v in side], [v * height for v in lost], base)
    body = stretched(columns.count, drawn) + line(base) + bit_labels(columns)
    return frame(f"Most significant bits of {tensor.name}: {say_bits(tensor)}", body)


def tips(heights: Sequence[float], lost: Sequence[float], base: int) -> str:
    """The ends of bars, drawn over them: the part of each that is lost."""
    path = strokes((i, base - tall(height), tall(part)) for i, (height, part) in enumerate(zip(heights, lost, strict=True)) if part)
    return f'<path class="lost" d="{path}"/>' if path else ""


def line(y: float) -> str:
    return f'<path class="line" d="M{LEFT} {short(TOP + y)}h{WIDTH}"/>'


def bit_labels(columns: Columns) -> str:
    every = max(1, -(-columns.count // 14))
    return labels(label((e - columns.first + 0.5) / columns.count, power(e - 1))
                  for e in range(columns.first, columns.last + 1) if (e - 1) % every == 0)


def draw_distribution(tensor: Tensor) -> Markup:
    """Float numbers as an area, quantized ones as a line over it; square roots of shares, so that rare numbers are seen."""
    found = tensor.distribution
    if found is None:
        return Markup("")
    highest = max(*found.reals, *(found.quantized or (0.0,)), 1e-30)
    drawn = steps(found.reals, highest, "bar")
    if found.quantized is not None:
        drawn += steps(found.quantized, highest, "outline")
    body = stretched(len(found.reals), drawn) + line(HEIGHT) + number_labels(found)
    if tensor.low is not None and tensor.high is not None:
        body += outside([(-1e9, place(found, tensor.low)), (place(found, tensor.high), 1e9)])
    return frame(f"Distribution of {tensor.name} from {number(found.low)} to {number(found.high)}", body)


def draw_errors(tensor: Tensor) -> Markup:
    """How errors spread; lines stand on either side of 0, as far as rounding alone can lead."""
    found = tensor.errors
    if found is None:
        return Markup("")
    marks = [] if tensor.rounding is None else [place(found, end) for end in (-tensor.rounding, tensor.rounding)]
    body = stretched(len(found.reals), steps(found.reals, max(found.reals), "bar")) + line(HEIGHT) + number_labels(found)
    body += "".join(f'<path class="limit" d="M{LEFT + x * WIDTH:.0f} {TOP}v{HEIGHT}"/>' for x in marks if 0 <= x <= 1)
    return frame(f"Errors of {tensor.name} from {number(found.low)} to {number(found.high)}", body)


def place(found: Distribution, value: float) -> float:
    return (value - found.low) / (found.high - found.low)


def number_labels(found: Distribution) -> str:
    """At round numbers."""
    span = found.high - found.low
    step = 10.0 ** math.floor(math.log10(span / 4))
    step *= next((m for m in (1, 2, 5) if span / (m * step) <= 8), 10)
    marks = range(math.ceil(found.low / step - 1e-9), math.floor(found.high / step + 1e-9) + 1)
    return labels(label(place(found, i * step), number(i * step) if i else "0") for i in marks)


def draw_channels(tensor: Tensor) -> Markup:
    """The range of every channel as a bar from its smallest to its largest number."""
    found = tensor.channels
    if found is None or not found.low:
        return Markup("")
    low, high = min(*found.low, 0.0), max(*found.high, 0.0)
    unit = HEIGHT / ((high - low) or 1.0)
    drawn = strokes((i, round((high - b) * unit), tall((b - a) * unit)) for i, (a, b) in enumerate(zip(found.low, found.high, strict=True)))
    body = stretched(len(found.low), f'<path class="bars" d="{drawn}"/>') + line(high * unit) + channel_labels(found)
    return frame(f"Ranges of {len(found.low)} channels of {tensor.name}: from {number(low)} to {number(high)}", body)


def channel_labels(found: Channels) -> str:
    count = len(found.low)
    every = max(1, -(-count // 8))
    return labels(label((i + 0.5) / count, i * found.each) for i in range(0, count, every))
