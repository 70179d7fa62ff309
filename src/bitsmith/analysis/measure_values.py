"""Runs the float network and the quantized one side by side and sums up, value by value, how far they are apart."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
import onnx_ir as ir

from bitsmith.analysis.engines import Subject
from bitsmith.analysis.evaluate import decibels
from bitsmith.calibration.collect import float_values, samples_at_once
from bitsmith.calibration.statistics import Statistics
from bitsmith.numerics import Encoding
from bitsmith.numerics.formats import Array
from bitsmith.running.feeds import split
from bitsmith.running.session import Session
from bitsmith.targets.onnx.extract import extract_quantization

MOST_SAMPLES = 256
MOST_NUMBERS = 2**27        # compared in all: a second or two
ENGINE = "simulated"


@dataclass
class Measured:
    """One value over all samples.

    reals           the float network's numbers
    codes           int64 [codes of the format]: how often the quantized network gave each; None for a value without codes
    signal, noise   sums of squares: of the float numbers, and of the differences
    errors          the differences, quantized minus float
    """

    encoding: Encoding | None = None
    reals: Statistics = field(default_factory=Statistics)
    codes: Array | None = None
    signal: float = 0.0
    noise: float = 0.0
    errors: Statistics = field(default_factory=Statistics)

    @property
    def snr_db(self) -> float:
        return decibels(self.signal, self.noise)

    @property
    def largest(self) -> float:
        return max(-self.errors.minimum, self.errors.maximum)

    def compare(self, real: Array, found: Array) -> None:
        """One batch: float numbers, and the quantized network's codes, or its numbers where the value has none."""
        if self.encoding is not None:
            self.count_codes(found)
            found = self.encoding.dequantize(found)
        self.reals.observe(real)
        if real.size:
            difference = np.ravel(found).astype(np.float64) - np.ravel(real)
            self.noise += float(np.square(difference).sum())
            self.signal += float(np.square(real, dtype=np.float64).sum())
            self.errors.observe(difference.astype(np.float32).reshape(real.shape))

    def count_codes(self, codes: Array) -> None:
        assert self.encoding is not None
        lowest, highest = self.encoding.format.lowest, self.encoding.format.highest
        counted = np.bincount(np.ravel(codes).astype(np.int64) - lowest, minlength=highest - lowest + 1)
        self.codes = counted if self.codes is None else self.codes + counted


def measure_values(network: ir.Model, quantized: Subject, batches: Iterable[Mapping[str, Array]]) -> tuple[dict[str, Measured], int]:
    """(value -> what was measured, samples) of every float value that both networks have, in memory that does not grow with samples.

    The quantized network runs with onnxruntime's optimiser off (engine 'simulated'), since only then every value exists.
    At most MOST_SAMPLES samples are run, and fewer of large networks.
    """
    carried, total = extract_quantization(quantized.normal), 0
    watched = names_in_both(network, quantized.normal, carried.code_names)
    names = list(watched)
    found = {name: Measured(carried.plan.encodings[name] if name in carried.code_names else None) for name in names}
    before = Session(network, names)
    after = quantized.session("simulated", list(watched.values()))
    size = samples_at_once(network.graph, names)
    for piece in (piece for batch in batches for piece in split(batch, size)):
        reals, there = before.run(piece), after.run(piece)
        for name, real in reals.items():
            if real.shape == there[watched[name]].shape:
                found[name].compare(real, there[watched[name]])
        total += len(next(iter(piece.values())))
        if total >= MOST_SAMPLES or total / size * sum(v.size for v in reals.values()) >= MOST_NUMBERS:
            break
    return {name: value for name, value in found.items() if value.reals.samples}, total


def names_in_both(network: ir.Model, quantized: ir.Model, codes: Mapping[str, str]) -> dict[str, str]:
    """Value of the float network -> name, in the quantized one, of its codes, or of itself where it has none."""
    there = {v.name for node in quantized.graph for v in node.outputs} | {v.name for v in quantized.graph.inputs}
    return {name: codes.get(name, name) for name in float_values(network.graph) if codes.get(name, name) in there}
