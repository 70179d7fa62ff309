"""Latency of ONNX files in onnxruntime, one thread, one sample, all files in turn within one process so that they meet the same machine."""

import gc
import statistics
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import onnxruntime

SECONDS_A_ROUND = 0.004
WARM_UP = 10


class Latency(NamedTuple):
    """Microseconds for one sample: the quickest round, and the middle one."""

    least: float
    median: float


def open_session(model: str | bytes, optimized: str | None = None) -> onnxruntime.InferenceSession:
    """A session as users have it: default optimisation, but one thread. `optimized`: where to write the graph that will run."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    if optimized:
        options.optimized_model_filepath = optimized
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def compare(sessions: Mapping[str, onnxruntime.InferenceSession], sample: Mapping[str, np.ndarray[Any, Any]],
            rounds: int = 50) -> dict[str, Latency]:
    """Run the sessions in turn, `rounds` times there and back; noise of the machine falls on all of them."""
    repeats = {name: repeats_of(session, sample) for name, session in sessions.items()}
    times: dict[str, list[float]] = {name: [] for name in sessions}
    order = list(sessions)
    gc.disable()
    for number in range(rounds):
        for name in order if number % 2 else reversed(order):
            times[name].append(run(sessions[name], sample, repeats[name]))
    gc.enable()
    return {name: Latency(min(found), statistics.median(found)) for name, found in times.items()}


def repeats_of(session: onnxruntime.InferenceSession, sample: Mapping[str, np.ndarray[Any, Any]]) -> int:
    """How many runs make a round."""
    run(session, sample, WARM_UP)
    return max(3, int(SECONDS_A_ROUND * 1e6 / run(session, sample, 3)))


def run(session: onnxruntime.InferenceSession, sample: Mapping[str, np.ndarray[Any, Any]], repeats: int) -> float:
    """Microseconds for one run, of several."""
    begin = time.perf_counter()
    for _ in range(repeats):
        session.run(None, sample)
    return (time.perf_counter() - begin) / repeats * 1e6
