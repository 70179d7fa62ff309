"""The scales of all activations and weights together, by what the outputs lose.

Source: LAPQ (Nahshan 2019, *Loss Aware Post-training Quantization*).

Tensor by tensor, least error in the Lp norm; over p a parabola through the loss; then Powell's method over all scales at once.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from bitsmith.calibration.least_loss import range_of_least_loss
from bitsmith.calibration.ranges import Placing
from bitsmith.improving.draft import Draft, Progress
from bitsmith.improving.loss import OutputLoss, read_samples
from bitsmith.improving.scale_groups import Group, find_groups, scale_plan
from bitsmith.improving.stepwise import fixed_count
from bitsmith.improving.trial import Trial
from bitsmith.numerics.formats import Array

POWERS = (2.0, 2.5, 3.0, 3.5, 4.0)
STEPS = (0.12, 0.06)        # of the logarithm of a scale, sweep after sweep
NARROWER = np.log(np.linspace(1.0, 0.2, 41))    # of a weight's scale, to find the least error
ALONG = 2.0                 # the furthest along a line, in steps


def search_ranges(draft: Draft, progress: Progress | None = None) -> Draft:
    """Scale all ranges so that the outputs are nearest to the labels (cross-entropy), or, without, to those in float.

    Three quarters of at most 256 samples decide, a quarter confirms: where it does not, everything stays, and the plan says so.
    Activations and weights of up to 8 bits, the channels of a weight by one factor; weights that were rounded with care before
    stay as they are. Raises GoneError where the calibration data cannot be read again.
    """
    network = draft.simulated()
    samples, labels = read_samples(draft.samples("search_ranges"), fixed_count(network))
    groups = find_groups(draft, network)
    if not groups or len(samples) < 2:
        return said(draft, groups, "its range was not searched: there is nothing to search with")
    loss = OutputLoss(draft.reference, samples, labels)
    trial = Trial(draft, network, groups, loss, progress)
    start = np.zeros(len(groups))
    found = powell(trial.decide, start_of(draft, groups, trial), directions_for(groups), trial.about)
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
        errors = [np.mean(np.abs(group.scaled(f).simulate(group.weights) - group.weights) ** power) for f in NARROWER]
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


def directions_for(groups: Sequence[Group]) -> list[Array]:
    """One for each scale; where scales are powers of two, the first sweep steps from one to the next."""
    return list(np.diag([np.log(2) / STEPS[0] if group.in_powers else 1.0 for group in groups]))


def powell(
    measure: Callable[[Array], float], start: Array, directions: Sequence[Array], about: Callable[[Array, Array], None],
) -> Array:
    """A lower place near the start: line after line, and after each sweep the line of its whole way in place of its best one.

    about   is told where the next tries are: from which place, in which direction

    Source: Powell 1964; each line has two tries and the lowest place of the parabola through them.
    """
    here, directions = start, list(directions)
    for step in STEPS:
        before, gains = here, []
        for direction in directions:
            about(here, direction)
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
