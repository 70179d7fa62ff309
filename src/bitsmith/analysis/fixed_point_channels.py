"""Which fixed-point type suits each channel of a tensor, and what that gains over one type for all of them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import sqrt
from typing import Any

import onnx_ir as ir

from bitsmith.analysis.fingerprint import fingerprint
from bitsmith.analysis.fit import Counted, Fit, Held, Numbers
from bitsmith.analysis.fixed_point import Kind, fit_word, type_for
from bitsmith.analysis.tensors import parameters
from bitsmith.calibration.collection import Collection
from bitsmith.numerics.fixed_point_type import FixedPointType, Scaling, check_scaling, with_largest_fraction, with_least_error
from bitsmith.operators import operator_of


@dataclass(frozen=True)
class ChannelTypes:
    """The channels of one tensor along an axis, those without a number left out. All have the sign and the word length of the whole.

    whole     one type for all of them, and how well it holds them
    fits      for each channel its own type
    numbers   how many each has
    ranges    the smallest and the largest number of each
    """

    name: str
    kind: Kind
    axis: int
    whole: Fit
    fits: tuple[Fit, ...]
    numbers: tuple[int, ...]
    ranges: tuple[tuple[float, float], ...]

    @property
    def fraction_lengths(self) -> tuple[int, int]:
        """The shortest and the longest."""
        found = [fit.type.fraction_length for fit in self.fits if isinstance(fit.type, FixedPointType)]
        return min(found), max(found)

    @property
    def rms_error(self) -> float:
        """Over all numbers, each in its channel's type."""
        return sqrt(sum(fit.rms_error**2 * n for fit, n in zip(self.fits, self.numbers, strict=True)) / sum(self.numbers))

    @property
    def snr_db(self) -> float:
        """Signal to noise over all numbers, in dB."""
        return replace(self.whole, rms_error=self.rms_error).snr_db

    def to_dict(self) -> dict[str, Any]:
        """As plain data for JSON."""
        rows = [{"minimum": low, "maximum": high, **fit.to_dict()} for fit, (low, high) in zip(self.fits, self.ranges, strict=True)]
        told = {"name": self.name, "kind": self.kind, "axis": self.axis, "rms_error": self.rms_error, "snr_db": self.snr_db}
        return {**told, "fraction_lengths": list(self.fraction_lengths), "whole": self.whole.to_dict(), "channels": rows}


def analyze_channels(
    network: ir.Model, statistics: Collection | None = None, *, word_length: int = 8, scaling: Scaling = "largest"
) -> tuple[ChannelTypes, ...]:
    """For every parameter of two axes or more, and every activation that was counted channel by channel.

    Channels of a weight are those of its product's output; of other parameters, axis 0. The rest as `analyze_fixed_point`.
    """
    check_scaling(scaling)
    if statistics is not None:
        statistics.check_network(fingerprint(network))
    return tuple(fit_channels(*found, word_length, scaling) for found in tensors_with_channels(network, statistics or Collection({})))


def tensors_with_channels(network: ir.Model, statistics: Collection) -> Iterator[tuple[tuple[str, Kind, int], Numbers, list[Numbers]]]:
    """((name, kind, axis), all numbers, those of each channel)."""
    for name, array in parameters(network.graph):
        if array.ndim >= 2:
            axis = parameter_axis(network.graph.initializers[name])
            yield (name, "parameter", axis), Held(array), [Held(array.take(i, axis)) for i in range(array.shape[axis])]
    for name, found in statistics.channels.items():
        if statistics[name].count:
            yield (name, "activation", found.axis), Counted(statistics[name]), [Counted(part) for part in found if part.count]


def parameter_axis(value: ir.Value) -> int:
    """What the operator that reads it as a weight says."""
    for node, index in value.uses():
        operator = operator_of(node)
        for parameter in () if operator is None else operator.parameters(node):
            if parameter.index == index and parameter.channel_axis is not None:
                return parameter.channel_axis
    return 0


def fit_channels(
    told: tuple[str, Kind, int], whole: Numbers, channels: Sequence[Numbers], word_length: int, scaling: Scaling
) -> ChannelTypes:
    signed = type_for(whole, word_length).signed
    fits = tuple(fit_signed(part, FixedPointType(word_length, 0, signed), scaling) for part in channels)
    ranges = tuple((part.minimum, part.maximum) for part in channels)
    return ChannelTypes(*told, fit_word(whole, word_length, scaling), fits, tuple(part.count for part in channels), ranges)


def fit_signed(numbers: Numbers, type: FixedPointType, scaling: Scaling) -> Fit:
    """With the best fraction length."""
    type = with_largest_fraction(type, numbers.minimum, numbers.maximum)
    if scaling == "least_error":
        type = with_least_error(type, numbers.count, lambda choice: numbers.measure(choice).rms_error)
    return numbers.measure(type)
