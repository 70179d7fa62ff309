"""What noise rounding makes at a product's output, as far as ranges and variances can tell."""

from dataclasses import dataclass

import numpy as np

from bitsmith.improving.channel_moments import Moments
from bitsmith.numerics import Encoding
from bitsmith.numerics.formats import Array
from bitsmith.planning.plan import Plan
from bitsmith.rewrites.products import Product, spread

# How much rounded inputs count: their errors differ from place to place and average out behind, by how much is the network's own affair;
# those of weights do not. Of 0, 0.1, 0.3, 1 and 3 the one that leaves least noise on calibration samples held out (docs/accuracy.md).
INDEPENDENT = 0.3
LEAST = 1e-3        # share of its mean square that a channel counts at least with: means are never corrected to the last


def steps_of(encoding: Encoding | None) -> float:
    """From the lowest code to the highest; 0 without codes."""
    return 0.0 if encoding is None else float(encoding.format.highest - encoding.format.lowest)


@dataclass
class Layer:
    """A product whose input and output channels are scaled.

    largest, squares   of each channel's weights for each input, over the taps: [groups, outputs, inputs]
    taps        how many
    low, high, energy   of the inputs, [inputs]
    signal      the outputs' variance, all together
    weight_codes, input_codes   how many steps span a range; 0 where it is not rounded
    whole       one scale serves all weights
    into, out   what inputs and outputs are divided by, [inputs], [outputs]
    """

    largest: Array
    squares: Array
    taps: int
    low: Array
    high: Array
    energy: Array
    signal: float
    weight_codes: float
    input_codes: float
    whole: bool
    into: Array
    out: Array

    @classmethod
    def of(cls, product: Product, source: Moments, result: Moments, plan: Plan) -> "Layer":
        weights = np.abs(spread(product.node, np.ascontiguousarray(product.weight, np.float64)))
        read, weight = (None if v is None else plan.encodings.get(v.name or "") for v in product.node.inputs[:2])
        energy = source.variance + LEAST * source.squares / source.count
        return cls(
            weights.max(3), (weights**2).sum(3), weights.shape[3], np.minimum(source.low, 0), np.maximum(source.high, 0), energy,
            max(float(result.variance.sum()), 1e-30), steps_of(weight), steps_of(read), weight is not None and not weight.blocks.sizes,
            np.ones(product.input_channels), np.ones(product.channels),
        )

    def noise(self, into: Array | None = None, out: Array | None = None) -> float:
        """Noise over signal, were inputs and outputs divided once more. With a uniform error: step^2 / 12 for each weight and input."""
        read = self.into if into is None else self.into * into
        made = self.out if out is None else self.out * out
        return (self.of_weights(read, made) + INDEPENDENT * self.of_inputs(read)) / self.signal

    def of_weights(self, into: Array, out: Array) -> float:
        if not self.weight_codes:
            return 0.0
        groups, outputs, inputs = self.largest.shape
        made = out.reshape(groups, outputs)
        ranges = (self.largest * into.reshape(groups, 1, inputs)).max(2) / made
        steps = 2 * (np.full_like(ranges, ranges.max()) if self.whole else ranges) / self.weight_codes
        energy = self.taps * (self.energy / into**2).reshape(groups, inputs).sum(1)
        return float((steps**2 / 12 * made**2 * energy[:, None]).sum())

    def of_inputs(self, into: Array) -> float:
        if not self.input_codes:
            return 0.0
        groups, _, inputs = self.largest.shape
        step = ((self.high / into).max() - (self.low / into).min()) / self.input_codes
        return float(step**2 / 12 * (self.squares.sum(1) * into.reshape(groups, inputs) ** 2).sum())

    def row_ranges(self) -> Array:
        """The largest weight of each output as things stand, [outputs]."""
        groups, outputs, inputs = self.largest.shape
        return np.asarray(((self.largest * self.into.reshape(groups, 1, inputs)).max(2) / self.out.reshape(groups, outputs)).ravel())

    def column_ranges(self) -> Array:
        """The largest weight that reads each input as things stand, [inputs]."""
        groups, outputs, inputs = self.largest.shape
        return np.asarray(((self.largest / self.out.reshape(groups, outputs, 1)).max(1) * self.into.reshape(groups, inputs)).ravel())
