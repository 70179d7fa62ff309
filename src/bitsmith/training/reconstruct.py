"""Learns to which side each weight of a block is rounded, so that the block's result comes near the float network's."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import onnx_ir as ir

from bitsmith.numerics.encoding import Encoding
from bitsmith.numerics.formats import Array
from bitsmith.numerics.signs import BINARY
from bitsmith.training.differentiable import Tensor, run_nodes

STRETCH, SHIFT = 1.2, -0.1          # of the sigmoid, so that it reaches 0 and 1 (Nagel 2020, equation 23)
ROUND_WEIGHT = 0.01                 # of the term that drives to 0 or 1
TRUST = 0.55                        # in the codes given, against the real weights: above a half, so that they are what learning begins with
WARM_UP = 0.2                       # share of the steps without that term
STEEPEST, FLATTEST = 20.0, 2.0
RATE, BIAS_RATE = 5e-2, 1e-3
BATCH = 32
KEPT_ASIDE = 8                      # one sample of so many only judges
LOOKS = 10                          # times that it is judged
DROP = 0.1                          # share of numbers that stay float (QDrop); beginning with rounded weights, half of them gained less


@dataclass(frozen=True)
class Task:
    """nodes      of the block
    source, result   names of what goes in and what comes out
    weights    by name: real weights, their encoding, and the codes to begin from
    biases     by name: real biases that may move
    activations  encodings of the values inside
    """

    nodes: Sequence[ir.Node]
    source: str
    result: str
    weights: Mapping[str, tuple[Array, Encoding, Array]]
    biases: Mapping[str, Array]
    activations: Mapping[str, Encoding]


@dataclass(frozen=True)
class Learned:
    """codes by weight, biases by name, and the block's mean squared error before and after, on samples that nothing was learned from."""

    codes: dict[str, Array]
    biases: dict[str, Array]
    before: float
    after: float


class SoftCodes:
    """Codes between two neighbours: lower + h, h in [0, 1], of which the nearer to the real weight may be left for the other."""

    def __init__(self, real: Array, encoding: Encoding, codes: Array) -> None:
        import torch

        scale, zero_point = (encoding.blocks.spread(a, real.shape) for a in (encoding.scale, encoding.zero_point))
        format, steps = encoding.format, real.astype(np.float64) / scale + zero_point
        self.begin = codes.astype(np.float64)
        lower = np.clip(np.where(steps >= self.begin, self.begin, self.begin - 1), format.lowest, max(format.lowest, format.highest - 1))
        start = np.clip((1 - TRUST) * (steps - lower).clip(0, 1) + TRUST * (self.begin - lower), 0.02, 0.98)
        share = (start - SHIFT) / STRETCH
        self.lower, self.scale, self.zero_point = (torch.from_numpy(np.broadcast_to(a, real.shape).astype(np.float32))
                                                   for a in (lower, scale, zero_point))
        self.inner = torch.tensor(np.log(share / (1 - share)).astype(np.float32), requires_grad=True)

    def share(self) -> Tensor:
        return (self.inner.sigmoid() * STRETCH + SHIFT).clamp(0, 1)

    def soft(self) -> Tensor:
        """Real weights that follow the shares."""
        return (self.lower + self.share() - self.zero_point) * self.scale

    def undecided(self, power: float) -> Tensor:
        """How far the shares are from 0 and 1 (Nagel 2020, equation 24)."""
        return (1 - (2 * self.share() - 1).abs().pow(power)).sum()

    def codes(self) -> Array:
        return np.asarray((self.lower + (self.share() >= 0.5)).detach().numpy())


