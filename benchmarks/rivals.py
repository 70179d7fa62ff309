"""bitsmith beside its rivals on real networks: top-1, seconds, memory, latency, size. Prints and writes a table, and all figures as JSON.

    python benchmarks/rivals.py                                     # everything that installs
    python benchmarks/rivals.py --networks resnet20 --rivals bitsmith nncf

Each rival gets a virtual environment of its own in a cache folder, made on first use, and runs in a process of its own. A rival that
cannot be installed or fails on a network is named with the reason, never left out in silence.
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import latency
import numpy as np
from onnxruntime.capi import onnxruntime_pybind11_state
from real_networks import NETWORKS, REAL, Array, RealNetwork, load_network

HERE = Path(__file__).resolve().parent
CACHE = Path.home() / ".cache" / "bitsmith-rivals"
TORCH = "torch==2.13.0"
BATCH = 100
REFUSALS = tuple(getattr(onnxruntime_pybind11_state, kind) for kind in ("Fail", "InvalidArgument", "InvalidGraph", "InvalidProtobuf",
                                                                       "NotImplemented", "RuntimeException"))
MINUTES = 30


@dataclass(frozen=True)
class Rival:
    """script        in the folder rivals/
    requirements  of its environment; none: this very interpreter
    """

    script: str
    arguments: tuple[str, ...] = ()
    environment: str = ""
    requirements: tuple[str, ...] = ()


RIVALS = {
    "bitsmith": Rival("bitsmith_quantize.py"),
    "bitsmith, everything": Rival("bitsmith_quantize.py", ("--everything",)),
    "ORT tensor": Rival("onnxruntime_static.py"),
    "ORT channel": Rival("onnxruntime_static.py", ("--per-channel",)),
    "ORT entropy": Rival("onnxruntime_static.py", ("--per-channel", "--method", "Entropy")),
    "nncf": Rival("nncf_quantize.py", (), "nncf", ("nncf==3.4.0", "onnx", "onnxruntime==1.31.1")),
    "aimet": Rival("aimet_simulate.py", (), "aimet", (TORCH, "aimet-onnx==2.42.0")),
    "esp-ppq": Rival("esp_ppq_quantize.py", (), "esp-ppq", (TORCH, "esp-ppq==1.3.12")),
}


@dataclass
class Result:
    """One rival on one network. `failed` says why there are no figures.

    top1     percent, or where there are no labels None
    decibel  signal-to-noise ratio of all outputs against the float network
    """

    rival: str
    network: str
    failed: str = ""
    seconds: float | None = None
    peak_mb: float | None = None
    top1: float | None = None
    decibel: float | None = None
    kilobytes: float | None = None
    least_us: float | None = None
    median_us: float | None = None
    file: str = field(default="", repr=False)


def main() -> None:
    """Measure what the command line asks for."""
    arguments = parse_arguments()
    interpreters = {name: prepare(RIVALS[name], arguments.cache) for name in arguments.rivals}
    results: list[Result] = []
    for name in arguments.networks:
        network = load_network(name, arguments.real)
        results += measure(network, arguments, interpreters)
        print(table(name, [r for r in results if r.network == name]), flush=True)
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / "rivals.json").write_text(json.dumps([asdict(r) for r in results], indent=1) + "\n")
    text = "\n".join(table(name, [r for r in results if r.network == name]) for name in arguments.networks)
    (arguments.out / "rivals.md").write_text(text)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--rivals", nargs="+", choices=list(RIVALS), default=list(RIVALS))
    parser.add_argument("--cache", type=Path, default=CACHE, help="environments, data and files (default: %(default)s)")
    parser.add_argument("--real", type=Path, default=REAL, help="folder of the real networks")
    parser.add_argument("--out", type=Path, default=CACHE, help="folder for rivals.json and rivals.md")
    parser.add_argument("--repeat", type=int, default=3, help="runs of each rival, of which the quickest counts")
    parser.add_argument("--rounds", type=int, default=50, help="rounds of the latency comparison")
    return parser.parse_args()


def prepare(rival: Rival, cache: Path) -> Path | str:
    """The interpreter to run a rival with; where its environment cannot be made, the reason."""
    if not rival.requirements:
        return Path(sys.executable)
    home = cache / rival.environment
    made, wanted = home / "requirements.txt", "\n".join(rival.requirements) + "\n"
    interpreter = home / "bin" / "python"
    if made.is_file() and made.read_text() == wanted:
        return interpreter
    print(f"installing {' '.join(rival.requirements)} in {home}", file=sys.stderr, flush=True)
    subprocess.run([sys.executable, "-m", "venv", home], check=True)
    installed = subprocess.run([interpreter, "-m", "pip", "install", "--quiet", *rival.requirements], capture_output=True, text=True)
    if installed.returncode:
        return f"does not install: {last_line(installed.stderr)}"
    made.write_text(wanted)
    return interpreter


def measure(network: RealNetwork, arguments: argparse.Namespace, interpreters: dict[str, Path | str]) -> list[Result]:
    """All rivals on one network: first each alone, then the latency of all files in turn."""
    work = arguments.cache / "files" / network.name
    work.mkdir(parents=True, exist_ok=True)
    data = work / "calibration.npz"
    session = latency.open_session(str(network.path))
    np.savez(data, **{session.get_inputs()[0].name: network.calibration})
    reference = outputs(session, network.test)
    results = [judge(Result("float", network.name, file=str(network.path)), network, reference)]
    for name in arguments.rivals:
        interpreter = interpreters[name]
        result = Result(name, network.name, file=str(work / f"{name.replace(',', '').replace(' ', '_')}.onnx"))
        if isinstance(interpreter, str):
            result.failed = interpreter
        else:
            quantize(RIVALS[name], interpreter, network, data, result, arguments.repeat)
        results.append(judge(result, network, reference))
    add_latencies([r for r in results if not r.failed], network, arguments.rounds)
    return results


def quantize(rival: Rival, interpreter: Path, network: RealNetwork, data: Path, result: Result, repeat: int) -> None:
    """Run a rival's script; the quickest of several runs counts, and the largest peak of memory."""
    command = [interpreter, HERE / "rivals" / rival.script, network.path, data, result.file, *rival.arguments]
    quiet = dict(os.environ, PYTHONWARNINGS="ignore")
    if not rival.requirements:
        quiet["PYTHONPATH"] = os.pathsep.join(filter(None, [str(HERE.parent / "src"), os.environ.get("PYTHONPATH")]))
    for _ in range(repeat):
        try:
            ran = subprocess.run(command, capture_output=True, text=True, timeout=60 * MINUTES, env=quiet)
        except subprocess.TimeoutExpired:
            result.failed = f"took more than {MINUTES} minutes"
            return
        if ran.returncode:
            result.failed = last_line(ran.stderr)
            return
        told = json.loads(ran.stdout.strip().splitlines()[-1])
        result.seconds = min(told["seconds"], result.seconds or told["seconds"])
        result.peak_mb = max(told["peak_mb"], result.peak_mb or 0.0)


