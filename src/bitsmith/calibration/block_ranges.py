"""Ranges of the blocks of a constant: the estimators applied to numbers that are all there, in bounded memory."""

from functools import partial

import numpy as np

from bitsmith.calibration.least_loss import find_ends
from bitsmith.calibration.loss import raised
from bitsmith.calibration.ranges import Placing, parse_estimator
from bitsmith.calibration.ranges.lp import lp
from bitsmith.calibration.ranges.mse import mse
from bitsmith.calibration.statistics import Statistics
from bitsmith.numerics import Blocks, Encoding, Integer, Signs
from bitsmith.numerics.formats import Array

AT_ONCE = 2**18         # numbers


def find_block_ranges(numbers: Array, blocks: Blocks, placing: Placing, estimator: str) -> tuple[Array, Array]:
    """(low, high), float64 of the shape `blocks.shape(numbers.shape)`: the range of every block, which need not hold 0.

    numbers    float, not empty
    estimator  as for activations; least-error ones measure the numbers themselves, others see the statistics of each block

    Raises RecipeError for an estimator that does not exist.
    """
    estimate = parse_estimator(estimator)
    if estimator == "min_max":
        return tuple(blocks.reduce(end, numbers).astype(np.float64) for end in (np.minimum, np.maximum))    # type: ignore[return-value]
    shape = blocks.shape(numbers.shape)
    bare = estimate.func if isinstance(estimate, partial) else estimate
    if bare in (mse, lp):
        options = estimate.keywords if isinstance(estimate, partial) else {}
        power = 2.0 if bare is mse else options.get("power", 2.4)
        rows = rows_of(blocks, numbers, np.nan if has_best_scale(placing) else 0.0)      # which costs nothing
        at_once = max(1, AT_ONCE // rows.shape[1])
        find = best_signs if power == 2.0 and has_best_scale(placing) else partial(least_loss, power=power)
        found = np.concatenate([find(part, placing) for part in (rows[i:i + at_once] for i in range(0, len(rows), at_once))])
    else:
        found = np.array([estimate(counted(row), placing) for row in rows_of(blocks, numbers, np.nan)])    # which is not counted
    return found[:, 0].reshape(shape), found[:, 1].reshape(shape)


def rows_of(blocks: Blocks, numbers: Array, filler: float) -> Array:
    """float32 [blocks, numbers of each]: in their order; those that an end cuts short are filled up."""
    sizes = [blocks.sizes.get(axis, length) for axis, length in enumerate(numbers.shape)]
    missing = [(0, -length % size) for length, size in zip(numbers.shape, sizes, strict=True)]
    padded = np.pad(numbers, missing, constant_values=filler)
    counts = [length // size for length, size in zip(padded.shape, sizes, strict=True)]
    cut = padded.reshape([n for pair in zip(counts, sizes, strict=True) for n in pair])
    axes = [*range(0, 2 * numbers.ndim, 2), *range(1, 2 * numbers.ndim, 2)]
    return np.ascontiguousarray(cut.transpose(axes).reshape(int(np.prod(counts)), -1), np.float32)


def counted(numbers: Array) -> Statistics:
    statistics = Statistics()
    statistics.observe(numbers[None])
    return statistics


def least_loss(rows: Array, placing: Placing, power: float) -> Array:
    """[rows, 2]: the range of each row whose codes have the least sum of |error|^power."""

    def measure(low: Array, high: Array) -> Array:
        return np.stack([row_losses(rows, placing.span(*ends), power) for ends in zip(low, high, strict=True)])

    return np.stack(find_ends(rows.min(axis=1).astype(np.float64), rows.max(axis=1).astype(np.float64), measure, placing.symmetric), 1)


def has_best_scale(placing: Placing) -> bool:
    """True for signs, whose least squared error needs no search."""
    return isinstance(placing.format, Signs) and not placing.power_of_two


def best_signs(rows: Array, placing: Placing) -> Array:
    """[rows, 2]: the range of each row whose signs have the least squared error."""
    assert isinstance(placing.format, Signs)
    scale = placing.format.best_scale(rows)
    return np.stack([-scale, scale], 1)


def row_losses(rows: Array, encodings: Encoding, power: float) -> Array:
    """Sum of |real - decoded|^power of each row under its own encoding, float64 [rows]."""
    scale, zero_point = encodings.scale[:, None], encodings.zero_point[:, None]
    if not isinstance(encodings.format, Integer):
        return np.asarray(raised(rows - Encoding(encodings.format, scale, zero_point, encodings.blocks).simulate(rows), power).sum(axis=1))
    ends = [(end - zero_point).astype(np.float32) for end in (encodings.format.lowest, encodings.format.highest)]
    total = np.zeros(len(rows))
    for start in range(0, rows.shape[1], AT_ONCE):
        steps = rows[:, start:start + AT_ONCE] / scale
        steps -= np.clip(np.rint(steps), *ends)
        total += raised(steps, power).sum(axis=1, dtype=np.float64)
    return np.asarray(total * encodings.scale.astype(np.float64) ** power)
