"""Kernel windows as ONNX nodes describe them: strides, dilations, and padding by number or by name."""

from collections.abc import Sequence

import onnx_ir as ir

from bitsmith.graph import attribute
from bitsmith.integer.windows import Window
from bitsmith.operators.site import Site


def read_window(site: Site, kernel: Sequence[int]) -> Window:
    """The window of a Conv or pooling node."""
    node, space = site.node, len(kernel)
    strides, dilations = (attribute(node, name, [1] * space) for name in ("strides", "dilations"))
    pads = named_padding(site, kernel, strides, dilations)
    return Window.of(kernel, strides=strides, dilations=dilations, pads=pads, ceil_mode=bool(attribute(node, "ceil_mode", 0)))


def transposed_window(node: ir.Node, kernel: Sequence[int]) -> Window:
    """Where the flipped kernel of a ConvTranspose stands on its dilated input (Dumoulin and Visin 2016, section 4)."""
    space = len(kernel)
    dilations, extra = (attribute(node, name, [default] * space) for name, default in (("dilations", 1), ("output_padding", 0)))
    reach, pads = [(k - 1) * d for k, d in zip(kernel, dilations, strict=True)], attribute(node, "pads", [0] * (2 * space))
    pairs = [(r - before, r - after + e) for r, before, after, e in zip(reach, pads[:space], pads[space:], extra, strict=True)]
    return Window.of(kernel, dilations=dilations, pads=pairs)


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