def last_line(text: str) -> str:
    lines = [line for line in text.strip().splitlines() if line.strip()]
    return lines[-1][:200] if lines else "no message"


def judge(result: Result, network: RealNetwork, reference: Sequence[Array]) -> Result:
    """Size and accuracy of a written file; a file that onnxruntime refuses is a failure."""
    if result.failed:
        return result
    try:
        found = outputs(latency.open_session(result.file), network.test)
    except REFUSALS as problem:
        result.failed = f"onnxruntime refuses the file: {last_line(str(problem))}"
        return result
    if network.labels is not None:
        result.top1 = 100 * float((found[0].argmax(axis=1) == network.labels).mean())
    noise = sum(float(((a - b).astype(np.float64) ** 2).sum()) for a, b in zip(found, reference, strict=True))
    signal = sum(float((b.astype(np.float64) ** 2).sum()) for b in reference)
    result.decibel = None if noise == 0 else 10 * float(np.log10(signal / noise))
    result.kilobytes = Path(result.file).stat().st_size / 1000
    return result


def outputs(session: Any, x: Array) -> list[Array]:
    """All outputs for all samples, in batches; one by one where the file was made for one."""
    name, fixed = session.get_inputs()[0].name, session.get_inputs()[0].shape[0]
    step = fixed if isinstance(fixed, int) else BATCH
    parts = [session.run(None, {name: x[i : i + step]}) for i in range(0, len(x), step)]
    return [np.concatenate(column) for column in zip(*parts, strict=True)]


def add_latencies(results: Sequence[Result], network: RealNetwork, rounds: int) -> None:
    """Latency of all files, interleaved."""
    sessions = {r.rival: latency.open_session(r.file) for r in results}
    name = next(iter(sessions.values())).get_inputs()[0].name
    found = latency.compare(sessions, {name: network.test[:1]}, rounds)
    for result in results:
        result.least_us, result.median_us = found[result.rival]


def table(name: str, results: Sequence[Result]) -> str:
    """A Markdown table of one network."""
    lines = [f"\n### {name}\n", "| | top-1 % | SNR dB | seconds | peak MB | µs least | µs median | of float | kB |", "|---" * 9 + "|"]
    base = next((r.least_us for r in results if r.rival == "float"), None)
    for r in results:
        if r.failed:
            lines.append(f"| {r.rival} | fails: {r.failed.replace('|', '/')} |" + " |" * 7)
            continue
        ratio = r.least_us / base if r.least_us and base else None
        quality = [(r.top1, 2), (r.decibel, 1), (r.seconds, 2), (r.peak_mb, 0)]
        cells = [*quality, (r.least_us, 1), (r.median_us, 1), (ratio, 3), (r.kilobytes, 1)]
        lines.append(f"| {r.rival} | " + " | ".join("" if v is None else f"{v:.{d}f}" for v, d in cells) + " |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
