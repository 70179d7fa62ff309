"""Gathers everything that a report shows of a float network and the quantized one."""

import json
import platform
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import version as version_of
from math import inf
from pathlib import Path

import onnx_ir as ir

from bitsmith.analysis.advice import advise
from bitsmith.analysis.changed_answers import changed_answers
from bitsmith.analysis.cost import float_bytes, multiply_accumulates
from bitsmith.analysis.describe_layers import MOST_MACS, MOST_SAMPLES, describe_layers, operand_bits, reads_codes
from bitsmith.analysis.describe_tensors import describe_tensors
from bitsmith.analysis.energy import FLOAT32, INT8, SOURCE, energy
from bitsmith.analysis.engines import Subject
from bitsmith.analysis.evaluate import Evaluation
from bitsmith.analysis.fingerprint import fingerprint
from bitsmith.analysis.latency import blank_sample, measure_latency
from bitsmith.analysis.measure_values import ENGINE, measure_values
from bitsmith.analysis.requantize import compare_requantization
from bitsmith.calibration.collection import Collection
from bitsmith.calibration.statistics import Statistics
from bitsmith.integer.instructions import FLOAT32 as FLOAT_ARITHMETIC
from bitsmith.loading.data import Data
from bitsmith.planning.plan import Plan
from bitsmith.report.rows import Answers, Confusion, Figure, Layer, Report, Sensitive, Tried
from bitsmith.version import VERSION

LONGEST_TEXT = 400_000      # characters of a plan that the page takes in
PACKAGES = ("numpy", "onnx", "onnx-ir", "onnxruntime")


@dataclass(frozen=True)
class ReportExtras:
    """What a report can show beyond what it finds itself.

    statistics     of the calibration, with channels where these were counted: ranges are theirs, not those of the test data
    latency        measure how long one sample takes in both networks: some seconds
    sensitivities  of layers, measured before
    tried          what a search measured, with what it made small and its tolerance
    """

    statistics: Collection = field(default_factory=lambda: Collection({}))
    latency: bool = False
    sensitivities: Sequence[Sensitive] = ()
    tried: Sequence[Tried] = ()
    cost: str = "bytes"
    tolerance: float = 0.0


@dataclass(frozen=True)
class Material:
    """What is known.

    network     in float, in normal form
    original    the file that it is from, where there is one: what runs when latency is measured
    quantized   the other, as a file or in memory
    data        to measure with; None: nothing is run
    files       name of a file that was read -> its bytes
    plan_from   where the plan is from, in words
    calibrated  the data behind the statistics, where these are known
    """

    network: ir.Model
    quantized: Subject
    plan: Plan
    statistics: Mapping[str, Statistics] = field(default_factory=dict)
    before: Evaluation | None = None
    after: Evaluation | None = None
    data: Data | None = None
    title: str = "network"
    files: Mapping[str, int] = field(default_factory=dict)
    plan_from: str = ""
    extras: ReportExtras = field(default_factory=ReportExtras)
    original: Path | None = None
    calibrated: Data | None = None


def gather_rows(given: Material) -> Report:
    """Everything that one page shows. Raises DataError where the data do not fit."""
    measured, samples = ({}, 0) if given.data is None else measure_values(given.network, given.quantized, iter(given.data))
    tensors = tuple(describe_tensors(given.network.graph, given.plan, given.statistics, measured))
    sensitive = by_loss(given.extras.sensitivities)
    layers = tuple(with_sensitivity(describe_layers(given.network, given.plan, tensors, given.data), sensitive))
    found = Report(
        given.title, tuple(figures(given, layers)), layers=layers, tensors=tensors, answers=answers(given),
        samples=0 if given.after is None else given.after.samples, engine="" if given.after is None else given.after.engine,
        measured=samples, sensitive=sensitive, made=dict(origins(given, samples)), texts=texts(given.plan),
        tried=tuple(given.extras.tried), cost=given.extras.cost, tolerance=given.extras.tolerance,
    )
    return replace(found, advice=advise(found))


