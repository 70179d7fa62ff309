"""From accumulators back to codes in several ways: what each costs in accuracy. Writes results/requantize.md.

    python benchmarks/requantize.py [--networks resnet20 ...] [--samples 256] [--real ../shared/real]
"""

import argparse
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import numpy as np
from accumulators import table
from real_networks import NETWORKS, REAL, Array, RealNetwork, load_network

import bitsmith as bs
from bitsmith.integer.codes import CodeRange
from bitsmith.integer.instructions import FIXED_POINT, FLOAT32, SHIFT, Arithmetic
from bitsmith.integer.requantization import FixedPoint, along
from bitsmith.lowering import lower
from bitsmith.numerics.fixed_point import fixed_multiplier

HERE = Path(__file__).resolve().parent
WRITTEN = HERE / "results" / "requantize.md"
CALIBRATED = 256


@dataclass(frozen=True, eq=False)
class ShortMultiplier(FixedPoint):
    """A multiplier of 15 bits, as processors without a long multiplication like it."""

    @classmethod
    def of(cls, multiplier: Array, codes: CodeRange) -> Self:
        return cls(*fixed_multiplier(multiplier, 15), codes)


@dataclass(frozen=True, eq=False)
class TwoRoundings(FixedPoint):
    """As gemmlowp: the upper half of twice the product, rounded, then shifted, rounded again with ties away from zero."""

    def apply(self, accumulators: Array, *, axis: int = 1) -> Array:
        multiplier, shift = (along(part, accumulators.ndim, axis).astype(np.int64) for part in (self.multiplier, self.shift))
        right = np.maximum(shift - 31, 0)
        product = (accumulators.astype(np.int64) << np.maximum(31 - shift, 0)) * multiplier
        high = (product + np.where(product >= 0, 1 << 30, 1 - (1 << 30))) / 2**31
        doubled = np.trunc(high).astype(np.int64)
        half = np.where(right > 0, np.int64(1) << np.maximum(right - 1, 0), 0)
        rounded = np.where(doubled >= 0, (doubled + half) >> right, -((-doubled + half) >> right))
        return self.codes.clamp(rounded + self.codes.zero_point)


def arithmetic(name: str, kind: type[FixedPoint]) -> Arithmetic:
    return replace(FIXED_POINT, name=name, requantize=kind, product=kind.of)


WAYS = {
    "float scale": FLOAT32, "multiplier of 31 bits": FIXED_POINT, "of 15 bits": arithmetic("short", ShortMultiplier),
    "of 31 bits, rounded twice": arithmetic("twice", TwoRoundings),
}


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--networks", nargs="*", default=[name for name in NETWORKS if name != "ultraface_slim320"])
    asked.add_argument("--samples", type=int, default=256)
    asked.add_argument("--real", type=Path, default=REAL)
    given = asked.parse_args()
    rows = [row_of(load_network(name, given.real), given.samples) for name in given.networks]
    said = (f"top-1 by the integer program on the first {given.samples} test samples, recipe int8 for the target c; in brackets the "
            "answers that differ from those with a float scale. Shift alone needs scales that are powers of two: another plan, whose "
            "answers are not compared.")
    WRITTEN.write_text("\n".join(["# Requantization", "", said, "", *table(["network", "float", *WAYS, "shift alone"], rows)]) + "\n")
    print(WRITTEN.read_text())


def row_of(network: RealNetwork, samples: int) -> list[str]:
    """top-1 in every way."""
    assert network.labels is not None
    loaded, test, labels = bs.load(network.path), network.test[:samples], network.labels[:samples]
    row = [network.name, percent(bs.evaluate(loaded, (test, labels)).top1 or 0)]
    result = bs.quantize(loaded, network.calibration[:CALIBRATED], target="c")
    first: Array | None = None
    for way in WAYS.values():
        found = answers(result, way, test)
        first = found if first is None else first
        row.append(f"{percent(float((found == labels).mean()))} ({int((found != first).sum())})")
    shifted = bs.quantize(loaded, network.calibration[:CALIBRATED], target="c:shift", recipe=bs.recipes.int8().with_rules(
        bs.Rule(power_of_two=True)))
    row.append(percent(float((answers(shifted, SHIFT, test) == labels).mean())))
    print(*row, flush=True)
    return row


def answers(result: bs.Quantized, way: Arithmetic, samples: Array) -> Array:
    program = lower(result.refined, result.plan, arithmetic=way)
    (name,) = program.inputs
    return np.asarray(program.run({name: samples})[program.outputs[0]].argmax(1).ravel())


def percent(share: float) -> str:
    return f"{100 * share:.2f} %"


if __name__ == "__main__":
    main()
