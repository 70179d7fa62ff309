"""Convolutions of 3 x 3 places by Winograd's minimal filtering."""

from bitsmith.targets.c.call import Call, Entries, Fields
from bitsmith.targets.c.x86_layer import Layer
from bitsmith.targets.c.x86_layout import LANES, Lines, turned_weights
from bitsmith.targets.c.x86_rounding import Scaling

TILE, GROUP, PART = 2, 16, 4        # pixels along a tile; tiles that are transformed together, and that are multiplied together
WIDEST = 32                         # channels beyond which half as many tiles go together, so that they stay in the nearest cache


def suits_tiles(layer: Layer) -> bool:
    """False where the window is another, or where four times the sums may leave 32 bits."""
    window, channels = layer.geometry.window, layer.geometry.channels
    fits = (window.kernel, window.strides, window.dilations) == ((3, 3), (1, 1), (1, 1)) and channels % LANES == 0
    return fits and bool(layer.sums.fit(30).all())


def tiles_call(layer: Layer, scaling: Scaling, direct: Entries, scratch: int) -> Call:
    """direct, scratch: of the kernel that multiplies windows as they are"""
    channels = layer.geometry.channels
    down, across = (-(-size // TILE) for size in layer.geometry.outputs)
    lines = Lines(layer.geometry, 1, 2 * TILE, TILE * (across + 1), TILE)
    group = min(GROUP if channels <= WIDEST else GROUP // 2, -(-down * across // PART) * PART)
    entries: Entries = {
        "direct": Fields(direct), "windows": lines.fields(layer.step.source.zero_point), "tiles_y": down, "tiles_x": across, "group": group,
        "turned": turned_weights(layer.steps),
    }
    places = LANES * group
    return layer.call("x86_winograd", entries, max(scratch, places * (4 * LANES + 2 * channels) + lines.spread),
                      ("lanes", "quads", "lines", "x86_convolve"), scaling)
