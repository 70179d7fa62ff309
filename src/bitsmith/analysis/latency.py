"""How long one sample takes in onnxruntime on one thread: both networks by turns, so that what else the machine does hits both alike."""

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median
from time import perf_counter

import numpy as np
import onnx_ir as ir

from bitsmith.analysis.engines import Subject
from bitsmith.errors import DataError
from bitsmith.numerics.formats import Array
from bitsmith.running.session import Session

LEAST_RUNS, MOST_RUNS = 9, 500
MOST_SECONDS = 4.0          # for both together, once each has its least runs


@dataclass(frozen=True)
class Latency:
    """Medians, in seconds for one sample, of so many runs of each network."""

    before: float
    after: float
    runs: int
    engine: str = "onnxruntime"
    threads: int = 1

    def __str__(self) -> str:
        return f"engine {self.engine}, {self.threads} thread, batch 1, median of {self.runs} runs each, by turns"


def measure_latency(before: Subject, after: Subject, sample: Mapping[str, Array]) -> Latency:
    """Run both with one sample, first once unmeasured, then by turns. Raises DataError where the sample does not fit."""
    sessions = [Session(subject.executable, threads=1) for subject in (before, after)]
    taken: tuple[list[float], list[float]] = [], []
    for session in sessions:
        session.run(sample)
    start = perf_counter()
    while len(taken[0]) < LEAST_RUNS or (len(taken[0]) < MOST_RUNS and perf_counter() - start < MOST_SECONDS):
        for session, times in zip(sessions, taken, strict=True):
            began = perf_counter()
            session.run(sample)
            times.append(perf_counter() - began)
    return Latency(median(taken[0]), median(taken[1]), len(taken[0]))


def blank_sample(graph: ir.Graph) -> dict[str, Array]:
    """One sample of zeros. Raises DataError where the network leaves open how large a sample is."""
    found = {}
    for value in (v for v in graph.inputs if not v.is_initializer()):
        dims = None if value.shape is None else list(value.shape)[1:]
        if dims is None or value.dtype is None or not all(isinstance(d, int) for d in dims):
            raise DataError(f"Input '{value.name}' has no fixed shape, so there is nothing to measure latency with; give data.")
        found[value.name or ""] = np.zeros([1, *(d for d in dims if isinstance(d, int))], value.dtype.numpy())
    return found