def by_loss(rows: Sequence[Sensitive]) -> tuple[Sensitive, ...]:
    """The most sensitive first: by what accuracy lost, then by noise."""
    return tuple(sorted(rows, key=lambda row: (-(-inf if row.drop is None else row.drop), inf if row.snr_db is None else row.snr_db)))


def with_sensitivity(layers: Iterator[Layer], sensitive: Sequence[Sensitive]) -> Iterator[Layer]:
    """Each with the worst that is known of it."""
    worst = {row.layer: row for row in reversed(sensitive)}
    return (replace(layer, sensitivity=worst.get(layer.name)) for layer in layers)


def figures(given: Material, layers: tuple[Layer, ...]) -> Iterator[Figure]:
    """The lines of the verdict."""
    before, after = given.before, given.after
    if before is not None and after is not None:
        yield from accuracies(before, after)
    small = sum(x.bytes for x in layers)
    yield Figure("weights and constants", float_bytes(given.network.graph), small, "bytes", "codes packed tight, with their scales")
    if len(given.files) == 2:
        sizes = list(given.files.values())
        yield Figure("file", sizes[0], sizes[1], "bytes")
    if given.extras.latency:
        yield latency(given)
    macs = sum(x.macs or 0 for x in layers)
    narrow = sum(x.macs or 0 for x in layers if computes_in_int8(x, given))
    yield Figure("multiply-accumulates in float", macs, macs - narrow, "count", "of one sample")
    yield Figure("energy of arithmetic", energy(macs, 0), energy(macs - narrow, narrow), "picojoule", SOURCE)
    if narrow:
        yield Figure("area of a multiplier and an adder", FLOAT32.area, INT8.area, "area", SOURCE)


def latency(given: Material) -> Figure:
    """Of one sample: the first of the data, or zeros where there are none."""
    batch = {} if given.data is None or given.data.once else next(iter(given.data.batches(1)))
    found = measure_latency(Subject(given.original or given.network), given.quantized, batch or blank_sample(given.network.graph))
    return Figure("latency", found.before, found.after, "seconds", str(found))


def accuracies(before: Evaluation, after: Evaluation) -> Iterator[Figure]:
    for name, first, second in (("top-1 accuracy", before.top1, after.top1), ("top-5 accuracy", before.top5, after.top5)):
        if first is not None and second is not None:
            yield Figure(name, first, second, "share")
    for metric, value in (after.metrics or {}).items():
        yield Figure(metric, (before.metrics or {}).get(metric), value, "count")
    if after.agreement is not None:
        yield Figure("same answer", None, after.agreement, "share")
    if after.snr_db is not None:
        yield Figure("signal to noise of the outputs", None, after.snr_db, "decibels")


def computes_in_int8(layer: Layer, given: Material) -> bool:
    """True for products of codes of at most eight bits. Of wider ones nobody published a figure: they count as float."""
    if not layer.macs or layer.state == "float":
        return False
    node = next(n for n in given.network.graph if (n.outputs[0].name or "") == layer.output)
    return reads_codes(node, given.plan) and all(bits is not None and bits <= 8 for bits in operand_bits(node, given.plan))


def answers(given: Material) -> Answers:
    """Confusion, and the samples whose answer changed."""
    before, after = given.before, given.after
    known = before is not None and after is not None and before.confusion is not None and after.confusion is not None
    confusion = Confusion(*(tuple(map(tuple, e.confusion.tolist())) for e in (before, after))) if known else None  # type: ignore[union-attr]
    if given.data is None:
        return Answers(confusion)
    engines = Subject(given.network).engine("onnxruntime"), given.quantized.engine("onnxruntime")
    changed, differing, seen = changed_answers(given.data.labelled(), *engines)
    return Answers(confusion, tuple(changed), differing, seen, tuple(given.data.classes))


