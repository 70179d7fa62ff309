"""What it costs to prove that narrow accumulators never overflow. Writes results/limit_accumulators.md.

    python benchmarks/limit_accumulators.py [--networks lenet5 ...] [--bits 16 ...] [--activations 8 6] [--real ../shared/real]
"""

import argparse
from pathlib import Path

import numpy as np
from accumulators import table
from real_networks import REAL, RealNetwork, load_network

import bitsmith as bs
from bitsmith.planning.recipes import int8

HERE = Path(__file__).resolve().parent
WRITTEN = HERE / "results" / "limit_accumulators.md"
CALIBRATED = 256
TESTED = 2000


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--networks", nargs="*", default=["lenet5", "tiny_resnet8", "resnet20"])
    asked.add_argument("--bits", nargs="*", type=int, default=[32, 20, 19, 18, 17, 16])
    asked.add_argument("--activations", nargs="*", type=int, default=[8])
    asked.add_argument("--real", type=Path, default=REAL)
    given = asked.parse_args()
    rows = [row_of(load_network(name, given.real), activations, given.bits) for name in given.networks for activations in given.activations]
    columns = ["network", "activations", "float", *("as planned" if bits == 32 else f"{bits} bits" for bits in given.bits)]
    said = (f"top-1 of the first {TESTED} test samples at most, recipe int8 for onnxruntime with every layer in integers, weights of 8 "
            f"bits, {CALIBRATED} samples to calibrate. In brackets the width that is proven afterwards, and the share "
            "of weights that are not 0.")
    WRITTEN.write_text("\n".join(["# Narrow accumulators", "", said, "", *table(columns, rows)]) + "\n")
    print(WRITTEN.read_text())


def row_of(network: RealNetwork, activations: int, widths: list[int]) -> list[str]:
    """One network, whose activations have so many bits, at each width of its accumulators."""
    assert network.labels is not None
    loaded, test = bs.load(network.path), (network.test[:TESTED], network.labels[:TESTED])
    plain = int8().with_everything().with_rules(bs.Rule(activations=activations))
    row = [network.name, f"{activations} bits", f"{100 * (bs.evaluate(loaded, test).top1 or 0):.2f} %"]
    for bits in widths:
        recipe = plain if bits == 32 else plain.with_accumulator(bits)
        result = bs.quantize(loaded, network.calibration[:CALIBRATED], recipe=recipe)
        proven = max(layer.sums.bits for layer in bs.accumulators(result.refined, result.plan).layers)
        row.append(f"{100 * (result.evaluate(test).top1 or 0):.2f} % ({proven}, {100 * kept(result):.0f} %)")
        print(*row, flush=True)
    return row


def kept(result: bs.Quantized) -> float:
    """The share of the codes of weights that are not 0."""
    stored = result.refined.graph.initializers
    codes = [encoding.quantize(stored[name].const_value.numpy()) for name, encoding in result.plan.encodings.items()
             if name in stored and encoding.format.bits == 8]
    return float(np.mean(np.concatenate([array.ravel() for array in codes]) != 0))


if __name__ == "__main__":
    main()
