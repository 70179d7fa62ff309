"""How the kernels for x86 store weights and roundings, sixteen channels at a time, and what rows of windows see."""

from dataclasses import dataclass
from math import prod

import numpy as np

from bitsmith.integer.requantization import FixedPoint
from bitsmith.numerics.formats import Array
from bitsmith.targets.c.call import Fields, Table
from bitsmith.targets.c.geometry import Geometry
from bitsmith.targets.c.rounding import code_fields

LANES, QUAD = 16, 4
IN_LANES = np.asarray([0, 1, 2, 3, 8, 9, 10, 11, 4, 5, 6, 7, 12, 13, 14, 15])       # the channel of each lane, see kernels/lanes.c
IN_QUADS = np.asarray([0, 1, 8, 9, 2, 3, 10, 11, 4, 5, 12, 13, 6, 7, 14, 15])       # and of each four weights, see kernels/quads.c
LEAST_SHIFT, MOST_SHIFT = 33, 62
MOST_TOGETHER = 128         # pixels of a plane that are taken as one row
# Winograd's transform of three weights to four, twice the usual one so that it is whole (Lavin and Gray 2015, section 4.1)
TURN = np.asarray([[2, 0, 0], [1, 1, 1], [1, -1, 1], [0, 0, 2]])


@dataclass(frozen=True)
class Lines:
    """Rows of codes under the windows of one row of outputs. rows, columns: how many; stride: rows from one row of outputs to the next"""

    geometry: Geometry
    rows: int
    columns: int
    stride: int

    @classmethod
    def of(cls, geometry: Geometry) -> "Lines":
        """Those of the windows as they are."""
        window = geometry.window
        return cls(geometry, window.kernel[0], (geometry.outputs[1] - 1) * window.strides[1] + window.extents[1], window.strides[0])

    @property
    def length(self) -> int:
        """Codes in each; a register may be read at any of them that counts."""
        return self.columns * self.geometry.channels + LANES

    @property
    def spread(self) -> int:
        """Codes in all, in whole registers."""
        return -(-self.rows * self.length // LANES) * LANES

    def fields(self, zero: int) -> Fields:
        """The struct `lines`. zero: the code of 0"""
        g = self.geometry
        steps = dict(zip(("row_step", "column_step", "channel_step"), g.steps, strict=True))
        pads = {"pad_top": g.window.pads[0][0], "pad_left": g.window.pads[1][0]}
        return Fields({"height": g.sizes[0], "width": g.sizes[1], "channels": g.channels, **steps, "rows": self.rows,
                       "columns": self.columns, "stride": self.stride, "dilation": g.window.dilations[0], **pads, "zero": zero,
                       "length": self.length})


def word_places(lines: Lines, words: int) -> Table:
    """Where the fours of codes of a window lie from its beginning, so many in each row of it."""
    return Table((np.arange(lines.rows)[:, None] * lines.length + np.arange(words) * QUAD).reshape(-1), "int32_t")


def pair_places(lines: Lines) -> Table:
    """Where each place of a window lies from its beginning; the first one again where there are not two for the last pair."""
    (height, width), across = lines.geometry.window.kernel, lines.geometry.window.dilations[1]
    at = [i * lines.length + j * across * lines.geometry.channels for i in range(height) for j in range(width)]
    return Table(np.asarray(at + [0] * (len(at) % 2)), "int32_t")


def flattened(geometry: Geometry) -> Geometry:
    """Windows of one pixel on a plane that lies in one piece: rows of as many pixels as go together."""
    window, channels = geometry.window, geometry.channels
    whole = geometry.steps == (geometry.sizes[1] * channels, channels, 1)
    if max(*window.kernel, *window.strides) > 1 or any(map(any, window.pads)) or not whole:
        return geometry
    pixels = prod(geometry.sizes)
    columns = max((n for n in range(1, min(pixels, MOST_TOGETHER) + 1) if pixels % n == 0), default=1)
    plane = (pixels // columns, columns)
    return Geometry(plane, (columns * channels, channels, 1), channels, plane, window, geometry.spread)


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


def turned_weights(steps: Array) -> Table:
    """Weights [out, in, 3, 3] -> [out / 16][16 places][in / 2][16][2]."""
    turned = np.einsum("ai,ocij,bj->oabc", TURN, steps, TURN).reshape(len(steps), LANES, -1, 2)
    return Table(in_lanes(turned).transpose(0, 2, 3, 1, 4).reshape(-1), "int16_t")


def pair_weights(taps: Array) -> Table:
    """Weights [channels, places] -> [channels / 16][places / 2][16][2]."""
    even = np.pad(taps, ((0, 0), (0, taps.shape[1] % 2)))
    return Table(in_lanes(even.reshape(len(taps), -1, 2)).transpose(0, 2, 1, 3).reshape(-1), "int16_t")


def lane_rounding(requantize: FixedPoint, channels: int) -> Fields | None:
    """The struct `lanes_rounding`; None where a multiplier is a quarter or more. One multiplier for all channels, or several in turn."""
    multiplier, shift = (np.resize(part, channels).astype(np.int64) for part in (requantize.multiplier, requantize.shift))
    shift = np.where(multiplier == 0, MOST_SHIFT, shift)
    if shift.min(initial=MOST_SHIFT) < LEAST_SHIFT:
        return None
    half = np.left_shift(np.int64(1), shift - LEAST_SHIFT)
    return Fields({"multiplier": lane_table(multiplier), "half": lane_table(half), "shift": lane_table(shift - 32),
                   **code_fields(requantize.codes)})