def requantized(given: Material) -> Iterator[str]:
    """What rounding by integers alone changes, on a few samples; of plans for a target that does so."""
    macs = sum(multiply_accumulates(node) or 0 for node in given.network.graph)
    samples = min(MOST_SAMPLES, MOST_MACS // max(1, macs))
    if given.data is not None and samples and given.plan.made_with["requantize"] != FLOAT_ARITHMETIC.words:
        yield compare_requantization(given.quantized, given.data.limit(samples))


def origins(given: Material, samples: int) -> Iterator[tuple[str, str]]:
    """What it takes to make everything again, and which engine each number is from."""
    made, after = given.plan.made_with, given.after
    yield "float network", f"fingerprint {fingerprint(given.network)}"
    for name, size in given.files.items():
        yield f"file '{name}'", f"{size:,} bytes"
    if given.plan_from:
        yield "plan", given.plan_from
    if (strange := [name for name in given.plan.encodings if name not in names_of(given.network.graph)]):
        yield "not shown", f"{len(strange)} encodings of values that the float network does not have, such as '{strange[0]}'"
    if "recipe" in made:
        yield "recipe", f"{made['recipe'].get('name', '')} (below)"
    if "target" in made:
        yield "target", str(made["target"])
    if "requantize" in made:
        yield "requantization", "; ".join([str(made["requantize"]), *requantized(given)])
    for step in made.get("tried", ()):
        gain = f"{step['gain_db'] or 0:+.2f} dB on the calibration data in {step['seconds']:.1f} s"
        gained = "no time was left" if step["gain_db"] is None else gain
        yield f"tried: {step['step']}", gained + (", kept" if step["kept"] else ", left out")
    for name, why in made.get("left_out", {}).items():
        yield f"left out: {name}", str(why)
    counted = [s.samples for s in given.statistics.values()]
    of = origin_of(given.calibrated)
    yield "calibration", f"{of}{max(counted):,} samples, {len(counted):,} values counted" if counted else "no statistics were given"
    if given.data is not None:
        many = "as many as it gives" if given.data.samples is None else f"{given.data.samples:,} samples"
        yield "test data", origin_of(given.data) + many
    if after is not None:
        yield "accuracy", f"engine {after.engine}, {after.samples:,} samples"
    if samples:
        yield "signal to noise of layers", f"engine {ENGINE}, the first {samples:,} test samples, against the float network in onnxruntime"
    if any(v.name in given.plan.encodings for v in given.network.graph.initializers.values()):
        yield "accumulator bits", "worst case, proven from the weights of the integer program"
    if given.extras.sensitivities:
        engines = ", ".join(sorted({row.engine for row in given.extras.sensitivities if row.engine})) or "not said"
        yield "sensitivity", f"{len(given.extras.sensitivities):,} settings, each of one layer alone; engine {engines}"
    yield "energy and area", f"operation counts times published figures: {SOURCE}"
    yield "versions", ", ".join([f"bitsmith {made.get('bitsmith', VERSION)}", f"Python {platform.python_version()}", *packages()])


def origin_of(data: Data | None) -> str:
    """'cifar10.npz', and a comma; nothing where nobody knows."""
    return "" if data is None or not data.origin else f"'{data.origin}', "


def names_of(graph: ir.Graph) -> set[str | None]:
    """Of every value."""
    return {v.name for v in (*graph.inputs, *graph.initializers.values(), *(v for node in graph for v in node.outputs))}


def packages() -> list[str]:
    return [f"{name} {version_of(name)}" for name in PACKAGES]


def texts(plan: Plan) -> dict[str, str]:
    """The recipe, and the plan where it is not too long."""
    recipe = plan.made_with.get("recipe")
    found = {} if recipe is None else {"Recipe": json.dumps(recipe, indent=1)}
    whole = plan.to_json()
    return {**found, **({"Plan": whole} if len(whole) <= LONGEST_TEXT else {})}
