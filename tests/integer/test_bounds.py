"""Bounds are attained by some codes and exceeded by none."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitsmith.integer.bounds import Bounds, multiplied, summed, weighted

ranges = st.tuples(st.integers(-300, 300), st.integers(-300, 300)).map(lambda ends: (min(ends), max(ends)))


@given(st.lists(st.integers(-128, 127), min_size=1, max_size=4), st.integers(-2**30, 2**30), ranges)
def test_weighted_bounds_are_the_extremes_over_every_choice_of_end_or_padding(weights: list[int], bias: int, ends: tuple[int, int]) -> None:
    """A sum is largest and smallest at the ends of the range, or in the padding, which holds zero."""
    sums = [bias + sum(w * s for w, s in zip(weights, steps, strict=True)) for steps in product((*ends, 0), repeat=len(weights))]
    bounds = weighted(np.array([weights], np.int8), np.array([bias], np.int32), *ends)
    assert bounds.lowest.tolist() == [min(sums)]
    assert bounds.highest.tolist() == [max(sums)]


@given(st.lists(st.integers(-128, 127), min_size=1, max_size=6), st.permutations(range(6)), ranges, st.data())
def test_no_partial_sum_leaves_the_bounds(weights: list[int], order: list[int], ends: tuple[int, int], data: st.DataObject) -> None:
    bounds = weighted(np.array([weights]), None, *ends)
    total = 0
    for index in (i for i in order if i < len(weights)):
        total += weights[index] * data.draw(st.integers(*ends))
        assert bounds.lowest[0] <= total <= bounds.highest[0]


@given(st.integers(1, 3), ranges, ranges)
def test_products_of_two_codes(terms: int, left: tuple[int, int], right: tuple[int, int]) -> None:
    corners = [sum(pairs) for pairs in product([a * b for a in left for b in right] + [0], repeat=terms)]
    bounds = multiplied(terms, left, right)
    assert (bounds.lowest, bounds.highest) == (min(corners), max(corners))


@given(st.integers(1, 5), ranges)
def test_sums_of_codes(terms: int, ends: tuple[int, int]) -> None:
    bounds = summed(terms, *ends)
    assert (bounds.lowest, bounds.highest) == (min(0, terms * ends[0]), max(0, terms * ends[1]))


@pytest.mark.parametrize(("low", "high", "bits"), [
    (0, 0, 1), (-1, 0, 1), (0, 1, 2), (-2, 1, 2), (-3, 0, 3), (0, 127, 8), (-128, 127, 8), (-129, 0, 9), (0, 128, 9),
    (-2**31, 2**31 - 1, 32), (-2**31 - 1, 0, 33), (0, 2**31, 33), (0, 2**62, 64),
])
def test_bits_are_those_of_the_smallest_signed_integers(low: int, high: int, bits: int) -> None:
    bounds = Bounds(np.array([low, 0]), np.array([high, 0]))
    assert bounds.bits.tolist() == [bits, 1]
    assert bounds.fit(bits).tolist() == [True, True]
    assert bounds.fit(bits - 1)[0] == (bits == 1 and False)
    assert bounds.largest == max(-low, high)


def test_channels_that_overflow_are_found_one_by_one() -> None:
    weights = np.full((3, 70000), 127, np.int8)
    weights[1] = 1
    bounds = weighted(weights, np.array([0, 0, -2**31], np.int64), 0, 255)
    assert bounds.fit().tolist() == [False, True, True]
    assert bounds.fit(64).all()
