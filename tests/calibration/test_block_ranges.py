"""Ranges of blocks: against the same estimator on each block alone, and against plain loops."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_least_loss import plain_loss, plain_search

from bitsmith.calibration import block_ranges
from bitsmith.calibration.block_ranges import counted, find_block_ranges, row_losses, rows_of
from bitsmith.calibration.ranges import Placing, Range, parse_estimator
from bitsmith.numerics import Blocks, parse_format
from bitsmith.numerics.encoding import spanning
from bitsmith.numerics.formats import Array

ALL_BLOCKS = [Blocks.whole(), Blocks.channels(0), Blocks.channels(1), Blocks({0: 2}), Blocks({0: 1, 1: 4}), Blocks({1: 3})]
FORMATS = ["int8", "int4", "int3", "int2", "uint4", "int4-restricted"]


def weights(*shape: int) -> Array:
    return np.random.default_rng(5).laplace(0, 0.1, shape).astype(np.float32)


def plain_rows(blocks: Blocks, numbers: Array) -> list[Array]:
    """Block after block, by the meaning of Blocks: which scale each number has."""
    shape = blocks.shape(numbers.shape)
    index = np.arange(int(np.prod(shape))).reshape(shape)
    which = np.broadcast_to(blocks.spread(index, numbers.shape), numbers.shape)
    return [numbers[which == i] for i in range(index.size)]


@pytest.mark.parametrize("blocks", ALL_BLOCKS)
def test_rows_are_the_blocks(blocks: Blocks) -> None:
    numbers = weights(5, 7, 3)
    for row, expected in zip(rows_of(blocks, numbers, np.nan), plain_rows(blocks, numbers), strict=True):
        assert sorted(row[~np.isnan(row)]) == sorted(expected)


@pytest.mark.parametrize("blocks", ALL_BLOCKS)
@pytest.mark.parametrize("estimator", ["min_max", "percentile:90", "aciq", "mean_std:2"])
def test_every_estimator_sees_each_block_alone(blocks: Blocks, estimator: str) -> None:
    numbers, placing = weights(4, 8, 3), Placing(parse_format("int4"), symmetric=True)
    low, high = find_block_ranges(numbers, blocks, placing, estimator)
    assert low.shape == high.shape == blocks.shape(numbers.shape)
    ranges = np.array([parse_estimator(estimator)(counted(row), placing) for row in plain_rows(blocks, numbers)])
    assert np.stack([low.ravel(), high.ravel()], 1) == pytest.approx(ranges, rel=1e-6)


@pytest.mark.parametrize("blocks", ALL_BLOCKS)
@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize(("symmetric", "power_of_two"), [(True, False), (False, False), (True, True)])
def test_least_error_is_near_that_of_a_fine_grid(blocks: Blocks, name: str, symmetric: bool, power_of_two: bool) -> None:
    numbers, placing = weights(3, 40, 3), Placing(parse_format(name), symmetric, power_of_two)
    low, high = find_block_ranges(numbers, blocks, placing, "mse")
    for row, *found in list(zip(plain_rows(blocks, numbers), low.ravel(), high.ravel(), strict=True))[:2]:
        plainly = Range(float(row.min()), float(row.max()))
        here = plain_loss(row, Range(*found), placing, 2)
        assert here <= plain_loss(row, plainly, placing, 2)
        if symmetric and row.size > 100:
            assert here <= 1.1 * plain_search(row, placing, 2) + 1e-12


@settings(max_examples=30, deadline=None)
@given(st.sampled_from(FORMATS), st.booleans(), st.sampled_from([1.0, 2.0, 2.4]), st.floats(0.1, 1))
def test_the_loss_of_rows_is_that_of_their_codes(name: str, symmetric: bool, power: float, factor: float) -> None:
    rows, placing = weights(3, 40), Placing(parse_format(name), symmetric)
    low, high = rows.min(axis=1) * factor, rows.max(axis=1) * factor
    found = row_losses(rows, placing.span(low, high), power)
    for row, *ends, loss in zip(rows, low, high, found, strict=True):
        decoded = spanning(*ends, placing.format, symmetric=symmetric).simulate(row).astype(np.float64)
        assert loss == pytest.approx((np.abs(row - decoded) ** power).sum(), rel=1e-4)


def test_long_rows_and_many_rows_are_done_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    numbers, placing = weights(6, 50), Placing(parse_format("int3"), symmetric=True)
    whole = find_block_ranges(numbers, Blocks.channels(0), placing, "lp:3")
    monkeypatch.setattr(block_ranges, "AT_ONCE", 16)
    assert np.array_equal(find_block_ranges(numbers, Blocks.channels(0), placing, "lp:3"), whole)


@pytest.mark.parametrize("estimator", ["min_max", "mse", "lp:3", "kl", "aciq", "percentile"])
def test_a_block_of_zeros_is_no_trouble(estimator: str) -> None:
    numbers = weights(3, 6)
    numbers[1] = 0
    low, high = find_block_ranges(numbers, Blocks.channels(0), Placing(parse_format("int4"), symmetric=True), estimator)
    assert (low[1], high[1]) == (0, 0)
