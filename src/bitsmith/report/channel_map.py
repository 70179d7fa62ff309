"""The heat map of one tensor channel by channel: a row for each channel, a column for each power of two, grey for what its codes lose."""

from collections.abc import Sequence
from itertools import chain

from markupsafe import Markup, escape

from bitsmith.report.pictures import Columns, cells, columns_of, pieces, power, shade, short
from bitsmith.report.rows import ChannelBits, ChannelRow, Significant, Tensor

MOST_ROWS = 64
LEAST_ROWS = 8
ALL_ROWS = 5_000            # in one page: some 2 MB of cells
TALL, LOW = 12, 5           # units of a row, where there are few and where there are many
WIDTH, LEFT, BOTTOM = 640, 44, 26


def rows_for(tensors: Sequence[Tensor]) -> int:
    """How many rows each tensor's map may have, so that the page stays small; 0 where they would be too few to tell anything."""
    rows = min(MOST_ROWS, ALL_ROWS // max(1, sum(t.channel_bits is not None for t in tensors)))
    return rows if rows >= LEAST_ROWS else 0


def draw_channel_bits(tensor: Tensor, most: int = MOST_ROWS) -> Markup:
    """At most so many rows; neighbouring channels share one where there are more."""
    found = tensor.channel_bits
    if found is None or not any(row.exponents for row in found.rows):
        return Markup("")
    each = together(found, most)
    rows = [merged(found.rows[i:i + each]) for i in range(0, len(found.rows), each)]
    columns = columns_of(Significant(row.exponents, row.counts, (0,) * len(row.counts), row.zeros) for row in rows)
    tall = TALL if len(rows) <= 32 else LOW
    height = tall * len(rows)
    paths: dict[str, list[str]] = {}
    for index, row in enumerate(rows):
        for name, piece in cells_of(row, columns, index):
            paths.setdefault(name, []).append(piece)
    drawn = "".join(f'<path class="{name}" d="{"".join(d)}"/>' for name, d in sorted(paths.items()))
    body = (f'<svg class="strip" x="{LEFT}" width="{WIDTH}" height="{height}" viewBox="0 0 {columns.count} {len(rows)}" '
            f'preserveAspectRatio="none" aria-hidden="true">{drawn}</svg>')
    body += side(len(rows), each * found.each, tall) + below(columns, height)
    said = escape(f"Most significant bits of {found.channels} channels of {tensor.name}, {rows_together(found, most)} in a row")
    return Markup(f'<svg class="chart" viewBox="0 0 {LEFT + WIDTH + 8} {height + BOTTOM}" role="img" aria-label="{said}">{body}</svg>')


def together(found: ChannelBits, most: int) -> int:
    """Rows that are drawn as one."""
    return max(1, -(-len(found.rows) // most))


def rows_together(found: ChannelBits, most: int) -> int:
    """Channels in a row of the map."""
    return found.each * together(found, most)


def merged(rows: Sequence[ChannelRow]) -> ChannelRow:
    """Counts of several rows as one."""
    exponents = tuple(sorted(set(chain.from_iterable(row.exponents for row in rows))))
    sums = [dict.fromkeys(exponents, 0) for _ in range(3)]
    for row in rows:
        for total, counts in zip(sums, (row.counts, row.below, row.beyond), strict=True):
            for exponent, count in zip(row.exponents, counts, strict=True):
                total[exponent] += count
    counts, below, beyond = (tuple(total.values()) for total in sums)
    return ChannelRow(exponents, counts, below, beyond, sum(row.zeros for row in rows))


def cells_of(row: ChannelRow, columns: Columns, index: int) -> list[tuple[str, str]]:
    """(class, path) of every piece of a row's cells."""
    total, found = max(1, sum(row.counts) + row.zeros), []
    everything, below, beyond = (cells(row.exponents, part, columns) for part in (row.counts, row.below, row.beyond))
    for place, count in enumerate(everything):
        if level := shade(count / total):
            for kind, a, b in pieces(place, place + below[place] / count, place + 1 - beyond[place] / count):
                found.append((f"{kind}{level}", f"M{short(a)} {index}.5h{short(b - a)}"))
    return found


def side(rows: int, each: int, tall: int) -> str:
    """Numbers of channels beside every so many rows."""
    every = max(1, -(-rows * tall // 8 // tall)) if rows * tall > 96 else max(1, -(-18 // tall))
    return "".join(f'<text class=last x="{LEFT - 6}" y="{short((i + 0.5) * tall + 5)}">{i * each}</text>' for i in range(0, rows, every))


def below(columns: Columns, height: int) -> str:
    """Powers of two under the columns."""
    every = max(1, -(-columns.count // 14))
    marks = ((e - columns.first + 0.5) / columns.count for e in range(columns.first, columns.last + 1) if (e - 1) % every == 0)
    names = (power(e - 1) for e in range(columns.first, columns.last + 1) if (e - 1) % every == 0)
    texts = (f"<text x={LEFT + x * WIDTH:.0f}>{name}</text>" for x, name in zip(marks, names, strict=True))
    return f'<g transform="translate(0 {height + 18})">{"".join(texts)}</g>'
