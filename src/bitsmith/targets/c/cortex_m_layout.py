"""How the Cortex-M kernels want things to lie: strips of widened codes, weights of two output channels in one word."""

from dataclasses import dataclass

import numpy as np

from bitsmith.numerics.formats import Array
from bitsmith.targets.c.call import Fields, Table
from bitsmith.targets.c.geometry import Geometry, furthest
from bitsmith.targets.c.stored import Stored, channels_last

FOUR = 4
MOST = 4096             # bytes of a strip, where not even that is needed for two outputs
LOWEST, HIGHEST = -2**15, 2**15 - 1
TURNED = (0, 2, 1, 3)   # widening puts every other code of four in one word


@dataclass(frozen=True)
class Strip:
    """What the windows of some outputs of a row see, column after column: [columns][kernel height * channels], 16 bits each.

    column  codes of a column, filled up to whole words
    span    outputs that one strip serves
    """

    geometry: Geometry
    column: int
    span: int

    @classmethod
    def of(cls, geometry: Geometry, *, even: bool) -> "Strip":
        """As long as a row, or as `MOST` bytes are; of an even number of outputs then, where two are computed at a time."""
        window, width = geometry.window, geometry.outputs[1]
        column = geometry.channels * window.kernel[0]
        column += column % 2
        most = (MOST // (2 * column) - window.kernel[1]) // window.strides[1] + 1
        if even:
            most = max(2, most // 2 * 2)
        return cls(geometry, column, min(width, max(1, most)))

    @property
    def terms(self) -> int:
        """Of a window: whole quads."""
        return -(-self.geometry.window.kernel[1] * self.column // FOUR) * FOUR

    def fields(self, zero: int) -> Fields:
        """The struct `strip`."""
        names = ("in_height", "in_width", "row_step", "column_step", "channel_step", "kernel_height", "kernel_width", "stride_y",
                 "stride_x", "dilation_y", "pad_top", "pad_left")
        found = self.geometry.fields()
        return Fields({**{name: found[name] for name in names}, "in_channels": self.geometry.channels, "zero": zero, "span": self.span,
                       "column": self.column // 2})

    @property
    def bytes(self) -> int:
        """A last window may be read beyond its end, and its neighbour's is not asked for."""
        window = self.geometry.window
        columns = (self.span - 1) * window.strides[1] + window.kernel[1]
        return 2 * (columns * self.column + self.terms - window.kernel[1] * self.column)

    def leads(self, name: str, source: Stored, result: Stored) -> dict[str, int]:
        """As Geometry.leads: what a strip holds has been read when its outputs are written."""
        geometry = self.geometry
        if not source.same_memory(source.in_order(channels_last(len(source.shape)))):
            return {}
        left = np.arange(0, geometry.outputs[1], self.span)
        pixels = np.minimum(left + self.span, geometry.outputs[1])
        written = (np.arange(geometry.outputs[0])[:, None] * geometry.outputs[1] + pixels).reshape(-1)
        first = self._first_row()[:, None] * geometry.sizes[1] + self._first_column(left)
        size = result.bytes // max(1, geometry.outputs[0] * geometry.outputs[1])
        return {name: furthest(written[:-1] * size, first.reshape(-1)[1:] * geometry.channels * source.width)}

    def _first_row(self) -> Array:
        window = self.geometry.window
        return np.clip(np.arange(self.geometry.outputs[0]) * window.strides[0] - window.pads[0][0], 0, self.geometry.sizes[0])

    def _first_column(self, left: Array) -> Array:
        window = self.geometry.window
        return np.asarray(np.clip(left * window.strides[1] - window.pads[1][0], 0, self.geometry.sizes[1]))


def window_order(steps: Array, strip: Strip, *, turned: bool) -> Array:
    """Weights [out, in, height, width] in the order in which a window lies in the strip: [out, terms], zeros where it is filled up."""
    outputs, channels, height, width = steps.shape
    columns = steps.transpose(0, 3, 2, 1).reshape(outputs, width, height * channels)
    if turned:
        columns = columns.reshape(outputs, -1, FOUR)[..., TURNED].reshape(columns.shape)
    filled = np.zeros((outputs, strip.terms), np.int64)
    padded = np.pad(columns, ((0, 0), (0, 0), (0, strip.column - height * channels)))
    filled[:, :width * strip.column] = padded.reshape(outputs, -1)
    return filled


def pair_weights(ordered: Array) -> tuple[Table, Array] | None:
    """(words [out / 2][terms / 2] of two halves 256 * second channel + first, sign of every channel); None where that leaves 16 bits.

    ordered  [out, terms]

    -128 above a negative weight is below all halves, 128 above another one is not: second channels are negated where that is so.
    """
    even = np.pad(ordered, ((0, len(ordered) % 2), (0, 0))).astype(np.int64)
    if even.size and (even.min() < -128 or even.max() > 127):
        return None
    first, second = even[0::2], even[1::2]
    signs = np.where((256 * second + first < LOWEST).any(1, keepdims=True), -1, 1)
    halves = 256 * signs * second + first
    if halves.size and (halves.min() < LOWEST or halves.max() > HIGHEST):
        return None
    return Table(words(halves), "int32_t"), np.stack([np.ones_like(signs), signs], 1).reshape(-1)[:len(ordered)]


def wide_weights(ordered: Array) -> Table | None:
    """[out, terms] -> words [out / 2][terms / 4][2] of four bytes of one channel, then of the other; None where that leaves 8 bits."""
    even = np.pad(ordered, ((0, len(ordered) % 2), (0, 0)))
    if even.size and (even.min() < -128 or even.max() > 127):
        return None
    quads = even.reshape(len(even) // 2, 2, -1, FOUR).transpose(0, 2, 1, 3)[..., TURNED]
    return Table(quads.reshape(-1).astype(np.int8).view("<i4").astype(np.int64), "int32_t")


def tap_weights(steps: Array) -> Table:
    """Depthwise weights [channels, height, width] -> words [channels / 4][width][height][2]: channels 0 and 2, 1 and 3."""
    channels, height, width = steps.shape
    quads = steps.transpose(0, 2, 1).reshape(channels // FOUR, FOUR, width * height)
    return Table(words(quads.transpose(0, 2, 1)[..., TURNED].reshape(-1, 2)), "int32_t")


def words(halves: Array) -> Array:
    """Two signed 16-bit numbers in each, the first below."""
    pairs = halves.reshape(-1).astype(np.int16).astype("<i2")
    return pairs.view("<i4").astype(np.int64)
