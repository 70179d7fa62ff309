"""Statistics say of numbers what numpy says of them, however they were split and merged."""

from functools import reduce

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from bitsmith.calibration.statistics import Statistics
from bitsmith.errors import StatisticsError
from bitsmith.numerics.formats import Array

FINITE = st.floats(width=32, allow_nan=False, allow_infinity=False)
NUMBERS = arrays(np.float32, array_shapes(min_dims=1, max_dims=4, max_side=6), elements=FINITE)
SAMPLES = arrays(np.float32, (12, 5), elements=st.floats(width=32))


def observed(*batches: Array) -> Statistics:
    statistics = Statistics()
    for batch in batches:
        statistics.observe(batch)
    return statistics


def assert_same(a: Statistics, b: Statistics) -> None:
    assert all(x.tobytes() == y.tobytes() for x, y in zip(a.record, b.record, strict=True))


@given(NUMBERS)
def test_figures_are_those_of_the_numbers(numbers: Array) -> None:
    statistics = observed(numbers)
    wide = numbers.astype(np.float64)
    by_sample = wide.reshape(len(wide), -1)
    assert (statistics.count, statistics.samples) == (numbers.size, len(numbers))
    assert (statistics.minimum, statistics.maximum) == (wide.min(), wide.max())
    assert statistics.mean_minimum == pytest.approx(by_sample.min(1).mean())
    assert statistics.mean_maximum == pytest.approx(by_sample.max(1).mean())
    scale = max(abs(wide).max(), 1e-30)
    assert statistics.mean == pytest.approx(wide.mean(), abs=1e-12 * scale)
    assert statistics.mean_square == pytest.approx((wide**2).mean())
    assert statistics.variance == pytest.approx(wide.var(), abs=1e-12 * scale**2)


@given(SAMPLES, st.permutations(range(12)), st.lists(st.integers(1, 11), max_size=4))
def test_splitting_and_merging_leave_no_trace(samples: Array, order: list[int], cuts: list[int]) -> None:
    whole = observed(samples)
    parts = np.split(samples[order], sorted(set(cuts)))
    assert_same(whole, observed(*parts))
    assert_same(whole, reduce(Statistics.merge, (observed(part) for part in parts)))


def test_merging_changes_neither() -> None:
    a, b = observed(np.array([[1.0, 2.0]])), observed(np.array([[3.0]]))
    merged = a.merge(b)
    assert (a.count, b.count, merged.count) == (2, 1, 3)
    assert (a.maximum, merged.maximum, merged.mean) == (2.0, 3.0, 2.0)


@given(NUMBERS)
def test_every_number_lies_in_its_bin(numbers: Array) -> None:
    low, high, counts = observed(numbers).bins()
    assert counts.sum() == numbers.size
    assert (low < high).all()
    assert (high[:-1] <= low[1:]).all()
    for number in numbers.ravel().astype(np.float64):
        assert ((low <= number) & (number <= high)).any()


def test_bins_are_narrow_and_in_order() -> None:
    low, high, counts = observed(np.linspace(-4, 4, 1001)).bins()
    far = np.maximum(abs(low), abs(high)) > 1e-30
    assert ((high - low)[far] / np.minimum(abs(low), abs(high))[far] <= 2**-7).all()
    assert (np.diff(low) > 0).all()
    assert counts.min() >= 1


def test_bin_edges_at_both_ends_of_float32() -> None:
    tiny, huge = np.float32(1e-45), np.finfo(np.float32).max
    bins = observed(np.array([-huge, -tiny, 0.0, -0.0, huge])).bins()
    assert (bins.low[0], bins.high[-1]) == (-(2.0**128), 2.0**128)
    assert bins.low.tolist()[1:3] == [-(2.0**-133), 0.0]
    assert bins.counts.tolist() == [1, 2, 1, 1]
    assert bins.centres[-1] == (bins.low[-1] + bins.high[-1]) / 2


@given(arrays(np.float32, 50, elements=FINITE.filter(lambda x: x == 0 or abs(x) >= 2**-133)))
def test_significant_bits_are_those_of_frexp(numbers: Array) -> None:
    statistics = observed(numbers)
    exponents, counts = np.unique(np.frexp(numbers[numbers != 0])[1], return_counts=True)
    found = statistics.significant_bits()
    assert found[0].tolist() == exponents.tolist()
    assert found[1].tolist() == counts.tolist()
    assert statistics.zeros == (numbers == 0).sum()


def test_nan_and_infinity_are_tallied_and_left_out() -> None:
    statistics = observed(np.array([[1.0, np.nan, np.inf], [-np.inf, np.nan, np.inf]]))
    assert (statistics.count, statistics.samples, statistics.nans, statistics.infinities) == (1, 1, 2, (1, 2))
    assert (statistics.minimum, statistics.maximum, statistics.mean_square) == (1.0, 1.0, 1.0)
    assert statistics.bins().counts.tolist() == [1]


@pytest.mark.parametrize("batches", [(), (np.zeros((0, 3)),), (np.array([np.nan, np.inf]),)])
def test_figures_of_nothing_are_refused(batches: tuple[Array, ...]) -> None:
    statistics = observed(*batches)
    assert statistics.count == 0
    assert statistics.bins().counts.size == 0
    for figure in ("minimum", "maximum", "mean", "mean_square", "variance", "mean_minimum", "mean_maximum"):
        with pytest.raises(StatisticsError, match="No finite number"):
            getattr(statistics, figure)


@pytest.mark.parametrize("dtype", [np.float64, np.float16, np.int32, np.uint8, np.bool_, ">f4"])
def test_other_types_are_taken_as_float32(dtype: str) -> None:
    numbers = np.array([[0, 1], [1, 1]]).astype(dtype)
    assert_same(observed(numbers), observed(numbers.astype(np.float32)))


def test_a_number_too_large_for_float32_counts_as_infinite() -> None:
    assert observed(np.array([1e300, -1e300, 1.0])).infinities == (1, 1)


def test_views_and_single_numbers_are_counted() -> None:
    grid = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    assert_same(observed(grid.transpose(0, 2, 1)), observed(grid))
    assert observed(grid[:, ::2]).count == 16
    assert observed(np.float32(3)).mean == 3.0
