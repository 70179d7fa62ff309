"""How sensitivities look in a terminal: signal to noise by layer and width, with a bar for each layer's part of all noise."""

import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from rich.console import Group
from rich.text import Text

from bitsmith.display import Shown, few, many
from bitsmith.terminal import percent, printable, table

if TYPE_CHECKING:
    from bitsmith.analysis.sensitivity_file import Effect, Sensitivity

BAR, COARSE_BAR = "█", "#"
PARTS = "▏▎▍▌▋▊▉"
WIDEST_BAR = 16
MEANT = 4           # bits at which bars compare layers
WORDS = {"weights": "weights", "activations": "results", "both": "weights and result"}


def bar(share: float) -> Text:
    """A bar of up to `WIDEST_BAR` columns, in eighths where the terminal has them."""
    fine = (getattr(sys.stdout, "encoding", None) or "utf-8").lower().startswith("utf")
    whole, rest = divmod(round(8 * WIDEST_BAR * max(0.0, min(1.0, share))), 8)
    drawn = BAR * whole + (PARTS[rest - 1] if rest else "") if fine else COARSE_BAR * (whole + (rest >= 4))
    return Text(drawn, style="red" if share > 0.5 else "yellow" if share > 0.2 else "green")


def show_sensitivity(found: "Sensitivity") -> Shown:
    """A table for each role, then who hurts most."""
    roles = list(dict.fromkeys(e.role for e in found.effects))
    shown: Shown = [show_role(found, role) for role in roles if role != "both" or len(roles) == 1]
    if found.top1 is not None and not found.fast and roles:
        shown.append(show_losses(found, "both" if "both" in roles else roles[0]))
    said = [Text(line) for line in (how(found), *(verdict(found, role) for role in roles if role != "both"), *found.left_out)]
    return [*shown, Group(*said)]


def by_layer(found: "Sensitivity", role: str) -> dict[str, dict[int, "Effect"]]:
    rows: dict[str, dict[int, Effect]] = {layer.name: {} for layer in found.layers}
    for effect in found.effects:
        if effect.role == role:
            rows[effect.layer][effect.bits] = effect
    return {name: effects for name, effects in rows.items() if effects}


def show_role(found: "Sensitivity", role: str) -> Group:
    """Signal to noise of the outputs in dB, layer by layer; the bar is the layer's part of the noise of all."""
    widths, rows = found.widths(role), by_layer(found, role)
    bits = compared(widths)
    shares = shares_of_noise(rows, bits)
    most = max(shares.values(), default=0.0) or 1.0
    cells = [[name, bar(shares[name] / most), *(decibels(effects.get(b)) for b in widths)] for name, effects in rows.items()]
    title = f"{WORDS[role]} of one layer narrowed: signal to noise of the outputs in dB; bars: part of all noise at {bits} bits"
    return Group(table(title, ["layer", f"noise at {bits} bits", *(f"{b} bits" for b in widths)], cells, left=2))


def compared(widths: Sequence[int]) -> int:
    return min(widths, key=lambda bits: (abs(bits - MEANT), bits), default=MEANT)


def shares_of_noise(rows: Mapping[str, Mapping[int, "Effect"]], bits: int) -> dict[str, float]:
    """Each layer's part of the noise that all together make."""
    noise = {name: effects[bits].noise if bits in effects else 0.0 for name, effects in rows.items()}
    return {name: value / (sum(noise.values()) or 1.0) for name, value in noise.items()}


def decibels(effect: "Effect | None") -> str:
    return "" if effect is None else "exact" if effect.noise <= 0 else f"{effect.snr_db:.1f}"


def show_losses(found: "Sensitivity", role: str) -> Group:
    """Accuracy lost, in points."""
    widths = found.widths(role)
    cells = [[name, *(points(found, effects.get(bits)) for bits in widths)] for name, effects in by_layer(found, role).items()]
    title = f"accuracy lost, in points, with {WORDS[role]} of one layer narrowed (float {percent(found.top1)})"
    return Group(table(title, ["layer", *(f"{bits} bits" for bits in widths)], cells))


def points(found: "Sensitivity", effect: "Effect | None") -> Text:
    if effect is None or effect.top1 is None or found.top1 is None:
        return Text("")
    lost = 100 * (found.top1 - effect.top1)
    return Text(f"{lost:.2f}" if abs(lost) >= 0.005 else "0", style="red" if lost > 1 else "")


def how(found: "Sensitivity") -> str:
    return f"{'Estimated in one pass over' if found.fast else 'Measured on'} {many(found.samples, 'sample')}, all else in float."


def verdict(found: "Sensitivity", role: str) -> str:
    """The layers that make half of the noise, and those that make next to none."""
    rows = by_layer(found, role)
    bits = compared(found.widths(role))
    shares = sorted(shares_of_noise(rows, bits).items(), key=lambda item: -item[1])
    worst: list[str] = []
    for name, share in shares:
        if sum(dict(shares)[n] for n in worst) < 0.5:
            worst.append(name)
        if share == 0:
            break
    quiet = [name for name, share in reversed(shares) if share < 0.2 / len(shares)]
    said = f"At {bits} bits half of the noise comes from the {WORDS[role]} of {printable(few(worst))}"
    return said + (f"; next to nothing from {printable(few(quiet))}." if quiet else ".")
