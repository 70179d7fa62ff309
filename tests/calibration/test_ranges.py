"""Range estimators, and how their names are read."""

import pickle

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from bitsmith.calibration.ranges import Placing, Range, RangeEstimator, estimator_names, parse_estimator
from bitsmith.calibration.statistics import Statistics
from bitsmith.errors import RecipeError, StatisticsError
from bitsmith.numerics.formats import Array, Integer

INT8 = Placing(Integer(8))
NUMBERS = arrays(np.float32, st.tuples(st.integers(1, 8), st.integers(1, 30)), elements=st.floats(-1e6, 1e6, width=32))


def observed(numbers: Array) -> Statistics:
    statistics = Statistics()
    statistics.observe(numbers)
    return statistics


@given(NUMBERS)
def test_min_max_is_exact(numbers: Array) -> None:
    assert parse_estimator("min_max")(observed(numbers), INT8) == Range(float(numbers.min()), float(numbers.max()))


def test_mean_min_max_averages_over_samples() -> None:
    numbers = np.array([[[0.0, 1.0], [2.0, -1.0]], [[5.0, 8.0], [3.0, 4.0]]])
    assert parse_estimator("mean_min_max")(observed(numbers), INT8) == Range(1.0, 5.0)


@given(NUMBERS, st.floats(50, 100))
@example(np.array([[1.0, 6.05e-43, 6.05e-43]], np.float32), 50.0)       # the smallest lie in one bin with zero, which does not occur
@example(np.array([[-1.0, -6.05e-43, -6.05e-43]], np.float32), 50.0)
def test_percentile_stays_inside_and_is_ordered(numbers: Array, percent: float) -> None:
    low, high = parse_estimator(f"percentile:{percent}")(observed(numbers), INT8)
    assert numbers.min() <= low <= high <= numbers.max()


@given(NUMBERS)
def test_the_hundredth_percentile_is_everything(numbers: Array) -> None:
    statistics = observed(numbers)
    assert parse_estimator("percentile:100")(statistics, INT8) == parse_estimator("min_max")(statistics, INT8)


@pytest.mark.parametrize("percent", [60, 90, 99, 99.9, 99.99])
def test_percentile_is_numpys_within_a_bin(percent: float) -> None:
    numbers = np.random.default_rng(0).standard_normal((100, 2000)).astype(np.float32)
    low, high = parse_estimator(f"percentile:{percent}")(observed(numbers), INT8)
    expected = np.percentile(numbers, [100 - percent, percent])
    assert [low, high] == pytest.approx(expected.tolist(), rel=2**-7)


def test_percentile_cuts_outliers_and_keeps_zeros() -> None:
    numbers = np.concatenate([np.zeros(50_000), np.linspace(0, 1, 50_000), [1000.0]])
    low, high = parse_estimator("percentile")(observed(numbers), INT8)
    assert low == 0
    assert high == pytest.approx(1, rel=2**-7)


def test_a_constant_is_its_own_range() -> None:
    statistics = observed(np.full((3, 7), 2.75))
    for name in estimator_names():
        assert parse_estimator(name)(statistics, INT8) == Range(2.75, 2.75)


@pytest.mark.parametrize("name", estimator_names())
def test_statistics_of_nothing_have_no_range(name: str) -> None:
    with pytest.raises(StatisticsError, match="No finite number"):
        parse_estimator(name)(Statistics(), INT8)


@pytest.mark.parametrize("name", ["min_max", "percentile:99.5"])
def test_estimators_cross_process_borders(name: str) -> None:
    estimate: RangeEstimator = pickle.loads(pickle.dumps(parse_estimator(name)))
    assert estimate(observed(np.arange(8.0)), INT8) == parse_estimator(name)(observed(np.arange(8.0)), INT8)


def test_every_module_is_found() -> None:
    assert estimator_names() == ["aciq", "kl", "lp", "mean_min_max", "mean_std", "min_max", "moving_average", "mse", "percentile"]


def test_an_option_has_a_name_or_is_the_first() -> None:
    statistics = observed(np.arange(1000.0))
    assert parse_estimator("percentile:percent=90")(statistics, INT8) == parse_estimator("percentile: 90")(statistics, INT8)


@pytest.mark.parametrize(("text", "said"), [
    ("entropy", f"No range estimator is called 'entropy'; there are {', '.join(estimator_names())}"),
    ("", "No range estimator is called ''"),
    ("os", "No range estimator is called 'os'"),
    ("min_max:3", "cannot take '3'; it has no options"),
    ("moving_average:0.999", "needs more than 0 and at most 0.99, not 0.999"),
    ("moving_average:often", "needs more than 0"),
    ("percentile:90,95", "cannot take '95'; it has the option percent"),
    ("percentile:width=3", "cannot take 'width=3'"),
    ("percentile:101", "percent needs 50 to 100, not 101"),
    ("percentile:nan", "percent needs 50 to 100, not nan"),
    ("percentile:many", "percent needs 50 to 100, not many"),
    ("lp:0.5", "power needs 1 to 8, not 0.5"),
    ("lp:x", "power needs 1 to 8, not x"),
    ("mean_std:0", "deviations needs more than 0"),
    ("mean_std:x", "deviations needs more than 0"),
    ("aciq:cauchy", "distribution needs gauss, laplace or fit, not cauchy"),
])
def test_wrong_names_and_options_are_told(text: str, said: str) -> None:
    with pytest.raises(RecipeError) as problem:
        parse_estimator(text)
    assert said in str(problem.value)
