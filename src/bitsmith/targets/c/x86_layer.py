"""A convolution that the kernels for x86 may take, and what they all need of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from math import prod

import numpy as np

from bitsmith.integer.bounds import Bounds, weighted
from bitsmith.integer.instructions import Convolve, MatrixMultiply
from bitsmith.integer.requantization import Requantize
from bitsmith.integer.windows import Window
from bitsmith.numerics.formats import Array
from bitsmith.targets.c.call import Call, Entries, Fields
from bitsmith.targets.c.geometry import Geometry
from bitsmith.targets.c.x86_layout import LANES
from bitsmith.targets.c.x86_rounding import Scaling, scaling_of

CACHE_LINE = 64


@dataclass(frozen=True, eq=False)
class Layer:
    """steps  weights from their zero point, [out, in, height, width]
    bias   with the zero point folded in
    macs   multiplications with additions
    """

    step: Convolve | MatrixMultiply
    requantize: Requantize
    geometry: Geometry
    steps: Array
    bias: Array
    says: str
    macs: int

    @property
    def outputs(self) -> int:
        return len(self.steps)

    @cached_property
    def sums(self) -> Bounds:
        """Of codes, not counted from their zero point, bias included."""
        return weighted(self.steps.reshape(self.outputs, -1), self.bias, self.step.source.low, self.step.source.high)

    @property
    def scaling(self) -> Scaling | None:
        return scaling_of(self.requantize, self.sums, self.outputs)

    def call(self, kernel: str, entries: Entries, scratch: int, parts: Mapping[str, str]) -> Call:
        """scratch: bytes, to which some are added, as they are to begin with a line of the cache"""
        return Call(kernel, {}, Fields(entries), self.step.inputs, self.step.output, self.says, parts, scratch=scratch + CACHE_LINE,
                    macs=self.macs)


def macs_of(steps: Array, geometry: Geometry) -> int:
    return steps.size * prod(geometry.outputs)


def side_by_side(layer: Layer) -> Layer:
    """Eight channels or fewer, as sixteen of several pixels: their windows are one wider one, with zeros where a pixel does not look."""
    geometry, outputs = layer.geometry, layer.outputs
    window, wide = geometry.window, geometry.outputs[1]
    pixels = max((n for n in (2, 4, 8, 16) if outputs * n <= LANES and wide % n == 0), default=1)
    if pixels == 1:
        return layer
    stride, (tall, broad) = window.strides[1], window.kernel
    steps = np.zeros((pixels, *layer.steps.shape[:3], broad + (pixels - 1) * stride), layer.steps.dtype)
    for pixel in range(pixels):
        steps[pixel, ..., pixel * stride:pixel * stride + broad] = layer.steps
    steps = steps.reshape(pixels * outputs, *steps.shape[2:])
    wider = Window.of((tall, steps.shape[3]), strides=(window.strides[0], pixels * stride), dilations=(window.dilations[0], 1),
                      pads=window.pads)
    plane = Geometry(geometry.sizes, geometry.steps, geometry.channels, (geometry.outputs[0], wide // pixels), wider, geometry.spread)
    return Layer(layer.step, layer.requantize, plane, steps, np.tile(layer.bias, pixels), layer.says, layer.macs)


def parts_of(scaling: Scaling, *parts: str) -> dict[str, str]:
    return {**{part: part for part in parts}, "scaling": scaling.part}
