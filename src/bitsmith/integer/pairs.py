"""Pairs of products, as x86 processors without VNNI add them up: two neighbouring uint8 * int8 into 16 bits, with saturation.

That is the instruction vpmaddubsw, by which onnxruntime multiplies uint8 codes with int8 weights there, unless its session option
session.x64quantprecision says otherwise. Codes and weights count from 0 here, not from their zero points, which it makes good afterwards.
"""

from collections.abc import Callable

import numpy as np

from bitsmith.integer.bounds import Bounds, Integers
from bitsmith.integer.products import Convolve, MatrixMultiply
from bitsmith.numerics.formats import Array

BITS = 16
LEAST, MOST = -2**(BITS - 1), 2**(BITS - 1) - 1
Column = Callable[[int, int], Array]


def pairs_of(product: Convolve | MatrixMultiply) -> Array | None:
    """The weights in pairs as onnxruntime adds their products up, int32 [channels, pairs, 2]; an odd one is beside 0.

    Along the sum, channels lie within the positions of a kernel. None where no pairs are added: for no weights, other types than
    uint8 * int8, products of two computed values, and depthwise convolutions with one output for each input.
    """
    weights = product.weights
    if weights is None or not weights.size or product.source.storage != np.uint8 or weights.dtype != np.int8:
        return None
    if isinstance(product, MatrixMultiply):
        rows = np.moveaxis(weights, -2, -1).reshape(-1, weights.shape[-2])
    elif weights.shape[1] == 1 and product.groups == len(weights):
        return None
    else:
        rows = np.moveaxis(weights, 1, -1).reshape(len(weights), -1)
    return in_pairs(rows.astype(np.int32))


def in_pairs(rows: Array) -> Array:
    """[channels, terms] -> [channels, pairs, 2]."""
    return np.pad(rows, ((0, 0), (0, rows.shape[1] % 2))).reshape(len(rows), -1, 2)


def worst_pairs(pairs: Array, low: int, high: int) -> Bounds:
    """Bounds of every pair's sum, [channels, pairs], for codes from `low` to `high`. Both are attained."""
    ends = np.stack([pairs * np.int64(low), pairs * np.int64(high)])
    return Bounds(ends.min(0).sum(2), ends.max(0).sum(2))


def worst_in_any_order(pairs: Array, low: int, high: int) -> Bounds:
    """Bounds of the sum of any two products of a channel, [channels], as if the two worst weights were neighbours. Both are attained."""
    terms = pairs.reshape(len(pairs), -1)
    ends = np.sort(np.stack([terms * np.int64(low), terms * np.int64(high)]), 0)
    return Bounds(np.sort(ends[0], 1)[:, :2].sum(1), np.sort(ends[1], 1)[:, -2:].sum(1))


def could_saturate(bounds: Bounds) -> Array:
    """Which sums can leave 16 bits."""
    return np.asarray((bounds.lowest < LEAST) | (bounds.highest > MOST))


def count_saturated(product: Convolve | MatrixMultiply, pairs: Array, codes: Array) -> Integers:
    """How many sums of pairs leave 16 bits on these codes, by output channel. Only pairs that could are looked at.

    pairs   of the product; weights of a batch of matrices have none that could be counted so
    """
    could = could_saturate(worst_pairs(pairs, product.source.low, product.source.high))
    column, groups = columns_of(product, codes)
    counts, outputs = np.zeros(len(pairs), np.int64), len(pairs) // groups
    for group, pair in np.argwhere(could.reshape(groups, outputs, -1).any(1)):
        first = group * outputs
        channels = first + np.flatnonzero(could[first:first + outputs, pair])
        one, other = (np.multiply.outer(pairs[channels, pair, i], column(group, 2 * pair + i)) for i in (0, 1))
        sums = one + other
        counts[channels] += np.count_nonzero((sums < LEAST) | (sums > MOST), axis=1)
    return counts


def columns_of(product: Convolve | MatrixMultiply, codes: Array) -> tuple[Column, int]:
    """(group, place in onnxruntime's order) -> the codes that this term meets in all sums, int32 [sums]; and how many groups there are."""
    if isinstance(product, MatrixMultiply):
        return lambda group, term: flat(codes[..., term]) if term < codes.shape[-1] else np.zeros(codes[..., 0].size, np.int32), 1
    views = list(product.window.views(product.window.place(codes, product.source.zero_point)))      # each [batch, channels, *output]
    inputs = product.weights.shape[1]

    def column(group: int, term: int) -> Array:
        position, channel = divmod(term, inputs)
        if position == len(views):      # beside an odd last one
            return np.zeros(views[0][:, 0].size, np.int32)
        return flat(views[position][:, group * inputs + channel])

    return column, product.groups


def flat(codes: Array) -> Array:
    return codes.astype(np.int32).ravel()
