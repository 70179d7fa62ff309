"""Q/DQ beside QOperator: size of the file, kernels that run, latency, and codes that differ from the program's, of the same plan.

    python benchmarks/forms.py [--networks resnet20] [--rounds 50] [--samples 200] [--real ../shared/real]
"""

import argparse
import tempfile
from pathlib import Path

import latency
import numpy as np
import onnx
from real_networks import NETWORKS, REAL, load_network

import bitsmith as bs

FORMS = {"Q/DQ": "onnxruntime", "QOperator": "onnxruntime:qoperator"}
USUAL = ("lenet5", "resnet20", "tiny_resnet8", "tiny_dscnn", "mobilenet_v1_025_224")


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--networks", nargs="+", choices=NETWORKS, default=USUAL)
    asked.add_argument("--rounds", type=int, default=50)
    asked.add_argument("--samples", type=int, default=200, help="that are verified")
    asked.add_argument("--real", type=Path, default=REAL)
    given = asked.parse_args()
    print("| network | layers | form | bytes | nodes | kernels | µs, quickest | µs, middle | codes | program, onnxruntime | left in Q/DQ |")
    print("|---" * 11 + "|")
    for name in given.networks:
        found = load_network(name, given.real)
        for title, recipe in (("as chosen", bs.recipes.int8()), ("all in int8", bs.recipes.int8().with_everything())):
            with tempfile.TemporaryDirectory() as folder:
                results = {form: bs.quantize(str(found.path), found.calibration, recipe=recipe, target=t) for form, t in FORMS.items()}
                paths = {form: result.write(Path(folder) / f"{number}.onnx")[0] for number, (form, result) in enumerate(results.items())}
                sample = {results["Q/DQ"].network.graph.inputs[0].name or "": np.asarray(found.test[:1], np.float32)}
                running = {form: path.with_suffix(".running.onnx") for form, path in paths.items()}
                sessions = {form: latency.open_session(str(p), str(running[form])) for form, p in paths.items()}
                times = latency.compare(sessions, sample, given.rounds)
                for form, path in paths.items():
                    pair = bs.verify(path, found.test[:given.samples]).comparisons[-1]
                    left = sum(reason.startswith("between") for reason in results[form].plan.reasons.values())
                    nodes = f"{len(results[form].network.graph)} | {len(onnx.load(running[form]).graph.node)}"
                    cells = f"{path.stat().st_size:,} | {nodes} | {times[form].least:.1f} | {times[form].median:.1f}"
                    print(f"| {name} | {title} | {form} | {cells} | {pair.codes:,} | {pair.differing} | {left} |", flush=True)


if __name__ == "__main__":
    main()