def reconstruct(task: Task, given: Array, exact: Array, wanted: Array, *, steps: int, seed: int) -> Learned:
    """Learn one block's roundings and biases: AdaRound (Nagel 2020) on blocks (BRECQ, Li 2021), float numbers mixed in (QDrop, Wei 2022).

    given, exact   what goes in, [samples, ...], quantized and in float
    wanted         what should come out

    Every eighth sample only judges: of ten moments on the way the best one counts, so that little data are not learned by heart.
    Of fewer than eight samples all learn and all judge.
    Weights and biases are learned together, by Adam.
    """
    import torch

    chance, judges = torch.Generator().manual_seed(seed), np.arange(len(wanted)) % KEPT_ASIDE == KEPT_ASIDE - 1
    learners = ~judges
    judges = judges if judges.any() else learners
    source, exact_source, target = (torch.from_numpy(a[learners]) for a in (given, exact, wanted))
    judged = torch.from_numpy(given[judges]), torch.from_numpy(wanted[judges])
    soft = {name: SoftCodes(*parts) for name, parts in task.weights.items()}
    biases = {name: torch.tensor(array, requires_grad=True) for name, array in task.biases.items()}
    before = best = judge(task, judged, {name: codes.begin for name, codes in soft.items()}, biases)
    optimiser = torch.optim.Adam([{"params": [c.inner for c in soft.values()], "lr": RATE},
                                  {"params": list(biases.values()), "lr": BIAS_RATE * float(target.std())}])
    for step in range(steps):
        index = torch.randint(len(target), (min(BATCH, len(target)),), generator=chance)
        mixed = torch.where(torch.rand(source[index].shape, generator=chance) < DROP, exact_source[index], source[index])
        values = {task.source: mixed, **{name: codes.soft() for name, codes in soft.items()}, **biases}
        made = run_nodes(task.nodes, values, dropping(task, chance))[task.result]
        loss = (made - target[index]).square().sum() / made.shape[0] / made[0, 0].numel()
        if step > WARM_UP * steps:
            loss = loss + ROUND_WEIGHT * sum(codes.undecided(power_at(step / steps)) for codes in soft.values())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        if (step + 1) * LOOKS // steps > step * LOOKS // steps:
            best = min(best, judge(task, judged, {name: found.codes() for name, found in soft.items()}, biases), key=lambda one: one.after)
    return replace(best, before=before.after)


def judge(task: Task, judged: tuple[Tensor, Tensor], codes: dict[str, Array], biases: Mapping[str, Tensor]) -> Learned:
    """What these codes and biases leave, on samples that nothing is learned from."""
    moved = {name: bias.detach().clone() for name, bias in biases.items()}
    error = mean_error(task, *judged, real_weights(task, codes) | moved)
    return Learned(codes, {name: bias.numpy() for name, bias in moved.items()}, error, error)


def power_at(done: float) -> float:
    """Falls from steepest to flattest along a cosine."""
    left = max(0.0, (done - WARM_UP) / (1 - WARM_UP))
    return FLATTEST + 0.5 * (STEEPEST - FLATTEST) * (1 + float(np.cos(left * np.pi)))


def real_weights(task: Task, codes: Mapping[str, Array]) -> dict[str, Tensor]:
    import torch

    stored = {name: array.astype(task.weights[name][1].format.storage) for name, array in codes.items()}
    return {name: torch.from_numpy(task.weights[name][1].dequantize(array)) for name, array in stored.items()}


def mean_error(task: Task, source: Tensor, target: Tensor, parameters: Mapping[str, Tensor]) -> float:
    """Mean squared error with all activations quantized."""
    import torch

    total = 0.0
    with torch.no_grad():
        for begin in range(0, len(target), BATCH):
            part = slice(begin, begin + BATCH)
            made = run_nodes(task.nodes, {task.source: source[part], **parameters}, quantizing(task))[task.result]
            total += float((made - target[part]).square().sum())
    return total / float(target.numel())


def quantizing(task: Task) -> Callable[[str, Tensor], Tensor]:
    """Values inside the block become what their codes stand for; its result too, as its readers would see it."""
    return lambda name, value: fake_quantize(value, task.activations[name]) if name in task.activations else value


def dropping(task: Task, chance: Any) -> Callable[[str, Tensor], Tensor]:
    """As `quantizing`, but that numbers stay as they are by chance; the result stays float."""
    import torch

    def change(name: str, value: Tensor) -> Tensor:
        if name not in task.activations or name == task.result:
            return value
        quantized = fake_quantize(value, task.activations[name])
        return torch.where(torch.rand(value.shape, generator=chance) < DROP, value, quantized)

    return change


def fake_quantize(value: Tensor, encoding: Encoding) -> Tensor:
    """Rounded and saturated; the gradient passes as if nothing had been rounded (straight-through), where nothing saturated."""
    import torch

    scale, zero_point = float(encoding.scale), float(encoding.zero_point)
    low, high = encoding.format.lowest - zero_point, encoding.format.highest - zero_point
    steps = (value / scale).clamp(low, high)
    codes = torch.where(value < 0, -1.0, 1.0) if encoding.format == BINARY else steps.round()
    return (steps + (codes - steps).detach()) * scale
