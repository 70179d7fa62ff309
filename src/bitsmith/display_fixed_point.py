"""How fixed-point analysis looks in a terminal: proposed types, types side by side, and a heat map of leading ones."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.text import Text

from bitsmith.display import Shown, span
from bitsmith.terminal import fold, heading, percent, printable, table

if TYPE_CHECKING:
    from bitsmith.analysis.fit import Fit
    from bitsmith.analysis.fixed_point import FixedPointAnalysis, FractionLengths
    from bitsmith.analysis.fixed_point_channels import ChannelTypes
    from bitsmith.analysis.significant_bits import SignificantBits
    from bitsmith.numerics.fixed_point_type import FixedPointType

SHARES = (0.0, 0.05, 0.2, 0.5)      # of a tensor's fullest power of two: from here on a cell is drawn darker
BLOCKS, LETTERS = "░▒▓█", "-+*#"
LOST, MANY_LOST = ".", ":"
NARROW_NAME = 20
LOSSES = ("below\nprecision", "beyond\nrange", "rms\nerror", "max\nerror")
MOST_POWERS = 64
EVERY = 8                           # powers between two labels


def show_fixed_point(found: "FixedPointAnalysis", bits: Sequence["SignificantBits"]) -> Shown:
    """The proposals, what the usual types would do, and where the leading ones are."""
    wanted = "fraction lengths " + ("as large as saturate nothing" if found.scaling == "largest" else "of least error")
    if found.tolerance is not None:
        wanted = f"the shortest words within {found.tolerance:g} of the rms, {wanted}"
    rows = [[p.name, Text(p.type.name), span(p.minimum, p.maximum), *losses(p.fit)] for p in found.proposals]
    blocks: Shown = [table(f"proposed types: {wanted}", ["tensor", "type", "range", *LOSSES], rows)]
    if found.intolerable:
        missed = f"No word, however long, is within the tolerance for {', '.join(found.intolerable)}."
        blocks.append(Text(printable(missed), style="bold yellow"))
    names = list(found.proposals[0].compared) if found.proposals else []
    rows = [[p.name, *(decibels(p.compared[name]) for name in names)] for p in found.proposals]
    return [*blocks, table("signal to noise in dB, type by type", ["tensor", *names], rows), HeatMap(found, bits)]


def show_channels(found: "Sequence[ChannelTypes]") -> Shown:
    """A row for each tensor: what its channels need, and what a type for each of them gains over one for all."""
    rows = [[c.name, str(len(c.fits)), str(c.axis), widths(c), "{} .. {}".format(*c.fraction_lengths), decibels(c.whole),
             "exact" if c.rms_error == 0 else f"{c.snr_db:.1f}", gain(c)] for c in found]
    titles = ["tensor", "channels", "axis", "widest and\nnarrowest", "fraction\nlengths", "one type\ndB", "by channel\ndB", "gain\ndB"]
    return [table("a fraction length for each channel", titles, rows)]


def widths(found: "ChannelTypes") -> str:
    """The largest magnitude of the widest channel and of the narrowest."""
    magnitudes = [max(abs(low), abs(high)) for low, high in found.ranges]
    return f"{max(magnitudes):.2g}, {min(magnitudes):.2g}"


def gain(found: "ChannelTypes") -> str:
    return "" if found.rms_error == 0 or found.whole.rms_error == 0 else f"{found.snr_db - found.whole.snr_db:+.1f}"


def losses(fit: "Fit") -> list[str]:
    """What a type loses, under the columns LOSSES."""
    return [*(percent(share) if share else "0" for share in (fit.below_precision, fit.beyond_range)),
            *(f"{error:.2g}" for error in (fit.rms_error, fit.maximum_error))]


def decibels(fit: "Fit") -> str:
    return "exact" if fit.rms_error == 0 else f"{fit.snr_db:.1f}"


def show_fraction_lengths(found: "FractionLengths") -> Shown:
    """One row for each fraction length, from coarse to fine; then those that suit."""
    rows = [[fit.type.name, span(fit.type.minimum, fit.type.maximum), *losses(fit), decibels(fit)] for fit in found.fits]
    suit = {"saturates nothing": found.largest, "has the least error": found.least_error}
    return [
        table(f"fraction lengths for {found.name}", ["type", "holds", *LOSSES, "dB"], rows, left=0),
        Group(*(Text(f"2^{-length} {what}") for what, length in suit.items())),
    ]


class HeatMap:
    """A row for each tensor, a column for each power of two, the largest left, as bits are written; as wide as the terminal is.

    A cell is the darker, the more numbers have their leading one there. What the proposed type cannot hold is grey and dotted. Columns
    further to the right than there is room are left out, and the legend says so.
    """

    def __init__(self, found: "FixedPointAnalysis", bits: Sequence["SignificantBits"]) -> None:
        types = {p.name: p.type for p in found.proposals}
        self.rows = [(row, types[row.name]) for row in bits if row.name in types and row.exponents]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        if not self.rows:
            return
        ramp = BLOCKS if str(getattr(console.file, "encoding", None) or "utf-8").lower().startswith("utf") else LETTERS
        longest, columns = max(len(printable(row.name)) for row, _ in self.rows), self.powers(MOST_POWERS)
        widest = min(longest, max(NARROW_NAME, options.max_width - len(columns) - 1))
        columns = self.powers(options.max_width - widest - 1)
        lines: list[RenderableType] = [heading("leading ones by power of two"), Text(f"{'':{widest}} {labels(columns)}", style="dim")]
        for row, type in self.rows:
            name = fold(printable(row.name), widest)
            lines += [Text(part) for part in name[:-1]]
            lines.append(Text(f"{name[-1]:{widest}} ") + cells(row, type, columns, ramp))
        yield Group(*lines, Text(self.legend(columns, ramp), style="dim"))

    def legend(self, columns: range, ramp: str) -> str:
        dark = ", ".join(f"{shade} over {share:.0%}" for shade, share in zip(ramp, SHARES, strict=True))
        unseen = "" if columns[-1] <= self.lowest else f"; powers below 2^{columns[-1]} are not shown"
        return f"{dark} of the tensor's fullest power; {LOST} and {MANY_LOST} (half of it or more): lost by the proposed type{unseen}"

    @property
    def lowest(self) -> int:
        return min(row.exponents[0] for row, _ in self.rows) - 1

    def powers(self, room: int) -> range:
        """From the largest power of two down to the smallest, or as far as there is room."""
        highest = max(row.exponents[-1] for row, _ in self.rows) - 1
        return range(highest, max(self.lowest - 1, highest - max(1, min(MOST_POWERS, room))), -1)


def labels(columns: range) -> str:
    """Powers above their columns, each begun where its column is."""
    line = ""
    for index, power in enumerate(columns):
        label = f"2^{power}"
        if power % EVERY == 0 and index + len(label) <= len(columns) and (not line or len(line) < index):
            line = f"{line:{index}}{label}"
    return line


def cells(row: "SignificantBits", type: "FixedPointType", columns: range, ramp: str) -> Text:
    """The cells of one tensor."""
    counts = {e - 1: a + b for e, a, b in zip(row.exponents, row.negative, row.positive, strict=True)}
    fullest, made = max(counts.values()), Text()
    for power in columns:
        share = counts.get(power, 0) / fullest
        held = is_held(power, type)
        shade = ramp[sum(share > start for start in SHARES) - 1] if held else MANY_LOST if share >= 0.5 else LOST
        made.append(shade if share else " ", style="cyan" if held else "bright_black")
    return made


def is_held(power: int, type: "FixedPointType") -> bool:
    """Whether numbers whose leading one is worth 2^power become something else than 0 or the end of the range, as a rule."""
    return -type.fraction_length - 1 <= power < type.word_length - type.signed - type.fraction_length
