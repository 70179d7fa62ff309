"""Every channel of a tensor as a row of most significant bits, with what its codes lose; neighbours together where there are many."""

from collections.abc import Iterable, Sequence

import numpy as np

from bitsmith.analysis.lost_by_power import lost_counts, lost_numbers
from bitsmith.analysis.lost_shares import significant_bits
from bitsmith.calibration.channels import Channels
from bitsmith.calibration.statistics import Statistics
from bitsmith.numerics import Encoding
from bitsmith.numerics.encoding import Blocks
from bitsmith.numerics.formats import Array
from bitsmith.report.rows import ChannelBits, ChannelRow, Lost, Significant

MOST_ROWS = 128


def bits_of_channels(channels: Channels, encoding: Encoding | None) -> ChannelBits:
    """Of statistics per channel, all by the scale of the whole."""
    rows = ((found := significant_bits(part), None if encoding is None or not part.count else lost_counts(part, encoding, found.exponents))
            for part in channels)
    return together(list(rows), channels.axis)


def bits_of_slices(array: Array, encoding: Encoding | None, axis: int) -> ChannelBits:
    """Of the numbers along an axis, each channel by its own scales."""
    rows = []
    for index in range(array.shape[axis]):
        part = array.take([index], axis)
        counted = Statistics()
        counted.observe(part[None])
        found = significant_bits(counted)
        own = None if encoding is None else slice_of(encoding, axis, index)
        rows.append((found, None if own is None else lost_numbers(part, own, found.exponents)))
    return together(rows, axis)


def slice_of(encoding: Encoding, axis: int, index: int) -> Encoding:
    """The encoding of one channel, an array that is 1 long along its axis."""
    if axis not in encoding.blocks.sizes:
        return encoding
    block = index // encoding.blocks.sizes[axis]
    sizes = {a: 1 if a == axis else size for a, size in encoding.blocks.sizes.items()}
    scale, zero_point = (a.take([block], axis) for a in (encoding.scale, encoding.zero_point))
    return Encoding(encoding.format, scale, zero_point, Blocks(sizes))


def together(rows: Sequence[tuple[Significant, Lost | None]], axis: int) -> ChannelBits:
    """At most MOST_ROWS, of so many neighbouring channels each."""
    each = -(-len(rows) // MOST_ROWS)
    return ChannelBits(axis, len(rows), each, tuple(pooled(rows[i:i + each]) for i in range(0, len(rows), each)))


def pooled(rows: Iterable[tuple[Significant, Lost | None]]) -> ChannelRow:
    """Counts of several channels as those of one."""
    counts: dict[int, list[int]] = {}
    zeros = 0
    for bits, lost in rows:
        zeros += bits.zeros
        nothing = (0,) * len(bits.exponents)
        parts = (bits.counts, nothing if lost is None else lost.below, nothing if lost is None else lost.beyond)
        for exponent, *found in zip(bits.exponents, *parts, strict=True):
            counts[exponent] = (np.add(counts.get(exponent, [0, 0, 0]), found)).tolist()
    exponents = sorted(counts)
    sums, below, beyond = (tuple(counts[e][i] for e in exponents) for i in range(3))
    return ChannelRow(tuple(exponents), sums, below, beyond, zeros)
