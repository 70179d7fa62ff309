"""How accumulators look in a terminal: a row for each product of codes."""

from typing import TYPE_CHECKING, Any

from rich.text import Text

from bitsmith.display import Shown
from bitsmith.terminal import printable, table

if TYPE_CHECKING:
    from bitsmith.analysis.accumulators import Accumulators
    from bitsmith.report.rows import Sums

WIDTHS = (16, 24, 32)


def show_accumulators(found: "Accumulators") -> Shown:
    """Widths, then what could leave the usual ones, then the verdict."""
    sums = [layer.sums for layer in found.layers]
    seen = ["seen\nbits"] if found.samples else []
    columns = ["layer", "channels", "terms", "rule of\nthumb", "proven\nbits", *seen, *(f"beyond\n{width} bits" for width in WIDTHS),
               "pairs\nbeyond 16", "in any\norder", *(["sums that\nsaturate"] if found.samples else [])]
    title = "accumulators, and how many channels can leave 16, 24 and 32 bits" + (
        f" (and did on {found.samples:,} samples)" if found.samples else "")
    blocks: Shown = [table(title, columns, [row_of(one, bool(found.samples)) for one in sums])]
    if found.left_out:
        blocks.append(table("in float", ["layer", "why"], [[name, why] for name, why in found.left_out.items()], left=2))
    return [*blocks, verdict(found)]


def row_of(sums: "Sums", seen: bool) -> list[Any]:
    widths = [counted(sums.beyond[w], sums.seen_beyond.get(w)) for w in WIDTHS]
    return [sums.layer, sums.channels, sums.terms, sums.rule_bits, sums.bits, *([sums.seen_bits] if seen else []), *widths, sums.pairs,
            sums.pairs_in_any_order, *([sums.saturated] if seen else [])]


def counted(could: int, did: int | None) -> str:
    """Channels that can, and those that did."""
    return f"{could:,}" if did is None else f"{could:,} ({did:,})"


def verdict(found: "Accumulators") -> Text:
    """The widest, and whether pairs saturate."""
    if not found.layers:
        return Text("No layer multiplies codes.", style="bold yellow")
    widest, count = max((layer.sums for layer in found.layers), key=lambda sums: sums.bits), len(found.saturating)
    text = printable(f"Signed integers of {widest.bits} bits hold every sum; '{widest.layer}' needs them.")
    if not count:
        return Text(f"{text} No pair of products can saturate on x86 without VNNI.", style="bold green")
    return Text(f"{text} On x86 without VNNI onnxruntime could saturate in {count} of {len(found.layers)} layers, unless its session "
                "option session.x64quantprecision is 1.", style="bold yellow")
