"""Kernel windows as ONNX nodes describe them: strides, dilations, and padding by number or by name."""

from collections.abc import Sequence

from bitsmith.graph import attribute
from bitsmith.integer.windows import Window
from bitsmith.operators.site import Site


def read_window(
    site: Site, kernel: Sequence[int], *, strides: Sequence[int] | None = None, pairs: Sequence[tuple[int, int]] | None = None
) -> Window:
    """The window of a Conv or pooling node; `strides` and `pairs` (before, after) override what the node says."""
    node, space = site.node, len(kernel)
    steps = attribute(node, "strides", [1] * space) if strides is None else strides
    dilations = attribute(node, "dilations", [1] * space)
    if pairs is None:
        pairs = named_padding(site, kernel, steps, dilations)
    return Window.of(kernel, strides=steps, dilations=dilations, pads=pairs, ceil_mode=bool(attribute(node, "ceil_mode", 0)))


def named_padding(site: Site, kernel: Sequence[int], strides: Sequence[int], dilations: Sequence[int]) -> list[tuple[int, int]]:
    """(before, after) of each spatial axis; SAME pads so that the output has ceil(size / stride) elements."""
    mode, space = attribute(site.node, "auto_pad", "NOTSET"), len(kernel)
    if mode == "NOTSET":
        pads = attribute(site.node, "pads", [0] * (2 * space))
        return list(zip(pads[:space], pads[space:], strict=True))
    if mode == "VALID":
        return [(0, 0)] * space
    pairs = []
    for size, k, s, d in zip(site.sizes(0)[1:], kernel, strides, dilations, strict=True):
        total = max(0, (-(-size // s) - 1) * s + (k - 1) * d + 1 - size)
        small, large = total // 2, total - total // 2
        pairs.append((small, large) if mode == "SAME_UPPER" else (large, small))
    return pairs
