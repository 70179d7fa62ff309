"""Which layer hurts? Every layer alone at every width: what becomes of accuracy and of the outputs."""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from math import inf
from pathlib import Path
from time import monotonic
from typing import Any

import onnx_ir as ir

from bitsmith.analysis.evaluate import Score
from bitsmith.analysis.fingerprint import fingerprint
from bitsmith.analysis.sensitivity_cut import Cut
from bitsmith.analysis.sensitivity_fast import estimate
from bitsmith.analysis.sensitivity_file import BOTH, Effect, LayerSize, Sensitivity, resume
from bitsmith.analysis.sensitivity_layers import ACTIVATIONS, WEIGHTS, Adjustable, Choices, without_ends
from bitsmith.analysis.sensitivity_samples import Samples
from bitsmith.calibration.collect import calibrate
from bitsmith.calibration.collection import Collection
from bitsmith.errors import DataError, RecipeError
from bitsmith.loading import from_onnx
from bitsmith.loading.data import open_data
from bitsmith.loading.draw import spread
from bitsmith.numerics.encoding import Encoding, to_dict
from bitsmith.planning.make_plan import values_to_watch
from bitsmith.planning.recipe import Recipe, load_recipe
from bitsmith.rewrites.simplify import simplify
from bitsmith.targets import target_named

Progress = Callable[[int, int | None], None]
Steps = Callable[[str], AbstractContextManager[Progress | None]]
ROLES = (WEIGHTS, ACTIVATIONS, BOTH)
Offered = Mapping[str, Mapping[int, Mapping[str, Encoding]]]        # role -> bits -> encodings of all layers


@dataclass(frozen=True)
class SensitivitySettings:
    """How layers are measured.

    widths   bits to try
    roles    'weights', 'activations' (a layer's result), 'both'
    recipe   how encodings are found; its widths are replaced
    fast     estimate in one pass over the samples instead of one run for every setting
    samples  at most so many, evenly from all
    shard    (number from 1, count): only every count-th layer, from this one on, so that several processes share the work
    """

    widths: Sequence[int] = (8, 6, 4, 3, 2)
    roles: Sequence[str] = ROLES
    recipe: str | Path | Recipe = "int8"
    target: str = "onnxruntime"
    fast: bool = False
    samples: int = 1024
    shard: tuple[int, int] = (1, 1)

    def __post_init__(self) -> None:
        if not 1 <= self.shard[0] <= self.shard[1]:
            raise RecipeError(f"Shards are numbered from 1 to their count; there is no shard {self.shard[0]}/{self.shard[1]}.")
        if self.fast and self.shard != (1, 1):
            raise RecipeError("Fast sensitivities come from one pass over all layers; measure exactly, or leave the shard out.")
        if not self.widths or any(not isinstance(bits, int) or not 2 <= bits <= 16 for bits in self.widths):
            raise RecipeError(f"Widths are 2 to 16 bits, not {list(self.widths)}; write for instance 8,4,3.")
        if not self.roles or set(self.roles) - set(ROLES):
            raise RecipeError(f"Layers are measured in the roles {', '.join(ROLES)}, not {', '.join(self.roles) or 'none'}.")


def sensitivity(
    source: Any, data: Any = None, *, test: Any = None, settings: SensitivitySettings | None = None, path: str | Path | None = None,
    progress: Steps | None = None,
) -> Sensitivity:
    """Every layer alone at each width, for weights, results and both, all else in float.

    source    a network in normal form, or what `load` takes
    data      to calibrate with, or statistics
    test      samples to measure with, best with labels; None: the calibration data, as long as these are samples
    path      file that keeps what was measured, layer by layer; where it exists, only what is missing is measured
    progress  title -> context that gives a function (done, of how many)

    Raises DataError where data do not fit, BitsmithError where `path` holds another measurement.
    """
    network, settings, steps = opened(source), settings or SensitivitySettings(), progress or (lambda title: nullcontext())
    choices = choices_for(network, data, settings, steps)
    given = data if test is None else test
    if given is None or isinstance(given, Collection):
        raise DataError("Layers are measured with samples, and there are only statistics; give test data.")
    samples = Samples.of(spread(open_data(given, network), settings.samples), network)
    offered, refused = offers(choices, settings)
    fresh = Sensitivity(
        described(network, samples, offered, settings), tuple(LayerSize(x.name, x.operator, x.size, x.macs) for x in choices.layers),
        samples=samples.count, top1=float_accuracy(samples), left_out=tuple(refused),
    )
    kept = None if path is None else Path(path)
    found = resume(kept, fresh)
    with steps("layers") as advance:
        return complete(found, network, choices, samples, Work(offered, settings, None if kept is None else saver(kept), advance))


def saver(path: Path) -> Callable[[Sensitivity], None]:
    return lambda found: found.save(path)


@dataclass(frozen=True)
class Work:
    """offered  the encodings to try
    keep     what keeps results, layer by layer
    until    a time of the monotonic clock; layers that were not begun by then are left
    """

    offered: Offered
    settings: SensitivitySettings
    keep: Callable[[Sensitivity], None] | None
    advance: Progress | None
    until: float = inf

    def settings_of(self, layer: Adjustable) -> list[tuple[str, int, dict[str, Encoding]]]:
        """(role, bits, encodings) of one layer; 'both' only where there are both."""
        return [(role, bits, pick(layer, role, found)) for role in self.settings.roles if has(layer, role)
                for bits in self.settings.widths if (found := self.encodings(role, bits)) is not None]

    def encodings(self, role: str, bits: int) -> dict[str, Mapping[str, Encoding]] | None:
        """Role -> encodings that a width needs; None where the target lacks them."""
        needed = (WEIGHTS, ACTIVATIONS) if role == BOTH else (role,)
        found = {part: self.offered[part][bits] for part in needed if bits in self.offered[part]}
        return found if len(found) == len(needed) else None


