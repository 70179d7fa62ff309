"""Products as matrices: a node's weights as [groups, channels, terms], what it reads and makes as rows that fit."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import onnx_ir as ir

from bitsmith.graph import attribute, constant, input_at
from bitsmith.integer.instructions import FLOAT32
from bitsmith.integer.windows import Window, dilate
from bitsmith.numerics.formats import Array
from bitsmith.operators.products import transposed_obstacle
from bitsmith.operators.site import Site
from bitsmith.operators.windows import read_window, transposed_window

Positions = Callable[[int], Array]      # how many results a sample has for each channel -> the indices of those to take


@dataclass(frozen=True)
class Product:
    """weights  the weight operand's own layout -> [groups, channels, terms]
    restore  back
    rows     one batch of inputs and which results to take -> [groups, rows, terms]
    results  one batch of outputs likewise -> [groups, rows, channels]
    """

    weights: Callable[[Array], Array]
    restore: Callable[[Array], Array]
    rows: Callable[[Array, Positions], Array]
    results: Callable[[Array, Positions], Array]


def product_of(node: ir.Node) -> Product | str:
    """The node's matrices, or why it has none."""
    weight = constant(input_at(node, 1))
    if weight is None:
        return f"{node.op_type} has its weights on the left"
    if node.op_type == "Conv":
        return convolution(node, weight.shape)
    if node.op_type == "ConvTranspose" and not transposed_obstacle(node):
        return transposed_convolution(node, weight.shape)
    if node.op_type == "MatMul" and weight.ndim == 2:
        return matrix_product(weight.shape, transposed=False)
    plain = attribute(node, "alpha", 1.0) == attribute(node, "beta", 1.0) == 1.0 and not attribute(node, "transA", 0)
    if node.op_type == "Gemm" and plain:
        return matrix_product(weight.shape, transposed=bool(attribute(node, "transB", 0)))
    return f"{node.op_type} is not written as one product of matrices"


def matrix_product(shape: Sequence[int], *, transposed: bool) -> Product:
    """[..., terms] times [terms, channels], or [channels, terms] where transposed."""

    def flip(array: Array) -> Array:
        return array if transposed else array.swapaxes(-1, -2)

    def rows(array: Array, positions: Positions) -> Array:
        by_sample = array.reshape(len(array), -1, array.shape[-1])
        return by_sample[:, positions(by_sample.shape[1])].reshape(1, -1, array.shape[-1])

    return Product(lambda w: flip(w)[None], lambda m: flip(m[0]), rows, rows)


def convolution(node: ir.Node, shape: Sequence[int]) -> Product:
    """Rows are windows: channels of a group, then the kernel's positions, as in a weight [out, in / groups, *kernel]."""
    groups = int(attribute(node, "group", 1))

    def rows(array: Array, positions: Positions) -> Array:
        return windows_of(array, read_window(Site(node, {}, "", None, FLOAT32), shape[2:]), groups, positions)

    return Product(
        lambda w: w.reshape(groups, shape[0] // groups, -1), lambda m: m.reshape(shape), rows, partial(results_of, shape[0] // groups)
    )


def transposed_convolution(node: ir.Node, shape: Sequence[int]) -> Product:
    """A convolution over the dilated input with flipped weights; these are [in, out / groups, *kernel]."""
    groups, kernel, window = int(attribute(node, "group", 1)), shape[2:], transposed_window(node, shape[2:])
    steps, space = tuple(attribute(node, "strides", [1] * len(kernel))), tuple(range(-len(kernel), 0))

    def weights(array: Array) -> Array:
        grouped = array.reshape(groups, -1, *array.shape[1:]).swapaxes(1, 2)
        return np.flip(grouped, space).reshape(groups, shape[1], -1)

    def restore(matrix: Array) -> Array:
        grouped = np.flip(matrix.reshape(groups, shape[1], -1, *kernel), space)
        return np.ascontiguousarray(grouped.swapaxes(1, 2)).reshape(shape)

    return Product(
        weights, restore, lambda array, positions: windows_of(dilate(array, steps, 0), window, groups, positions),
        partial(results_of, shape[1]),
    )


def windows_of(array: Array, window: Window, groups: int, positions: Positions) -> Array:
    """[samples, in, *space] -> [groups, rows, terms]: what some of the windows see."""
    seen = window.gather(window.place(array, 0.0))                                          # [samples, in, *output, *kernel]
    space = seen.shape[2:-len(window.kernel)]
    index: tuple[Any, ...] = (slice(None), slice(None), *np.unravel_index(positions(math.prod(space)), space))
    taken = seen[index]                                                                     # [samples, in, places, *kernel]
    by_group = taken.reshape(len(taken), groups, -1, taken.shape[2], math.prod(window.kernel))
    rows = by_group.transpose(1, 0, 3, 2, 4)
    return np.asarray(rows.reshape(groups, rows.shape[1] * rows.shape[2], -1))


def results_of(channels: int, array: Array, positions: Positions) -> Array:
    """[samples, out, *space] -> [groups, rows, channels of a group]."""
    by_group = array.reshape(len(array), -1, channels, math.prod(array.shape[2:]))
    taken = by_group[..., positions(by_group.shape[3])].transpose(1, 0, 3, 2)
    return np.asarray(taken.reshape(len(taken), -1, channels))
