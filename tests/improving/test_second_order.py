"""Rounding by second-order information: against one weight at a time by explicit inverses, and never worse than rounding to nearest."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitsmith.improving.second_order import Line, Moments, descend, refit, round_in_order, round_weights_of, squared_error
from bitsmith.numerics import Blocks, Encoding, parse_format
from bitsmith.numerics.encoding import spanning

Array = np.ndarray[Any, Any]


def made_up(seed: int, groups: int = 2, channels: int = 3, terms: int = 8) -> tuple[Array, Moments]:
    """Weights and moments of correlated inputs; what is lacking depends on them."""
    chance = np.random.default_rng(seed)
    mix = chance.normal(size=(groups, terms, terms))
    x = (np.abs(chance.normal(size=(groups, 50, terms))) @ mix).astype(np.float32)
    r = (x @ chance.normal(0, 0.02, (groups, terms, channels)) + chance.normal(0, 0.05, (groups, 50, channels))).astype(np.float32)
    return chance.normal(size=(groups, channels, terms)), Moments.of(x, r)


def line_of(weights: Array, format: str, granularity: str = "channel", symmetric: bool = True) -> Line:
    """Scales by min/max: of the whole, of channels, or of two columns of a channel."""
    flat = weights.reshape(-1, weights.shape[2])
    blocks = {"tensor": Blocks.whole(), "channel": Blocks.channels(0), "group": Blocks({0: 1, 1: 2})}[granularity]
    low, high = (blocks.reduce(u, flat) for u in (np.minimum, np.maximum))
    encoding: Encoding = spanning(low, high, parse_format(format), symmetric=symmetric, blocks=blocks)
    numbered = np.arange(encoding.scale.size).reshape(encoding.scale.shape)
    spread = (np.broadcast_to(blocks.spread(a, flat.shape), flat.shape) for a in (encoding.scale, encoding.zero_point, numbered))
    scale, zero_point, shares = (a.reshape(weights.shape) for a in spread)
    return Line(encoding.format, scale.astype(np.float64), zero_point, shares)


def round_one_by_one(weights: Array, line: Line, hessian: Array) -> Array:
    """Optimal brain quantization in the order of the columns: round one, solve anew for all that are left (Frantar and Singh 2022)."""
    rounded = np.empty_like(weights)
    for group, channel in np.ndindex(weights.shape[:2]):
        row = weights[group, channel].copy()
        for j in range(len(row)):
            inverse = np.linalg.inv(hessian[group][j:, j:])
            rounded[group, channel, j] = line.at((group, channel, slice(j, j + 1))).nearest(row[j:j + 1])[0]
            row[j:] -= (row[j] - rounded[group, channel, j]) / inverse[0, 0] * inverse[0]
    return rounded


@pytest.mark.parametrize("granularity", ["tensor", "channel", "group"])
@pytest.mark.parametrize(("format", "symmetric"), [("int4", True), ("int3-restricted", True), ("uint4", False), ("int2", True)])
@pytest.mark.parametrize("seed", range(3))
def test_rounding_in_order_is_rounding_one_by_one_with_explicit_inverses(
    granularity: str, format: str, symmetric: bool, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bitsmith.improving.second_order.BLOCK", 3)
    weights, moments = made_up(seed)
    line = line_of(weights, format, granularity, symmetric)
    np.testing.assert_array_equal(
        round_in_order(weights, line, moments.hessian()), round_one_by_one(weights, line, moments.hessian())
    )


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**16), st.sampled_from(["int2", "int3", "int4", "int8", "uint4", "int4-restricted"]),
       st.sampled_from(["tensor", "channel", "group"]))
def test_nothing_is_worse_than_rounding_to_nearest_and_all_numbers_have_codes(seed: int, format: str, granularity: str) -> None:
    weights, moments = made_up(seed)
    line = line_of(weights, format, granularity, symmetric=not format.startswith("u"))
    found = round_weights_of(weights, line, moments)
    assert found.error <= found.nearest_error * (1 + 1e-6)
    steps = found.weights / found.line.scale + found.line.zero_point
    np.testing.assert_allclose(steps, np.rint(steps), atol=1e-4)
    assert steps.min() > line.format.lowest - 0.5
    assert steps.max() < line.format.highest + 0.5
    assert all(len(np.unique(found.line.scale[line.shares == share])) == 1 for share in np.unique(line.shares))
    np.testing.assert_array_equal(found.line.scale, np.float32(found.line.scale))


def test_each_channel_of_its_own_scale_is_no_worse_than_nearest() -> None:
    weights, moments = made_up(3, groups=1, channels=40)
    line, hessian = line_of(weights, "int3"), moments.hessian()
    goal, found = moments.goal(weights, hessian), round_weights_of(weights, line, moments)
    nearest = squared_error(line.nearest(weights) - goal, hessian)
    errors = squared_error(found.weights - goal, hessian)
    assert (errors <= nearest * (1 + 1e-6)).all()
    assert errors.sum() < 0.7 * nearest.sum()


def test_what_is_kept_of_the_error_is_what_the_rows_say() -> None:
    """The quadratic form is the squared error over the rows, but for damping and a constant."""
    chance = np.random.default_rng(0)
    x, w = chance.normal(size=(1, 4000, 5)).astype(np.float32), chance.normal(size=(1, 2, 5))
    r = (0.1 * x[..., :2]).astype(np.float32)
    moments = Moments.of(x, r)
    goal = w + 2 * (moments.goal(w, moments.xx) - w)

    def lost(q: Array) -> Array:
        return np.asarray(((r - x @ (q - w).swapaxes(1, 2)) ** 2).sum(1))

    q = w + chance.normal(0, 0.1, w.shape)
    np.testing.assert_allclose(lost(q) - lost(goal), squared_error(q - goal, moments.xx), rtol=1e-4)
    assert (lost(goal) < lost(w)).all()


def test_moments_of_parts_merge_and_centre() -> None:
    chance = np.random.default_rng(1)
    x, r = chance.normal(3, 1, (2, 60, 4)).astype(np.float32), chance.normal(1, 1, (2, 60, 3)).astype(np.float32)
    merged = Moments.of(x[:, :25], r[:, :25]).merge(Moments.of(x[:, 25:], r[:, 25:]))
    centred = Moments.of(x - x.mean(1, keepdims=True), r - r.mean(1, keepdims=True))
    assert merged.count == 60
    np.testing.assert_allclose(merged.x, x.sum(1), rtol=1e-5)
    np.testing.assert_allclose(merged.centred().xx, centred.xx, rtol=1e-3, atol=1e-2)
    np.testing.assert_allclose(merged.centred().rx, centred.rx, rtol=1e-3, atol=1e-2)


def test_descent_ends_where_no_single_code_gains() -> None:
    weights, moments = made_up(5)
    line, hessian = line_of(weights, "int3"), moments.hessian()
    found = descend(weights, line.nearest(weights), line, hessian)
    least = squared_error(found - weights, hessian)
    for j in range(weights.shape[2]):
        for step in (-1, 1):
            other = found.copy()
            other[..., j] = line.at((..., j)).nearest(found[..., j] + step * line.scale[..., j])
            assert (squared_error(other - weights, hessian) >= least * (1 - 1e-6)).all()


@pytest.mark.parametrize("granularity", ["tensor", "channel", "group"])
def test_refitted_scales_lose_no_more(granularity: str) -> None:
    weights, moments = made_up(6)
    line, hessian = line_of(weights, "int2", granularity), moments.hessian()
    rounded = line.nearest(weights)
    better = refit(weights, rounded, line, hessian)
    moved = rounded / line.scale * better.scale
    assert squared_error(moved - weights, hessian).sum() < squared_error(rounded - weights, hessian).sum()


def test_scales_that_are_powers_of_two_stay() -> None:
    weights, moments = made_up(7)
    line = line_of(weights, "int4")
    line = Line(line.format, np.exp2(np.ceil(np.log2(line.scale))), line.zero_point, line.shares)
    np.testing.assert_array_equal(round_weights_of(weights, line, moments).line.scale, line.scale)


def test_a_scale_that_serves_rows_in_different_columns_stays() -> None:
    weights, moments = made_up(8)
    line = line_of(weights, "int4", "group")
    mixed = Line(line.format, line.scale[:, :1].repeat(3, 1), line.zero_point, line.shares[:, :1].repeat(3, 1))
    assert line.movable
    assert not mixed.movable
    np.testing.assert_array_equal(round_weights_of(weights, mixed, moments).line.scale, mixed.scale)


def test_inputs_that_are_always_zero_do_no_harm() -> None:
    weights, moments = made_up(9)
    silent = Moments(moments.count, moments.x * 0, moments.r, moments.xx * 0, moments.rx * 0)
    found = round_weights_of(weights, line_of(weights, "int4"), silent)
    assert np.isfinite(found.weights).all()
    assert found.error <= found.nearest_error


@settings(max_examples=40, deadline=None)
@given(rows=st.integers(1, 300), terms=st.integers(1, 40), offset=st.sampled_from([0.0, 1.0, 1e3, 1e6]),
       spread=st.sampled_from([0.0, 1e-6, 1e-3, 1.0]), seed=st.integers(0, 9))
def test_inputs_that_hardly_differ_from_their_means_do_no_harm(rows: int, terms: int, offset: float, spread: float, seed: int) -> None:
    """What float32 leaves of the products about such means is noise, which no matrix need be positive definite with."""
    chance = np.random.default_rng(seed)
    weights = chance.normal(size=(1, 3, terms))
    x = (offset * chance.normal(size=(1, 1, terms)) + spread * chance.normal(size=(1, rows, terms))).astype(np.float32)
    r = (x @ chance.normal(0, 0.02, (1, terms, 3))).astype(np.float32)
    moments = Moments.of(x, r).centred()
    assert np.linalg.eigvalsh(moments.hessian()).min() > 0
    found = round_weights_of(weights, line_of(weights, "int4"), moments)
    assert np.isfinite(found.weights).all()
    assert found.error <= found.nearest_error
