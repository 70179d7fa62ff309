"""All range estimators on real networks from one calibration pass: what each makes of the outputs, and what all of them cost.

    python benchmarks/estimators.py [--networks resnet20,lenet5] [--bits 8,6,4] [--test 2000] [--real FOLDER] [-o results/estimators.md]

The one measure of time, in seconds of the processor, 512 samples: (calibration + all ranges by every estimator) / (calibration + all ranges
by min_max). Planning is left out on both sides.
"""

import argparse
from collections.abc import Callable
from pathlib import Path
from time import process_time

import numpy as np
import onnx_ir as ir
from real_networks import REAL, Array, load_network

import bitsmith as bs
from bitsmith.analysis.compare_estimators import EstimatorComparison, EstimatorSettings, compare_estimators, usual_estimators
from bitsmith.calibration.ranges import Placing, parse_estimator
from bitsmith.numerics import Integer

NETWORKS = "lenet5,resnet20,tiny_resnet8,tiny_dscnn,mobilenet_v1_025_224"
TIMED = 512         # samples
TRIES = 3           # the quickest counts: others work on the machine, too


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--networks", default=NETWORKS)
    parser.add_argument("--bits", default="8,6,4")
    parser.add_argument("--test", type=int, default=2000)
    parser.add_argument("--real", type=Path, default=REAL)
    parser.add_argument("-o", "--output", type=Path, default=Path(__file__).parent / "results" / "estimators.md")
    asked = parser.parse_args()
    parts = [f"# Range estimators\n\nMade by `benchmarks/estimators.py`; the first {asked.test:,} test samples, target onnx,\n"
             "8-bit weights, first and last layers at 8 bits. In each cell: top-1 % / signal to noise of the outputs in dB.\n"]
    for name in asked.networks.split(","):
        parts.append(study(name, [int(bits) for bits in asked.bits.split(",")], asked.test, asked.real))
        print(parts[-1], flush=True)
    asked.output.write_text("\n".join(parts))


def study(name: str, widths: list[int], test: int, folder: Path) -> str:
    """One network as Markdown."""
    given = load_network(name, folder)
    network, samples = bs.load(given.path), {"x": given.test[:test], "y": given.labels[:test]}
    statistics = bs.calibrate(network, {"x": given.calibration})
    found: dict[int, EstimatorComparison] = {}
    for bits in widths:
        recipe = bs.Recipe(f"w8a{bits}", (bs.Rule(activations=bits),), ends=8 if bits < 8 else None, everything=True)
        found[bits] = compare_estimators(network, statistics, samples, settings=EstimatorSettings(recipe, "onnx"))
    first = found[widths[0]]
    seconds, calibration = times_of(network, given.calibration)
    ratio = (calibration + sum(seconds.values())) / (calibration + seconds["min_max"])
    lines = [f"## {name}: float {100 * (first.float_top1 or 0):.2f} %", "",
             "| estimator | " + " | ".join(f"{bits} bits" for bits in widths) + f" | clipped at {widths[-1]} bits | ms |",
             "|---" * (len(widths) + 3) + "|"]
    for rows in zip(*(found[bits].rows for bits in widths), strict=True):
        cells = [f"{100 * (row.top1 or 0):.2f} / {row.snr_db:.1f}" for row in rows]
        name_of_row, took = rows[0].estimator, 1e3 * seconds[rows[0].estimator]
        lines.append(f"| {name_of_row} | {' | '.join(cells)} | {100 * rows[-1].clipped:.3f} % | {took:.1f} |")
    counted = f"Calibration with {TIMED} samples takes {calibration:.3f} s of the processor"
    everything = f"all {len(seconds)} estimators {sum(seconds.values()):.3f} s"
    lines += ["", f"{counted}, {everything}: {ratio:.2f} times what it takes with min_max alone.", ""]
    return "\n".join(lines)


def times_of(network: ir.Model, samples: Array) -> tuple[dict[str, float], float]:
    """(of each estimator over all values that int8 gives ranges, of calibration for it), in seconds of the processor."""
    data = {"x": np.resize(samples, (TIMED, *samples.shape[1:]))}       # over again where there are fewer
    recipe = bs.Recipe("w8a8", (bs.Rule(activations=8),), everything=True)
    statistics = bs.calibrate(network, data, recipe=recipe, target="onnx")

    def find_all(name: str) -> None:
        for counted in statistics.values():
            parse_estimator(name)(counted, Placing(Integer(8, signed=False)))

    calibration = quickest(lambda: bs.calibrate(network, data, recipe=recipe, target="onnx"))
    return {name: quickest(lambda name=name: find_all(name)) for name in usual_estimators()}, calibration


def quickest(run: Callable[[], object]) -> float:
    found = []
    for _ in range(TRIES):
        started = process_time()
        run()
        found.append(process_time() - started)
    return min(found)


if __name__ == "__main__":
    main()