def has(layer: Adjustable, role: str) -> bool:
    return bool(layer.weights and layer.values) if role == BOTH else bool(layer.names(role))


def pick(layer: Adjustable, role: str, found: Mapping[str, Mapping[str, Encoding]]) -> dict[str, Encoding]:
    return {name: encodings[name] for part, encodings in found.items() for name in layer.names(part)}


def complete(found: Sensitivity, network: ir.Model, choices: Choices, samples: Samples, work: Work) -> Sensitivity:
    """Measure what is missing; results are kept layer by layer."""
    known = {(e.layer, e.role, e.bits) for e in found.effects}
    if work.settings.fast and not known:
        found = with_estimates(found, estimate(network, choices, samples, work.offered, work.settings.roles))
    elif not work.settings.fast:
        number, count = work.settings.shard
        layers = choices.layers[number - 1::count]
        asked = {layer.name: work.settings_of(layer) for layer in layers}
        total, done = sum(map(len, asked.values())), 0
        for layer in layers:
            missing = [s for s in asked[layer.name] if (layer.name, s[0], s[1]) not in known]
            if missing and monotonic() < work.until:
                found = found.with_effects(list(measure_layer(network, layer, samples, missing)))
                if work.keep is not None:
                    work.keep(found)
            done += len(asked[layer.name])
            if work.advance is not None:
                work.advance(done, total)
    if work.keep is not None:
        work.keep(found)
    return found


def with_estimates(found: Sensitivity, effects: list[Effect]) -> Sensitivity:
    """What was estimated, and the names of the layers that could not be."""
    missing = {layer.name for layer in found.layers} - {e.layer for e in effects}
    said = tuple(f"'{x.name}': the rank of its values is unknown, so nothing was estimated" for x in found.layers if x.name in missing)
    return replace(found.with_effects(effects), left_out=(*found.left_out, *said))


def measure_layer(
    network: ir.Model, layer: Adjustable, samples: Samples, asked: Sequence[tuple[str, int, dict[str, Encoding]]]
) -> Iterator[Effect]:
    """One layer at all settings asked: the network before it runs once for each batch."""
    cut, scores = Cut(network, layer), [Score({}) for _ in asked]
    for batch, labels, reference in samples:
        arrived = cut.arrive(batch)
        for score, (_, _, setting) in zip(scores, asked, strict=True):
            score.add(cut.run(arrived, setting), labels, reference)
    for score, (role, bits, _) in zip(scores, asked, strict=True):
        result = score.result("onnxruntime", "float")
        same = 1.0 if result.agreement is None else result.agreement        # single numbers have no arg-max to differ
        yield Effect(layer.name, role, bits, score.noise / score.signal if score.signal else 0.0, same, result.top1)


def float_accuracy(samples: Samples) -> float | None:
    """Top-1 of the float network; None without labels."""
    score = Score({})
    for _, labels, outputs in samples:
        score.add(outputs, labels if samples.labelled else None, None)
    return score.result("onnxruntime", None).top1


def opened(source: Any) -> ir.Model:
    """A network in memory as it is, all else loaded and folded."""
    if isinstance(source, ir.Model):
        return source
    network = from_onnx.load(source)
    simplify(network)
    return network


def choices_for(network: ir.Model, data: Any, settings: SensitivitySettings, steps: Steps) -> Choices:
    """The layers, with statistics of what they need."""
    recipe, accepts = without_ends(load_recipe(settings.recipe)), target_named(settings.target).accepts
    if isinstance(data, Collection):
        data.check_network(fingerprint(network))
        return Choices(network.graph, data, recipe, accepts)
    values = values_to_watch(network.graph, recipe, accepts)
    if not values:
        return Choices(network.graph, {}, recipe, accepts)
    if data is None:
        raise DataError(f"The ranges of {len(values)} values are needed; give calibration data or statistics.")
    with steps("calibrating") as advance:
        return Choices(network.graph, calibrate(network, open_data(data, network), values=values, progress=advance), recipe, accepts)


def offers(choices: Choices, settings: SensitivitySettings) -> tuple[Offered, list[str]]:
    """The encodings of every width that the target can take, and what it refused."""
    needed = [part for part in (WEIGHTS, ACTIVATIONS) if part in settings.roles or BOTH in settings.roles]
    found = {part: choices.offered(part, settings.widths) for part in needed}
    return {part: encodings for part, (encodings, _) in found.items()}, [said for _, refused in found.values() for said in refused]


def described(network: ir.Model, samples: Samples, offered: Offered, settings: SensitivitySettings) -> dict[str, Any]:
    """What must be the same for measurements to be the same."""
    plain = {part: {bits: {n: to_dict(e) for n, e in found.items()} for bits, found in widths.items()} for part, widths in offered.items()}
    return {
        "network": fingerprint(network), "samples": samples.digest,
        "encodings": hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()[:16],
        "widths": list(settings.widths), "roles": list(settings.roles), "target": settings.target, "fast": settings.fast,
    }
