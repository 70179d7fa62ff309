"""Runs a network in onnxruntime and hands out the values that one wants to watch, batch after batch."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Union

import numpy as np

from bitsmith.errors import DataError, LoadError
from bitsmith.numerics.formats import Array

if TYPE_CHECKING:
    import onnx_ir as ir
    from onnxruntime import InferenceSession, SessionOptions

    from bitsmith.running.feeds import Batch
    from bitsmith.running.serialized import Serialized

Network = Union["ir.Model", str, "PathLike[str]"]
MOST_COPIED = 2**30 # bytes of weights that onnxruntime may copy into the order that its kernels like best
FATAL_ONLY = 4      # errors come as exceptions, warnings concern nobody


class Session:
    """A network, ready to run; several threads may run it at once.

    network    in memory (left as it is), or the path of an .onnx file, which is run just as it is written
    watch      names of values to hand out, computed ones or inputs; None: the network's outputs
    optimise   let onnxruntime fuse and reorder; False: every node computes what ONNX says, one by one
    threads    that one run uses; None: as many as onnxruntime likes

    Raises LoadError where the network cannot be run or has no such value. Importing this does not import onnxruntime; making one does.
    """

    def __init__(self, network: Network, watch: Sequence[str] | None = None, *, optimise: bool = True, threads: int | None = None) -> None:
        from bitsmith.running.feeds import fixed_samples, read_feeds
        from bitsmith.running.serialized import serialize
        from bitsmith.running.unshare import unshare_weights

        serialized = serialize(Path(network) if isinstance(network, str | PathLike) else network)
        unshare_weights(serialized)
        graph = serialized.message.graph
        self.watched = tuple(value.name for value in graph.output) if watch is None else tuple(dict.fromkeys(watch))
        self.feeds = read_feeds(graph)
        self._fixed = fixed_samples(self.feeds)
        self._computed = serialized.hand_out(self.watched)
        self._weights = serialized.weights      # onnxruntime reads them where they are
        self._session = open_session(serialized, optimise, threads)

    def run(self, batch: "Batch") -> dict[str, Array]:
        """The watched values for one batch {input: array [samples, ...]}, each of its own type.

        Arrays are cast where no number changes but by the rounding of floats. A network made for a fixed number of samples is fed
        piece by piece, the last piece filled up and cut again.

        Raises DataError where the data do not fit, LoadError where onnxruntime cannot compute the network.
        """
        from bitsmith.running.feeds import fit_batch

        fitted = fit_batch(self.feeds, batch)
        return self._run_fitted(fitted) if self._fixed is None else self._run_in_pieces(fitted, self._fixed)

    def _run_fitted(self, batch: "Batch") -> dict[str, Array]:
        with told_plainly("onnxruntime cannot compute the network"):
            computed = dict(zip(self._computed, self._session.run(self._computed, batch), strict=True)) if self._computed else {}
        return {name: computed[name] if name in computed else batch[name] for name in self.watched}

    def _run_in_pieces(self, batch: "Batch", size: int) -> dict[str, Array]:
        from bitsmith.running.feeds import quoted, sample_count, split

        samples = sample_count(batch)
        if samples is None:
            raise DataError(f"The inputs {quoted(batch)} have different numbers of samples; they need the same.")
        if samples == size:
            return self._run_fitted(batch)
        pieces = [cut(self._run_fitted(fill(piece, size)), sample_count(piece) or size, size) for piece in split(batch, size)]
        return {name: np.concatenate([piece[name] for piece in pieces]) for name in self.watched}


def fill(piece: "Batch", size: int) -> "Batch":
    """Repeats the last sample up to the size that the network is made for."""
    return {name: np.concatenate([array, np.repeat(array[-1:], size - len(array), 0)]) if len(array) < size else array
            for name, array in piece.items()}


def cut(values: dict[str, Array], samples: int, size: int) -> dict[str, Array]:
    """The part of each value that belongs to the first so many of `size` samples: the same part of its first axis."""
    return {name: cut_value(name, np.atleast_1d(array), samples, size) for name, array in values.items()}


def cut_value(name: str, array: Array, samples: int, size: int) -> Array:
    if samples == size:
        return array
    if len(array) % size:
        shape = list(array.shape)
        raise DataError(f"Value '{name}' of shape {shape} cannot be divided among {size} samples; give data in multiples of {size}.")
    return array[:len(array) // size * samples]


def open_session(serialized: "Serialized", optimise: bool, threads: int | None) -> "InferenceSession":
    from onnxruntime import InferenceSession

    options = session_options(serialized, optimise, threads)
    with told_plainly("onnxruntime cannot run the network"):
        return InferenceSession(serialized.content(), options, providers=["CPUExecutionProvider"])


def session_options(serialized: "Serialized", optimise: bool, threads: int | None) -> "SessionOptions":
    from onnxruntime import GraphOptimizationLevel, OrtValue, SessionOptions

    options = SessionOptions()
    options.log_severity_level = FATAL_ONLY
    options.enable_mem_pattern = False      # it plans memory for shapes that come again; filling that anew costs a short pass 10 %
    options.add_session_config_entry("session.x64quantprecision", "1")      # without VNNI u8 x s8 saturates in pairs; u8 x u8 does not
    options.graph_optimization_level = GraphOptimizationLevel.ORT_ENABLE_ALL if optimise else GraphOptimizationLevel.ORT_DISABLE_ALL
    if serialized.folder is not None:
        options.add_session_config_entry("session.model_external_initializers_file_folder_path", str(serialized.folder.absolute()))
    if serialized.weight_bytes > MOST_COPIED:
        options.add_session_config_entry("session.disable_prepacking", "1")
    if threads is not None:
        options.intra_op_num_threads = threads
    values: list[Any] = [OrtValue.ortvalue_from_numpy_with_onnx_type(array, kind) for array, kind in serialized.weights.values()]
    options.add_external_initializers(list(serialized.weights), values)
    return options


@contextmanager
def told_plainly(what: str) -> Iterator[None]:
    """Turns onnxruntime's own exceptions into LoadError with its reason in one line."""
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    kinds = (state.EPFail, state.EngineError, state.Fail, state.InvalidArgument, state.InvalidGraph, state.InvalidProtobuf,
             state.ModelLoadCanceled, state.NoModel, state.NoSuchFile, state.NotImplemented, state.RuntimeException)
    try:
        yield
    except (*kinds, ValueError, RuntimeError) as problem:
        reason = str(problem).strip().splitlines() or [type(problem).__name__]
        raise LoadError(f"{what}: {reason[0].rpartition('[ONNXRuntimeError] : ')[2]}") from problem
