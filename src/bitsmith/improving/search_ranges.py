"""The scales of all activations and weights together, by what the outputs lose.

Source: LAPQ (Nahshan 2019, *Loss Aware Post-training Quantization*).

Tensor by tensor, least error in the Lp norm; over p a parabola through the loss; then Powell's method over all scales at once.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import onnx_ir as ir

from bitsmith.calibration.least_loss import range_of_least_loss
from bitsmith.calibration.ranges import Placing
from bitsmith.graph import constant
from bitsmith.improving.draft import Draft, Progress
from bitsmith.improving.loss import OutputLoss, read_samples
from bitsmith.numerics import Encoding, Integer
from bitsmith.numerics.encoding import LARGEST_SCALE, SMALLEST_SCALE
from bitsmith.numerics.formats import Array
from bitsmith.operators import operator_of
from bitsmith.planning.plan import Plan
from bitsmith.planning.recipe import Rule
from bitsmith.planning.weights import bias_of, encode_bias, make_room, uses_of
from bitsmith.rewrites.edits import discard
from bitsmith.running.serialized import serialize
from bitsmith.running.session import open_session

POWERS = (2.0, 2.5, 3.0, 3.5, 4.0)
STEPS = (0.12, 0.06)        # of the logarithm of a scale, sweep after sweep
NARROWER = np.log(np.linspace(1.0, 0.2, 41))    # of a weight's scale, to find the least error
ALONG = 2.0                 # the furthest along a line, in steps
Encodings = Mapping[str, Encoding]


@dataclass(frozen=True)
class Group:
    """Values that share an encoding, and what holds it in the network with Q/DQ.

    held      initializers with the scale; of a weight, the value that its DequantizeLinear makes
    weights   a weight's real numbers; None for activations
    """

    values: tuple[str, ...]
    encoding: Encoding
    held: tuple[str, ...]
    weights: Array | None = None

    def inputs(self, factor: float) -> dict[str, Array]:
        """What is held where the scale is exp(factor) times the plan's."""
        scaled = scale_by(self.encoding, factor)
        return dict.fromkeys(self.held, scaled.scale if self.weights is None else scaled.simulate(self.weights))


def search_ranges(draft: Draft, progress: Progress | None = None) -> Draft:
    """Scale all ranges so that the outputs are nearest to the labels (cross-entropy), or, without, to those in float.

    Three quarters of at most 256 samples decide, a quarter confirms: where it does not, everything stays, and the plan says so.
    Activations and weights of up to 8 bits, the channels of a weight by one factor; weights that were rounded with care before
    stay as they are. Raises GoneError where the calibration data cannot be read again.
    """
    samples, labels = read_samples(draft.samples("search_ranges"))
    network = draft.simulated()
    groups = [*find_groups(draft.plan, network), *find_weights(draft, network)]
    if not groups or len(samples) < 2:
        return said(draft, groups, "its range was not searched: there is nothing to search with")
    loss = OutputLoss(draft.reference, samples, labels)
    trial = Trial(network, groups, loss, progress)
    start = np.zeros(len(groups))
    found = powell(trial.decide, start_of(draft, groups, trial))
    before, after = trial.confirm(start), trial.confirm(found)
    if after >= before:
        return said(draft, groups, f"its range was searched in vain: on other samples the loss goes from {before:.4g} to {after:.4g}")
    text = f"range searched by {loss.measure}: {before:.4g} to {after:.4g} on other samples"
    return said(replace(draft, plan=scale_plan(draft, groups, found)), groups, text)


def said(draft: Draft, groups: Sequence[Group], text: str) -> Draft:
    reasons = dict(draft.plan.reasons)
    for group in groups:
        for name in group.values:
            reasons[name] = f"{reasons.get(name, '')}; {text}"
    return replace(draft, plan=replace(draft.plan, reasons=reasons))


def find_groups(plan: Plan, network: ir.Model) -> list[Group]:
    """Activations by the encoding they share, where the network has their scales under the names that these are given."""
    shared: dict[int, list[str]] = {}
    for name, encoding in plan.encodings.items():
        if encoding.scale.size == 1 and isinstance(encoding.format, Integer) and encoding.format.bits <= 8:
            shared.setdefault(id(encoding), []).append(name)
    found = []
    for names in shared.values():
        encoding = plan.encodings[names[0]]
        scales = tuple(f"{name}_scale" for name in names if f"{name}_scale" in network.graph.initializers)
        held = [constant(network.graph.initializers[scale]) for scale in scales]
        as_planned = all(h is not None and np.array_equal(h, encoding.scale) for h in held)
        if scales and as_planned and not any(name in network.graph.initializers for name in names):
            found.append(Group(tuple(names), encoding, scales))
    return found


def find_weights(draft: Draft, network: ir.Model) -> list[Group]:
    """Weights of up to 8 bits that nothing has rounded yet, where the network decodes them under the name given to that."""
    found, decoded = [], {v.name: v for node in network.graph if node.op_type == "DequantizeLinear" for v in node.outputs}
    for name, encoding in draft.plan.encodings.items():
        array, exact = (constant(m.graph.initializers.get(name)) for m in (draft.network, draft.reference))
        narrow = isinstance(encoding.format, Integer) and encoding.format.bits <= 8
        untouched = array is not None and exact is not None and np.array_equal(array, exact)
        if array is not None and untouched and narrow and f"{name}_dequantized" in decoded:
            found.append(Group((name,), encoding, (f"{name}_dequantized",), array))
    return found


