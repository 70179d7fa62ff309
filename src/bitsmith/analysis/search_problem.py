"""From sensitivities and shapes to an integer programme: what each width of each layer costs, and what noise it adds."""

from collections.abc import Callable, Mapping
from itertools import accumulate

from bitsmith.analysis.pareto import Choice, Problem
from bitsmith.analysis.search_costs import FLOAT_BITS, Bill, bit_operations, costs_of, mac_energy, width_of
from bitsmith.analysis.sensitivity_file import Sensitivity
from bitsmith.analysis.sensitivity_layers import ACTIVATIONS, WEIGHTS, Adjustable, Choices
from bitsmith.planning.make_plan import make_plan
from bitsmith.planning.plan import Plan

ROLES_OF = {"bytes": (WEIGHTS,), "bitops": (WEIGHTS, ACTIVATIONS), "energy": (WEIGHTS, ACTIVATIONS)}
Noise = dict[Choice, dict[int, float]]


def problem_for(
    choices: Choices, sensitivity: Sensitivity, cost: str, max_bytes: float | None = None, max_bitops: float | None = None
) -> Problem:
    """Everything that is chosen: the roles that were measured."""
    plan = make_plan(choices.graph, choices.statistics, choices.recipe, choices.accepts)
    noise = noise_of(sensitivity)
    limits = [(bill(choices, noise, plan, name), most) for name, most in (("bytes", max_bytes), ("bitops", max_bitops)) if most is not None]
    return Problem(noise, bill(choices, noise, plan, cost), limits)


def noise_of(sensitivity: Sensitivity) -> Noise:
    """Noise by choice and width, from wide to narrow, never falling: where it was measured to fall, that was chance."""
    found: Noise = {}
    for effect in sorted(sensitivity.effects, key=lambda e: -e.bits):
        found.setdefault((effect.layer, effect.role), {})[effect.bits] = effect.noise
    return {choice: dict(zip(parts, accumulate(parts.values(), max), strict=True)) for choice, parts in found.items()}


def bill(choices: Choices, noise: Noise, plan: Plan, cost: str) -> Bill:
    """What a cost is made of; what nobody chooses is constant, as the plan has it."""
    if cost == "bytes":
        single = {(x.name, WEIGHTS): {b: x.size * b / 8 for b in noise[x.name, WEIGHTS]}
                  for x in choices.layers if (x.name, WEIGHTS) in noise}
        codes = sum(x.size * width_of(x.weights[0], plan) / 8 for x in choices.layers if (x.name, WEIGHTS) in noise)
        return Bill(costs_of(choices.graph, plan).bytes - codes, single, {})
    return bill_of_products(choices, noise, plan, bit_operations if cost == "bitops" else mac_energy)


def bill_of_products(choices: Choices, noise: Noise, plan: Plan, price: Callable[[int, int, int], float]) -> Bill:
    """Products cost by both operands' widths: that of the weights, and that of the layer whose result they read."""
    makers = {name: (x.name, ACTIVATIONS) for x in choices.layers for name in x.shared if (x.name, ACTIVATIONS) in noise}
    constant, single, pairs = 0.0, dict[Choice, dict[int, float]](), dict[tuple[Choice, Choice], dict[tuple[int, int], float]]()
    for layer in (x for x in choices.layers if x.macs):
        own, read = (layer.name, WEIGHTS), makers.get(layer.reads)
        fixed = width_of(layer.reads, plan) if layer.reads else FLOAT_BITS
        if own not in noise or (read is None and fixed == FLOAT_BITS):
            constant += price(layer.macs, *widths_now(layer, plan, fixed))
        elif read is None:
            single[own] = {b: price(layer.macs, b, fixed) for b in noise[own]}
        else:
            pairs[own, read] = {(a, b): price(layer.macs, a, b) for a in noise[own] for b in noise[read]}
    return Bill(constant, single, pairs)


def widths_now(layer: Adjustable, plan: Plan, fixed: int) -> tuple[int, int]:
    """As the plan has them; float where either is."""
    weights = width_of(layer.weights[0], plan)
    return (FLOAT_BITS, FLOAT_BITS) if FLOAT_BITS in (weights, fixed) else (weights, fixed)


def moves(noise: Mapping[Choice, Mapping[int, float]], chosen: Mapping[Choice, int], step: int) -> list[tuple[Choice, int]]:
    """Every choice one width narrower (step 1) or wider (-1), where there is one."""
    found = []
    for choice, parts in noise.items():
        widths = list(parts)
        place = widths.index(chosen[choice]) + step
        if 0 <= place < len(widths):
            found.append((choice, widths[place]))
    return found
