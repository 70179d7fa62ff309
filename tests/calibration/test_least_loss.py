"""What codes lose of counted numbers, and the ranges that lose least: against plain loops over the numbers themselves."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from bitsmith.calibration.least_loss import range_of_least_loss
from bitsmith.calibration.loss import losses, losses_of_centres, raised, spread_numbers
from bitsmith.calibration.ranges import Placing, Range
from bitsmith.calibration.statistics import Statistics
from bitsmith.numerics.encoding import spanning
from bitsmith.numerics.formats import Array, parse_format

NUMBERS = arrays(np.float32, st.integers(2, 40), elements=st.floats(-1000, 1000, width=16))
FORMATS = st.sampled_from(["int8", "uint8", "int4", "uint4", "int3", "int2", "int4-restricted", "int6", "int16"])
PLACINGS = st.builds(lambda name, symmetric, power: Placing(parse_format(name), symmetric, power), FORMATS, st.booleans(), st.booleans())


def counted(numbers: Array) -> Statistics:
    statistics = Statistics()
    statistics.observe(numbers[None])
    return statistics


def plain_loss(numbers: Array, found: Range, placing: Placing, power: float) -> float:
    """The meaning: through the codes and back, number by number, in units of the largest magnitude."""
    encoding = spanning(*found, placing.format, symmetric=placing.symmetric, power_of_two=placing.power_of_two)
    error = np.abs(numbers.astype(np.float64) - encoding.simulate(numbers)) / np.abs(numbers).max()
    return float((error**power).mean())


def plain_search(numbers: Array, placing: Placing, power: float) -> float:
    """The least loss over a fine grid of both ends."""
    low, high = min(0.0, float(numbers.min())), max(0.0, float(numbers.max()))
    factors = np.concatenate([np.linspace(0.02, 1, 50), [0.01, 0.005]])
    together = placing.symmetric or low * high == 0
    ends = [(f, f) for f in np.linspace(0.005, 1, 400)] if together else [(f, g) for f in factors for g in factors]
    return min(plain_loss(numbers, Range(low * f, high * g), placing, power) for f, g in ends)


def drawn(kind: str, count: int = 4000) -> Array:
    random = np.random.default_rng(7)
    numbers = {
        "gauss": random.standard_normal(count), "laplace": random.laplace(size=count), "relu": random.standard_normal(count).clip(0),
        "heavy": random.standard_t(2, count), "outlier": np.append(random.standard_normal(count), 60.0),
        "shifted": random.standard_normal(count) * 0.3 + 1, "silu": (x := random.standard_normal(count) * 3) / (1 + np.exp(-x)),
        "pixels": random.integers(0, 256, count), "negative": -random.exponential(size=count),
    }[kind]
    return np.asarray(numbers, np.float32)


KINDS = ["gauss", "laplace", "relu", "heavy", "outlier", "shifted", "silu", "pixels", "negative"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["uint8", "uint4", "int3", "int8-restricted"])
@pytest.mark.parametrize("power", [2.0, 2.4])
def test_the_loss_of_counts_is_that_of_the_numbers(kind: str, name: str, power: float) -> None:
    numbers, format = drawn(kind), parse_format(name)
    spread = spread_numbers(counted(numbers))
    low, high = min(0.0, float(numbers.min())), max(0.0, float(numbers.max()))
    for factor in (1, 0.6, 0.2):
        placing = Placing(format)
        found = losses(spread, placing.span(np.array([low * factor]), np.array([high * factor])), power)
        assert found[0] == pytest.approx(plain_loss(numbers, Range(low * factor, high * factor), placing, power), rel=0.03)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("name", "symmetric", "power"), [
    ("uint8", False, 2.0), ("uint4", False, 2.0), ("int4", True, 2.4), ("int2", True, 2.0), ("uint4", True, 3.0),
])
def test_the_range_found_loses_hardly_more_than_the_best_of_a_fine_grid(kind: str, name: str, symmetric: bool, power: float) -> None:
    numbers, placing = drawn(kind, 1500), Placing(parse_format(name), symmetric)
    found = range_of_least_loss(counted(numbers), placing, power)
    assert plain_loss(numbers, found, placing, power) <= 1.06 * plain_search(numbers, placing, power) + 1e-15


@settings(max_examples=40, deadline=None)
@given(NUMBERS, PLACINGS, st.sampled_from([1.0, 2.0, 2.4]))
def test_it_never_loses_more_than_min_and_max_and_stays_within(numbers: Array, placing: Placing, power: float) -> None:
    assume(np.abs(numbers).max() > 0)
    statistics = counted(numbers)
    low, high = found = range_of_least_loss(statistics, placing, power)
    assert min(numbers.min(), 0) <= low <= high <= max(numbers.max(), 0) or found == Range(numbers.min(), numbers.max())
    spread = spread_numbers(statistics)
    ends = np.array([[low, high], [numbers.min(), numbers.max()]], np.float64)
    here, everything = losses(spread, placing.span(*ends.T), power)
    assert here <= everything


@settings(max_examples=30, deadline=None)
@given(NUMBERS, PLACINGS, st.integers(-20, 20))
def test_numbers_times_a_power_of_two_have_the_range_times_it(numbers: Array, placing: Placing, exponent: int) -> None:
    times = np.float32(2.0**exponent)
    one, other = (range_of_least_loss(counted(n), placing, 2.4) for n in (numbers, numbers * times))
    assert other == Range(one.low * float(times), one.high * float(times))


@settings(max_examples=30, deadline=None)
@given(NUMBERS, st.sampled_from(["int8-restricted", "int4-restricted", "int2-restricted"]))
def test_mirrored_numbers_have_the_mirrored_range(numbers: Array, name: str) -> None:
    placing = Placing(parse_format(name), symmetric=True)
    one, other = (counted(n) for n in (numbers, -numbers))
    found, mirrored = (range_of_least_loss(s, placing, 2.0) for s in (one, other))
    ends = np.array([found, mirrored]) if np.abs(numbers).max() else np.zeros((2, 2))
    scales = placing.span(ends[:, 0], ends[:, 1]).scale
    assert scales[0] == scales[1] or plain_loss(numbers, found, placing, 2) == pytest.approx(plain_loss(-numbers, mirrored, placing, 2))


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "pixels"])     # these are 8-bit codes themselves
def test_more_bits_lose_less(kind: str) -> None:
    numbers = drawn(kind)
    placings = [Placing(parse_format(f"uint{bits}")) for bits in range(2, 10)]
    lost = [plain_loss(numbers, range_of_least_loss(counted(numbers), p, 2.0), p, 2) for p in placings]
    assert lost == sorted(lost, reverse=True)


@pytest.mark.parametrize("kind", KINDS)
def test_a_power_of_two_stays_one(kind: str) -> None:
    placing = Placing(parse_format("int4"), power_of_two=True)
    low, high = range_of_least_loss(counted(drawn(kind)), placing, 2.0)
    scale = placing.span(np.array([low]), np.array([high])).scale[0]
    assert np.frexp(scale)[0] == 0.5


def test_any_other_format_is_measured_by_the_middles_of_bins() -> None:
    numbers = drawn("laplace")
    spread, placing = spread_numbers(counted(numbers)), Placing(parse_format("uint4"))
    encodings = placing.span(np.array([-4.0, -2.0]), np.array([5.0, 2.0]))
    assert losses_of_centres(spread, encodings, 2.0) == pytest.approx(losses(spread, encodings, 2.0), rel=0.01)


@given(st.floats(-100, 100), st.sampled_from([2.0, 3.0]))
def test_products_are_powers(number: float, power: float) -> None:
    assert raised(np.array([number]), power)[0] == pytest.approx(abs(number) ** power)
