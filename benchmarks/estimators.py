"""All range estimators on real networks from one calibration pass: what each makes of the outputs, and what all of them cost.

    python benchmarks/estimators.py [--networks resnet20,lenet5] [--bits 8,6,4] [--test 2000] [--real FOLDER] [-o results/estimators.md]

The one measure of time: (calibration + all plans with every estimator) / (calibration + one plan with min_max).
"""

import argparse
from pathlib import Path
from time import perf_counter

from real_networks import REAL, load_network

import bitsmith as bs
from bitsmith.analysis.compare_estimators import EstimatorComparison, EstimatorSettings, compare_estimators

NETWORKS = "lenet5,resnet20,tiny_resnet8,tiny_dscnn"


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
    started = perf_counter()
    statistics = bs.calibrate(network, {"x": given.calibration})
    calibration = perf_counter() - started
    found: dict[int, EstimatorComparison] = {}
    for bits in widths:
        recipe = bs.Recipe(f"w8a{bits}", (bs.Rule(activations=bits),), ends=8 if bits < 8 else None, everything=True)
        found[bits] = compare_estimators(network, statistics, samples, settings=EstimatorSettings(recipe, "onnx"))
    first = found[widths[0]]
    seconds = {row.estimator: row.seconds for row in first.rows}
    ratio = (calibration + sum(seconds.values())) / (calibration + seconds["min_max"])
    lines = [f"## {name}: float {100 * (first.float_top1 or 0):.2f} %", "",
             "| estimator | " + " | ".join(f"{bits} bits" for bits in widths) + f" | clipped at {widths[-1]} bits | seconds |",
             "|---" * (len(widths) + 3) + "|"]
    for rows in zip(*(found[bits].rows for bits in widths), strict=True):
        cells = [f"{100 * (row.top1 or 0):.2f} / {row.snr_db:.1f}" for row in rows]
        lines.append(f"| {rows[0].estimator} | {' | '.join(cells)} | {100 * rows[-1].clipped:.3f} % | {rows[0].seconds:.3f} |")
    plans = f"all {len(seconds)} plans {sum(seconds.values()):.2f} s"
    counted = f"Calibration {calibration:.2f} s for {len(given.calibration)} samples"
    lines += ["", f"{counted}, {plans}: {ratio:.2f} times calibration with min_max alone.", ""]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
