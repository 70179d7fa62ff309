"""Calibration: one pass over data that counts the values of a network. Memory does not grow with the number of samples."""

import math
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Sized
from concurrent.futures import Future, ThreadPoolExecutor
from functools import reduce
from queue import SimpleQueue
from typing import TYPE_CHECKING

from bitsmith.calibration.channels import Channels, Shared
from bitsmith.calibration.collection import Collection
from bitsmith.calibration.statistics import Statistics
from bitsmith.errors import DataError, StatisticsError
from bitsmith.numerics.formats import Array

if TYPE_CHECKING:
    import onnx_ir as ir

    from bitsmith.running.session import Session

Batch = Mapping[str, Array]
Progress = Callable[[int, int | None], None]
MOST_WORKERS = 8
NUMBERS_AT_ONCE = 2**21     # watched by a worker in one run: 8 MB
MOST_SAMPLES = 64


def calibrate(
    network: "ir.Model", data: Iterable[Batch], *, values: Sequence[str] | None = None, batch_size: int | None = None,
    progress: Progress | None = None, channels: Mapping[str, tuple[int, int]] | None = None,
) -> Collection:
    """Count the values that a network computes from data.

    network     in normal form; left as it is
    data        batches {input: array [samples, ...]}, read once, in pieces
    values      names of values to count; None: every float32 value that changes with the input
    batch_size  samples to run at once; None: so many that their values stay in the processor's cache
    progress    called with the number of batches done, and of all batches where `data` has a length
    channels    name of a value -> (axis of its channels, how many): count these one by one, too

    As many threads as there are processors each run a piece and count it; the result is the same for any number of them.
    NaN and infinities are tallied, not counted. Raises DataError where data do not fit or there are none, LoadError where the network
    cannot be run, StatisticsError where a value never was a finite number.
    """
    from bitsmith.running.session import Session

    names = list(dict.fromkeys(float_values(network.graph) if values is None else values))
    workers = min(MOST_WORKERS, processor_count())
    session = Session(network, names, threads=max(1, processor_count() // workers))
    size = batch_size or samples_at_once(network.graph, names)
    parts = [{name: Statistics() for name in names} for _ in range(workers)]
    shared = {name: Shared(Channels.empty(*along)) for name, along in (channels or {}).items() if name in names}
    count_all(session, pieces(data, size, progress), parts, shared)
    collection = Collection({name: reduce(Statistics.merge, (part[name] for part in parts)) for name in names},
                            channels={name: found.channels for name, found in shared.items()})
    check_counted(collection)
    return collection


def float_values(graph: "ir.Graph") -> list[str]:
    from bitsmith.graph import activations, is_float

    return [value.name for value in activations(graph) if value.name and is_float(value)]


def processor_count() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def samples_at_once(graph: "ir.Graph", names: Sequence[str]) -> int:
    """Enough samples to make a run worth its overhead, few enough that what is watched is counted before it leaves the cache."""
    shapes = {value.name: value.shape for node in graph for value in node.outputs}
    known = (shape for name in names if (shape := shapes.get(name)) is not None)
    numbers = sum(math.prod(dim for dim in list(shape)[1:] if isinstance(dim, int)) for shape in known)
    return max(1, min(MOST_SAMPLES, NUMBERS_AT_ONCE // max(1, numbers)))


def pieces(data: Iterable[Batch], size: int, progress: Progress | None) -> Iterator[Batch]:
    """Batches in pieces of at most so many samples, those of one batch about equal. Raises DataError where there is none."""
    from bitsmith.running.feeds import sample_count, split

    total = len(data) if isinstance(data, Sized) else None
    done = 0
    for done, batch in enumerate(data, 1):
        samples = sample_count(batch) or 1
        yield from split(batch, math.ceil(samples / math.ceil(samples / size)))
        if progress is not None:
            progress(done, total)
    if not done:
        raise DataError("The data are empty; calibration needs at least one sample.")


def placed(batches: Iterable[Batch]) -> Iterator[tuple[range, Batch]]:
    """Each with the positions of its samples in the data."""
    from bitsmith.running.feeds import sample_count

    position = 0
    for batch in batches:
        places = range(position, position + (sample_count(batch) or 1))
        yield places, batch
        position = places.stop


def count_all(
    session: "Session", batches: Iterable[Batch], parts: Sequence[Mapping[str, Statistics]], shared: Mapping[str, Shared]
) -> None:
    """Run and count every batch on as many threads as there are parts; each part is with one thread at a time. Few batches wait at once."""
    free: SimpleQueue[Mapping[str, Statistics]] = SimpleQueue()
    for part in parts:
        free.put(part)

    def count_one(places: range, batch: Batch) -> None:
        part = free.get()
        try:
            for name, array in session.run(batch).items():
                part[name].observe(array, places)
                if name in shared:
                    shared[name].observe(array, name)
        finally:
            free.put(part)

    waiting: deque[Future[None]] = deque()
    with ThreadPoolExecutor(len(parts), "calibrate") as pool:
        try:
            for places, batch in placed(batches):
                waiting.append(pool.submit(count_one, places, batch))
                if len(waiting) > 2 * len(parts):
                    waiting.popleft().result()
            for future in waiting:
                future.result()
        finally:
            pool.shutdown(cancel_futures=True)


def check_counted(collection: Collection) -> None:
    for name, statistics in collection.items():
        if not statistics.samples:
            raise StatisticsError(
                f"Value '{name}' never was a finite number ({statistics.nans} NaN, {sum(statistics.infinities)} infinite); "
                "look for NaN and infinity in the data and for a division by zero in the network."
            )
