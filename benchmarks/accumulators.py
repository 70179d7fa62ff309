"""Accumulators of the real networks: proven, seen, and what x86 without VNNI makes of them. Writes results/accumulators.md.

    python benchmarks/accumulators.py [--networks resnet20 ...] [--real ../shared/real]

What saturates is measured where it does: on a processor with AVX2 and without VNNI; elsewhere both columns say the same.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from real_networks import NETWORKS, REAL, Array, RealNetwork, load_network

import bitsmith as bs

HERE = Path(__file__).resolve().parent
WRITTEN = HERE / "results" / "accumulators.md"
LABELLED = [name for name in NETWORKS if name != "ultraface_slim320"]
SEEN_ON = 64                # samples
TESTED = 2000
BATCH = 100
WIDTHS = (8, 7)             # of weights


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--networks", nargs="*", default=LABELLED)
    asked.add_argument("--real", type=Path, default=REAL)
    given = asked.parse_args()
    rows = [row for name in given.networks for row in rows_of(load_network(name, given.real))]
    columns = ["network", "weights", "layers", "rule of thumb", "proven", f"seen on {SEEN_ON}", "layers that could saturate",
               "pairs that do", "float top-1", "exact sums", "saturating pairs"]
    said = (f"onnxruntime {onnxruntime.__version__}, recipe int8 with weights of 8 and of 7 bits; widths in bits, of the widest layer. "
            f"Pairs that do: of all layers on {SEEN_ON} samples; top-1: of the first {TESTED} test samples at most. "
            "The last column is onnxruntime without its option session.x64quantprecision, on a processor without VNNI.")
    lines = ["# Accumulators", "", said, ""]
    WRITTEN.write_text("\n".join([*lines, *table(columns, rows)]) + "\n")
    print(WRITTEN.read_text())


def rows_of(network: RealNetwork) -> list[list[str]]:
    """A row for each width of the weights."""
    assert network.labels is not None
    loaded, rows = bs.load(network.path), []
    test = network.test[:TESTED], network.labels[:TESTED]
    before = accuracy(str(network.path), *test, exact=True)
    for bits in WIDTHS:
        result = bs.quantize(loaded, network.calibration, recipe=bs.recipes.int8().with_rules(bs.Rule(weights=bits)))
        path = Path(f"/tmp/bitsmith-{network.name}-{bits}.onnx")
        result.write(path)
        found = bs.accumulators(result.refined, result.plan, network.test[:SEEN_ON])
        sums = [layer.sums for layer in found.layers]
        widths = [max(s.rule_bits for s in sums), max(s.bits for s in sums), max(s.seen_bits or 0 for s in sums)]
        saturated = sum(s.saturated or 0 for s in sums)
        after = [accuracy(str(path), *test, exact=exact) for exact in (True, False)]
        rows.append([network.name, f"{bits} bits", f"{len(sums)}", *map(str, widths), str(len(found.saturating)), f"{saturated:,}",
                     *(f"{100 * share:.2f} %" for share in (before, *after))])
        print(*rows[-1], flush=True)
    return rows


def accuracy(path: str, samples: Array, labels: Array, *, exact: bool) -> float:
    """top-1 by onnxruntime alone."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level, options.intra_op_num_threads = 4, 1
    if exact:
        options.add_session_config_entry("session.x64quantprecision", "1")
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    name, right = session.get_inputs()[0].name, 0
    for start in range(0, len(samples), BATCH):
        answers: Any = session.run(None, {name: samples[start:start + BATCH]})[0]
        right += int(np.sum(answers.argmax(1).ravel() == labels[start:start + BATCH]))
    return right / len(samples)


def table(columns: list[str], rows: list[list[str]]) -> list[str]:
    return [f"| {' | '.join(row)} |" for row in (columns, ["---"] * len(columns), *rows)]


if __name__ == "__main__":
    main()
