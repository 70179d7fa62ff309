"""Sensitivities as data: what each layer alone costs at each width, and the file in which they come together, layer by layer."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bitsmith.errors import BitsmithError
from bitsmith.files import write_atomically
from bitsmith.report.rows import Sensitive

VERSION = 1
BOTH = "both"
NAMES = {"weights": "weights", "activations": "result", BOTH: "weights and result"}
KEY = "bitsmith_sensitivity"


@dataclass(frozen=True)
class Effect:
    """What one layer at one width does to the network's outputs, all else in float.

    role       'weights', 'activations' (its result) or 'both'
    noise      power of the outputs' change as a share of their own power
    agreement  share of samples with the same answer as in float; None where it was estimated
    top1       accuracy, with labels
    """

    layer: str
    role: str
    bits: int
    noise: float
    agreement: float | None = None
    top1: float | None = None

    @property
    def snr_db(self) -> float:
        """Signal to noise of the outputs; infinite without noise."""
        return math.inf if self.noise <= 0 else -10 * math.log10(self.noise)


@dataclass(frozen=True)
class LayerSize:
    """A layer that was looked at: weights, and multiply-accumulates of one sample."""

    name: str
    operator: str
    weights: int
    macs: int


@dataclass(frozen=True)
class Sensitivity:
    """What every layer alone costs at every width.

    made      what it was measured with: network, encodings, samples, settings
    top1      the float network's accuracy on the same samples, with labels
    left_out  what could not be measured, and why
    """

    made: Mapping[str, Any]
    layers: tuple[LayerSize, ...] = ()
    effects: tuple[Effect, ...] = ()
    samples: int = 0
    top1: float | None = None
    left_out: tuple[str, ...] = ()

    @property
    def fast(self) -> bool:
        """Estimated in one pass."""
        return bool(self.made.get("fast"))

    def effect(self, layer: str, role: str, bits: int) -> Effect | None:
        """What was found for one setting; None where it was not looked at."""
        return next((e for e in self.effects if (e.layer, e.role, e.bits) == (layer, role, bits)), None)

    def widths(self, role: str) -> list[int]:
        """From wide to narrow."""
        return sorted({e.bits for e in self.effects if e.role == role}, reverse=True)

    def with_effects(self, more: Sequence[Effect]) -> "Sensitivity":
        return replace(self, effects=(*self.effects, *more))

    def rows(self) -> list[Sensitive]:
        """As a report shows them."""
        engine = "one pass" if self.fast else "onnxruntime"
        return [Sensitive(e.layer, f"{e.bits}-bit {NAMES[e.role]}", None if e.top1 is None or self.top1 is None else self.top1 - e.top1,
                          e.snr_db, engine) for e in self.effects]

    def to_dict(self) -> dict[str, Any]:
        """As plain data, which the file holds."""
        return {
            KEY: VERSION, "made": dict(self.made), "samples": self.samples, "top1": self.top1, "left_out": list(self.left_out),
            "layers": [vars(layer) for layer in self.layers], "effects": [vars(effect) for effect in self.effects],
        }

    def save(self, path: Path) -> None:
        """Write beside, then rename."""
        write_atomically(path, (json.dumps(self.to_dict(), indent=1) + "\n").encode())


def load_sensitivity(path: str | Path) -> Sensitivity:
    """Read what `bitsmith sensitivity` wrote. Raises BitsmithError where the file is something else."""
    try:
        data = json.loads(Path(path).read_bytes())
        if data[KEY] != VERSION:
            raise ValueError(f"it has version {data[KEY]}, and this bitsmith reads {VERSION}")
        return Sensitivity(
            dict(data["made"]), tuple(LayerSize(**layer) for layer in data["layers"]), tuple(Effect(**e) for e in data["effects"]),
            int(data["samples"]), None if data["top1"] is None else float(data["top1"]), tuple(map(str, data["left_out"])),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as problem:
        raise BitsmithError(f"'{path}' holds no sensitivities ({problem}); choose another output, or move the file away.") from problem


def merge_sensitivities(parts: Sequence[Sensitivity]) -> Sensitivity:
    """Shards of one measurement as one, in the order in which a single process would have measured.

    Raises BitsmithError where they are of different measurements.
    """
    first = parts[0]
    if any(part.made != first.made for part in parts):
        raise BitsmithError("These sensitivities were measured with other networks, samples or settings; merge shards of one measurement.")
    order = {name: place for place, name in enumerate(
        (layer.name, role, bits) for layer in first.layers for role in first.made["roles"] for bits in first.made["widths"])}
    found = {(e.layer, e.role, e.bits): e for part in parts for e in part.effects}
    return replace(first, effects=tuple(found[key] for key in sorted(found, key=order.__getitem__)))


def resume(path: Path | None, fresh: Sensitivity) -> Sensitivity:
    """What the file holds already of the same measurement; `fresh` where there is none.

    Raises BitsmithError where the file holds another measurement, saying what differs.
    """
    if path is None or not path.exists():
        return fresh
    found = load_sensitivity(path)
    if differing := [key for key, value in fresh.made.items() if found.made.get(key) != value]:
        raise BitsmithError(
            f"'{path}' holds sensitivities with other {' and '.join(differing)} (first: {str(found.made.get(differing[0]))[:60]}, "
            f"now {str(fresh.made[differing[0]])[:60]}); choose another output, or move the file away."
        )
    return replace(fresh, effects=found.effects)
