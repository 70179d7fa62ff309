"""Which fixed-point type suits each tensor of a network, and what it costs."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import onnx_ir as ir

from bitsmith.analysis.fingerprint import fingerprint
from bitsmith.analysis.fit import Counted, Fit, Held, Numbers
from bitsmith.analysis.tensors import counted_values, parameters
from bitsmith.calibration.collection import Collection
from bitsmith.errors import RecipeError
from bitsmith.numerics.fixed_point_type import (
    FINEST,
    LONGEST_WORD,
    FixedPointType,
    Scaling,
    check_scaling,
    lowest_fraction_length,
    with_largest_fraction,
    with_least_error,
)
from bitsmith.numerics.float_type import BFLOAT16, HALF

Kind = Literal["parameter", "activation"]
SHORTEST_WORD = 2
WORDS = (4, 8, 16)          # compared for every tensor
COARSER, FINER = 2, 4       # fraction lengths shown on both sides of those that suit


@dataclass(frozen=True)
class Proposal:
    """A type for one tensor.

    numbers            how many there are, in all samples of an activation
    minimum, maximum   of them
    fit                the proposed type and how well it holds them: exactly for parameters, see fit.Counted for activations
    compared           'int4', 'int8', 'int16', 'half' and 'bfloat16' -> how well that holds them
    """

    name: str
    kind: Kind
    numbers: int
    minimum: float
    maximum: float
    fit: Fit
    compared: Mapping[str, Fit]

    @property
    def type(self) -> FixedPointType:
        assert isinstance(self.fit.type, FixedPointType)
        return self.fit.type

    def to_dict(self) -> dict[str, Any]:
        """As plain data for JSON."""
        return {
            "name": self.name, "kind": self.kind, "numbers": self.numbers, "minimum": self.minimum, "maximum": self.maximum,
            "signed": self.type.signed, "word_length": self.type.word_length, "fraction_length": self.type.fraction_length,
            **self.fit.to_dict(), "compared": {name: fit.to_dict() for name, fit in self.compared.items()},
        }


@dataclass(frozen=True)
class FixedPointAnalysis:
    """A type for every tensor.

    tolerance   the relative rms error that was allowed; None where the word length was given
    """

    proposals: tuple[Proposal, ...]
    scaling: Scaling
    tolerance: float | None = None

    def __getitem__(self, name: str) -> Proposal:
        """The proposal for a tensor. Raises RecipeError where there is none of that name."""
        return {p.name: p for p in self.proposals}.get(name) or no_tensor(name)

    @property
    def intolerable(self) -> tuple[str, ...]:
        """Tensors of which no word is long enough for the tolerance."""
        return tuple(p.name for p in self.proposals if self.tolerance is not None and p.fit.relative_error > self.tolerance)

    def to_dict(self) -> dict[str, Any]:
        """As plain data for JSON."""
        told = {"scaling": self.scaling, "tolerance": self.tolerance, "intolerable": list(self.intolerable)}
        return {**told, "tensors": [p.to_dict() for p in self.proposals]}


@dataclass(frozen=True)
class FractionLengths:
    """What neighbouring fraction lengths do to one tensor.

    fits          from coarse to fine, each with a FixedPointType
    largest       the largest fraction length with which nothing saturates
    least_error   the one that loses the least mean square
    """

    name: str
    fits: tuple[Fit, ...]
    largest: int
    least_error: int

    def to_dict(self) -> dict[str, Any]:
        """As plain data for JSON."""
        rows = [{"fraction_length": fraction_of(fit), **fit.to_dict()} for fit in self.fits]
        return {"name": self.name, "largest": self.largest, "least_error": self.least_error, "fraction_lengths": rows}


def analyze_fixed_point(
    network: ir.Model,
    statistics: Collection | None = None,
    *,
    word_length: int = 8,
    tolerance: float | None = None,
    scaling: Scaling = "largest",
) -> FixedPointAnalysis:
    """A fixed-point type for every parameter and every activation: sign, word length and fraction length, and what it loses.

    network      in normal form
    statistics   of its activations, from `calibrate`; None: parameters only
    word_length  bits, the sign included
    tolerance    instead of a word length: the shortest word of 2 to 32 bits whose rms error is at most so much of the numbers' rms
    scaling      the fraction length: 'largest' that saturates nothing, or of 'least_error'

    Tensors without negative numbers get no sign. Raises StatisticsError for statistics of another network, RecipeError for words
    and tolerances that do not exist.
    """
    check_scaling(scaling)
    if tolerance is not None and not 0 < tolerance < 1:
        raise RecipeError(f"The tolerance is a part of the numbers' rms between 0 and 1, for instance 0.01, not {tolerance}.")
    proposals = []
    for name, kind, numbers in tensors(network, statistics):
        fit = fit_word(numbers, word_length, scaling) if tolerance is None else fit_tolerance(numbers, tolerance, scaling)
        proposals.append(Proposal(name, kind, numbers.count, numbers.minimum, numbers.maximum, fit, compare_types(numbers, scaling)))
    return FixedPointAnalysis(tuple(proposals), scaling, tolerance)


def compare_fraction_lengths(
    network: ir.Model, name: str, statistics: Collection | None = None, *, word_length: int = 8
) -> FractionLengths:
    """The trade-off between precision and range for one tensor: what neighbouring fraction lengths lose at either end.

    Raises RecipeError where the network has no such tensor, or no statistics of it are given.
    """
    numbers = {found: numbers for found, _, numbers in tensors(network, statistics)}.get(name) or no_tensor(name)
    largest, least = (fraction_of(fit_word(numbers, word_length, s)) for s in ("largest", "least_error"))
    type = type_for(numbers, word_length)
    coarsest, finest = max(lowest_fraction_length(word_length), min(largest, least) - COARSER), min(FINEST, max(largest, least) + FINER)
    return FractionLengths(name, tuple(numbers.measure(replace(type, fraction_length=f)) for f in range(coarsest, finest + 1)),
                           largest, least)


def no_tensor(name: str) -> Any:
    raise RecipeError(f"No parameter is called '{name}', nor an activation with statistics (--data); analyze the whole network to see all.")


def tensors(network: ir.Model, statistics: Collection | None) -> Iterator[tuple[str, Kind, Numbers]]:
    """All that have a finite number."""
    if statistics is not None:
        statistics.check_network(fingerprint(network))
    for name, array in parameters(network.graph):
        if np.isfinite(array).any():
            yield name, "parameter", Held(array)
    for name, counted in counted_values(network.graph, statistics or Collection({})):
        if counted.count:
            yield name, "activation", Counted(counted)


def type_for(numbers: Numbers, word_length: int) -> FixedPointType:
    """With a sign where one is needed; its fraction length is the largest that saturates nothing."""
    return with_largest_fraction(FixedPointType(word_length, 0, numbers.minimum < 0), numbers.minimum, numbers.maximum)


def fit_word(numbers: Numbers, word_length: int, scaling: Scaling) -> Fit:
    type = type_for(numbers, word_length)
    if scaling == "least_error":
        type = with_least_error(type, numbers.count, lambda choice: numbers.measure(choice).rms_error)
    return numbers.measure(type)


def fit_tolerance(numbers: Numbers, tolerance: float, scaling: Scaling) -> Fit:
    """The shortest word within the tolerance, else the longest there is. A longer word holds all that a shorter one holds: halve."""
    short, long = SHORTEST_WORD, LONGEST_WORD
    while short < long:
        middle = (short + long) // 2
        if fit_word(numbers, middle, scaling).relative_error <= tolerance:
            long = middle
        else:
            short = middle + 1
    return fit_word(numbers, short, scaling)


def compare_types(numbers: Numbers, scaling: Scaling) -> dict[str, Fit]:
    """The usual types side by side."""
    floats = {type.name: numbers.measure(type) for type in (HALF, BFLOAT16)}
    return {**{f"int{bits}": fit_word(numbers, bits, scaling) for bits in WORDS}, **floats}


def fraction_of(fit: Fit) -> int:
    assert isinstance(fit.type, FixedPointType)
    return fit.type.fraction_length