@dataclass
class Trial:
    """The network with scales and decoded weights as inputs, so that nothing is built again for another try, and what was tried."""

    network: ir.Model
    groups: Sequence[Group]
    loss: OutputLoss
    progress: Progress | None
    tried: dict[bytes, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, array in (pair for group in self.groups for pair in group.inputs(0.0).items()):
            make_input(self.network.graph, name, array)
        self.names = [v.name or "" for v in self.network.graph.outputs]
        # not optimised: onnxruntime 1.31 takes Q and DQ with computed scales about a GlobalAveragePool for ones that it may leave out
        self.session = open_session(serialize(self.network), False, None)

    def run(self, batch: Mapping[str, Array], factors: Array) -> list[Array]:
        """The outputs with every group's scale times exp(factor)."""
        held = [group.inputs(factor) for group, factor in zip(self.groups, factors, strict=True)]
        return list(self.session.run(self.names, {**batch, **{name: array for one in held for name, array in one.items()}}))

    def decide(self, factors: Array) -> float:
        key = factors.tobytes()
        if key not in self.tried:
            self.tried[key] = self.loss.decide(lambda batch: self.run(batch, factors))
            if self.progress is not None:
                self.progress(len(self.tried), None)
        return self.tried[key]

    def confirm(self, factors: Array) -> float:
        return self.loss.confirm(lambda batch: self.run(batch, factors))


def make_input(graph: ir.Graph, name: str, array: Array) -> None:
    """An input of that name in place of the initializer or of the node's result that had it."""
    held = graph.initializers.pop(name, None)
    made = ir.Value(name=name, shape=ir.Shape(array.shape), type=ir.TensorType(ir.DataType.FLOAT))
    old = held or next(v for node in graph for v in node.outputs if v.name == name)
    node = old.producer()
    old.replace_all_uses_with(made)
    if node is not None:
        discard(node)           # and its numbers: onnxruntime refuses those that nothing reads
    graph.inputs.append(made)


def scale_by(encoding: Encoding, factor: float) -> Encoding:
    """The same codes, wider or narrower by exp(factor)."""
    scale = np.clip(encoding.scale.astype(np.float64) * np.exp(factor), SMALLEST_SCALE, LARGEST_SCALE)
    return replace(encoding, scale=scale.astype(np.float32))


def start_of(draft: Draft, groups: Sequence[Group], trial: Trial) -> Array:
    """The best of: what is planned, least errors in several norms, and in the norm where a parabola through these losses is lowest."""
    starts = {power: factors_of_norm(draft, groups, power) for power in POWERS}
    losses = {power: trial.decide(factors) for power, factors in starts.items()}
    bend, slope, _ = np.polyfit(list(losses), list(losses.values()), 2)
    if bend > 0 and POWERS[0] < (lowest := float(-slope / (2 * bend))) < POWERS[-1]:
        starts[lowest] = factors_of_norm(draft, groups, lowest)
    return min([np.zeros(len(groups)), *starts.values()], key=trial.decide)


def factors_of_norm(draft: Draft, groups: Sequence[Group], power: float) -> Array:
    """Logarithms of the scales of least |error|^power, tensor by tensor, over those of the plan."""
    return np.array([factor_of_norm(draft, group, power) for group in groups])


def factor_of_norm(draft: Draft, group: Group, power: float) -> float:
    if group.weights is not None:
        errors = [np.mean(np.abs(scale_by(group.encoding, f).simulate(group.weights) - group.weights) ** power) for f in NARROWER]
        return float(NARROWER[int(np.argmin(errors))])
    counted = [draft.statistics[name] for name in group.values if name in draft.statistics]
    if not counted:
        return 0.0
    statistics = counted[0]
    for other in counted[1:]:
        statistics = statistics.merge(other)
    encoding = group.encoding
    found = range_of_least_loss(statistics, Placing(encoding.format), power)
    ends = (float(encoding.lowest), float(encoding.highest))
    widths = [(low, high) for low, high in zip(found, ends, strict=True) if low * high > 0]
    ratio = max((abs(new / old) for new, old in widths), default=1.0)
    return float(np.log(np.clip(ratio, 0.01, 2.0)))


def powell(measure: Callable[[Array], float], start: Array) -> Array:
    """A lower place near the start: line after line, and after each sweep the line of its whole way in place of its best one.

    Source: Powell 1964; each line has two tries and the lowest place of the parabola through them.
    """
    here, directions = start, list(np.eye(start.size))
    for step in STEPS:
        before, gains = here, []
        for direction in directions:
            lower = along(measure, here, direction * step)
            gains.append(measure(here) - measure(lower))
            here = lower
        way = here - before
        if np.abs(way).max() > 0:
            here = along(measure, here, way / 2)
            directions[int(np.argmax(gains))] = way / np.linalg.norm(way)
    return here


def along(measure: Callable[[Array], float], here: Array, step: Array) -> Array:
    """The lowest of four places on a line: here, one step to either side, and where a parabola through these is lowest."""
    left, middle, right = (measure(here + side * step) for side in (-1, 0, 1))
    bend = left - 2 * middle + right
    at = float(np.clip((left - right) / (2 * bend), -ALONG, ALONG)) if bend > 0 else float(np.copysign(ALONG, left - right))
    return min((here + side * step for side in (0.0, -1.0, 1.0, at)), key=measure)


def scale_plan(draft: Draft, groups: Sequence[Group], factors: Array) -> Plan:
    """The plan with other scales, and biases at the scale that their products have now."""
    encodings = dict(draft.plan.encodings)
    for group, factor in zip(groups, factors, strict=True):
        scaled = scale_by(group.encoding, factor)
        encodings |= dict.fromkeys(group.values, scaled)
    for node in draft.network.graph:
        bias = bias_of(node) if operator_of(node) is not None else None
        if bias is not None and bias.name in encodings:
            (use,) = uses_of(node, Rule())
            make_room(use, bias, encodings)
            encodings[bias.name] = encode_bias(use, bias, encodings)
    return replace(draft.plan, encodings=encodings)
