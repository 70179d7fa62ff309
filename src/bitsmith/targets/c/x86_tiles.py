"""Convolutions of 3 x 3 places by Winograd's minimal filtering: in tiles of 4 x 4 pixels, or of 2 x 2."""

from dataclasses import dataclass
from math import prod

import numpy as np

from bitsmith.integer.bounds import weighted
from bitsmith.integer.windows import Window
from bitsmith.numerics.formats import Array
from bitsmith.targets.c.call import Call, Entries, Fields, Table
from bitsmith.targets.c.x86_layer import Layer, parts_of
from bitsmith.targets.c.x86_layout import LANES, Lines, in_lanes
from bitsmith.targets.c.x86_rounding import Scaling

WINDOW = Window.of((3, 3))
PART, MOST_BYTES = 4, 2**15         # tiles that are multiplied together; transformed codes that stay in the nearest cache


@dataclass(frozen=True, eq=False)
class Tiles:
    """part   file that transforms them
    size   pixels along a tile
    turn   how weights are transformed along one axis, [places, 3], without denominators (Lavin and Gray 2015, sections 4.1 and 4.3)
    bits   within which a sum of products must stay
    """

    part: str
    size: int
    turn: Array
    bits: int

    @property
    def reach(self) -> int:
        """Codes along a tile that its pixels see."""
        return len(self.turn)

    def over(self, layer: Layer) -> tuple[int, int]:
        """How many tiles lie over the pixels: down, and across."""
        down, across = (-(-size // self.size) for size in layer.geometry.outputs)
        return down, across

    def products(self, layer: Layer) -> int:
        """Of each input channel for each output channel."""
        down, across = self.over(layer)
        return down * across * self.reach**2

    def weights(self, steps: Array) -> Table:
        """[out, in, 3, 3] -> [out / 16][places][in / 2][16][2]."""
        turned = np.einsum("ai,ocij,bj->oabc", self.turn, steps, self.turn).reshape(len(steps), self.reach**2, -1, 2)
        return Table(in_lanes(turned).transpose(0, 2, 3, 1, 4).reshape(-1), "int16_t")


TWO = Tiles("tiles_two", 2, np.asarray([[2, 0, 0], [1, 1, 1], [1, -1, 1], [0, 0, 2]]), 30)
FOUR = Tiles("tiles_four", 4, np.asarray([[6, 0, 0], [1, 1, 1], [1, -1, 1], [1, 2, 4], [1, -2, 4], [0, 0, 6]]), 26)


def tiles_for(layer: Layer) -> Tiles | None:
    """Those that take fewest products; None where the window is another, where no tile saves any, or where sums may be too large."""
    window, steps, source = layer.geometry.window, layer.steps, layer.step.source
    alike = (window.kernel, window.strides, window.dilations) == (WINDOW.kernel, WINDOW.strides, WINDOW.dilations)
    if not alike or layer.geometry.channels % LANES:
        return None
    sums = weighted(steps.reshape(layer.outputs, -1), None, source.low, source.high)
    direct = prod(layer.geometry.outputs) * prod(window.kernel)
    fitting = (tiles for tiles in (FOUR, TWO) if sums.fit(tiles.bits).all() and tiles.products(layer) < direct)
    return min(fitting, key=lambda tiles: tiles.products(layer), default=None)


def tiles_call(layer: Layer, tiles: Tiles, scaling: Scaling, direct: Entries, scratch: int) -> Call:
    """direct, scratch: of the kernel that multiplies windows as they are"""
    channels, places = layer.geometry.channels, tiles.reach**2
    down, across = tiles.over(layer)
    lines = Lines(layer.geometry, 1, tiles.reach, tiles.size * across + tiles.reach - tiles.size, tiles.size)
    group = max(1, min(MOST_BYTES // (places * (4 * LANES + 2 * channels)), -(-down * across // PART) * PART) // PART) * PART
    entries: Entries = {
        "direct": Fields(direct), "windows": lines.fields(layer.step.source.zero_point), "down": down, "across": across, "group": group,
        "turned": tiles.weights(layer.steps),
    }
    return layer.call("x86_winograd", entries, max(scratch, places * group * (4 * LANES + 2 * channels) + 3 * lines.spread),
                      {**parts_of(scaling, "lanes", "quads", "lines", "x86_convolve"), "tiles": tiles.part})
