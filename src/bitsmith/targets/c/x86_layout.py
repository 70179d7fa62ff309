"""How the kernels for x86 store weights and roundings, sixteen channels at a time, and what rows of windows see."""

from dataclasses import dataclass
from math import prod

import numpy as np

from bitsmith.integer.windows import Window
from bitsmith.numerics.formats import Array
from bitsmith.targets.c.call import Fields, Table
from bitsmith.targets.c.geometry import Geometry

LANES, QUAD = 16, 4
IN_LANES = np.asarray([0, 1, 2, 3, 8, 9, 10, 11, 4, 5, 6, 7, 12, 13, 14, 15])       # the channel of each lane, see kernels/lanes.c
IN_QUADS = np.asarray([0, 1, 8, 9, 2, 3, 10, 11, 4, 5, 12, 13, 6, 7, 14, 15])       # and of each four weights, see kernels/quads.c
MOST_TOGETHER = 128         # pixels of a plane that are taken as one row
MOST_CODES = 4096           # of several rows that are laid out at once


@dataclass(frozen=True)
class Lines:
    """Rows of codes under the windows of some rows of outputs.

    together       how many rows of outputs
    rows, columns  how many of codes
    stride         rows from one row of outputs to the next
    """

    geometry: Geometry
    together: int
    rows: int
    columns: int
    stride: int

    @classmethod
    def of(cls, geometry: Geometry, together: int = 1) -> "Lines":
        window = geometry.window
        columns = (geometry.outputs[1] - 1) * window.strides[1] + window.extents[1]
        return cls(geometry, together, (together - 1) * window.strides[0] + window.extents[0], columns, window.strides[0])

    @classmethod
    def together_of(cls, geometry: Geometry) -> "Lines":
        """Those of as many rows of outputs as stay in the nearest cache, all of them even."""
        one, high = cls.of(geometry), geometry.outputs[0]
        most = max(1, (MOST_CODES // one.length - one.rows) // one.stride + 1)
        return cls.of(geometry, -(-high // -(-high // most)))

    @property
    def length(self) -> int:
        """Codes in each, in whole registers; one may be read at any code that counts."""
        return -(-self.columns * self.geometry.channels // LANES) * LANES + LANES

    @property
    def spread(self) -> int:
        """Codes in all."""
        return self.rows * self.length

    def fields(self, zero: int) -> Fields:
        """The struct `lines`. zero: the code of 0"""
        g = self.geometry
        before, width = g.window.pads[1][0], g.sizes[1]
        left = min(max(0, before), self.columns)
        inside = max(0, min(width + before, self.columns) - left)
        steps = dict(zip(("row_step", "column_step", "channel_step"), g.steps, strict=True))
        parts = {"left": left * g.channels, "inside": inside * g.channels, "right": self.length - (left + inside) * g.channels}
        return Fields({"height": g.sizes[0], "channels": g.channels, **steps, "rows": self.rows, "stride": self.stride,
                       "above": g.window.pads[0][0], "start": (left - before) * g.steps[1], **parts, "zero": zero, "length": self.length})


def word_places(lines: Lines, words: int) -> Table:
    """Where the fours of codes of a window lie from its beginning, so many in each row of it."""
    window = lines.geometry.window
    down = np.arange(window.kernel[0]) * window.dilations[0] * lines.length
    return Table((down[:, None] + np.arange(words) * QUAD).reshape(-1), "int32_t")


def pair_places(geometry: Geometry) -> Table:
    """[places / 2][2][2]: line and place in it of each place of a window; the first one again where there are not two for the last pair."""
    (height, width), (down, across) = geometry.window.kernel, geometry.window.dilations
    at = [(i * down, j * across * geometry.channels) for i in range(height) for j in range(width)]
    return Table(np.asarray(at + [(0, 0)] * (len(at) % 2)).reshape(-1), "int32_t")


def flattened(geometry: Geometry) -> Geometry:
    """Windows of one pixel stand on a plane of those pixels alone; where it lies in one piece, rows are as many as go together."""
    window, channels = geometry.window, geometry.channels
    if max(window.kernel) > 1 or any(map(any, window.pads)):
        return geometry
    plane, (high, wide) = geometry.outputs, window.strides
    steps = (geometry.steps[0] * high, geometry.steps[1] * wide, geometry.steps[2])
    if steps == (plane[1] * channels, channels, 1):
        pixels = prod(plane)
        columns = max((n for n in range(1, min(pixels, MOST_TOGETHER) + 1) if pixels % n == 0), default=1)
        plane, steps = (pixels // columns, columns), (columns * channels, channels, 1)
    return Geometry(plane, steps, channels, plane, Window.of((1, 1)), geometry.spread)


def filled(channels: Array) -> Array:
    """[channels, ...] with zeros up to whole lanes."""
    return np.pad(channels, ((0, -len(channels) % LANES), *((0, 0),) * (channels.ndim - 1)))


def in_lanes(channels: Array) -> Array:
    """[channels, ...] -> [blocks, lanes, ...] in the order of the lanes."""
    whole = filled(channels)
    return np.asarray(whole.reshape(-1, LANES, *whole.shape[1:])[:, IN_LANES])


def lane_table(channels: Array) -> Table:
    return Table(in_lanes(channels).reshape(-1), "int32_t")


def quad_weights(steps: Array) -> tuple[Table, int]:
    """Weights [out, in, height, width] -> (bytes [out / 16][height][words][16][4], words of a row)."""
    outputs, channels, height, width = steps.shape
    rows = steps.transpose(0, 2, 3, 1).reshape(outputs, height, width * channels)
    words = -(-rows.shape[2] // QUAD)
    whole = filled(np.pad(rows, ((0, 0), (0, 0), (0, words * QUAD - rows.shape[2]))))
    blocks = whole.reshape(-1, LANES, height, words, QUAD)[:, IN_QUADS]
    return Table(blocks.transpose(0, 2, 3, 1, 4).reshape(-1), "int8_t"), words


def pair_weights(taps: Array) -> Table:
    """Weights [channels, places] -> [channels / 16][places / 2][16][2]."""
    even = np.pad(taps, ((0, 0), (0, taps.shape[1] % 2)))
    return Table(in_lanes(even.reshape(len(taps), -1, 2)).transpose(0, 2, 1, 3).reshape(-1), "int16_t")
