"""What is said from counts agrees with what is said from the numbers themselves: exactly where it is claimed, nearly elsewhere."""

from math import inf

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from bitsmith.analysis.fit import CHUNK, Counted, Fit, Held, NumberType
from bitsmith.calibration.statistics import Statistics
from bitsmith.numerics.fixed_point_type import FixedPointType, fixed_point
from bitsmith.numerics.float_type import BFLOAT16, HALF
from bitsmith.numerics.formats import Array

NUMBERS = arrays(np.float32, st.integers(1, 60), elements=st.floats(-100, 100, width=32, allow_subnormal=False))
SHORT = st.builds(FixedPointType, st.integers(2, 8), st.integers(-8, 16))
ANY = st.one_of(st.builds(FixedPointType, st.integers(2, 24), st.integers(-8, 24)), st.sampled_from([HALF, BFLOAT16]))


def both(numbers: Array, type: NumberType) -> tuple[Fit, Fit]:
    statistics = Statistics()
    statistics.observe(numbers[None])
    return Held(numbers).measure(type), Counted(statistics).measure(type)


@given(NUMBERS, SHORT)
def test_numbers_that_are_there_are_measured_as_fixed_point_measures_them(numbers: Array, type: FixedPointType) -> None:
    fit, found = Held(numbers).measure(type), fixed_point(numbers, type.word_length, type.fraction_length)
    assert (fit.below_precision, fit.beyond_range) == (found.below_precision, found.beyond_range)
    assert fit.maximum_error == found.maximum_error
    assert fit.rms_error == pytest.approx(found.rms_error)
    assert fit.rms == pytest.approx(float(np.sqrt(np.mean(numbers.astype(np.float64) ** 2))))


@given(NUMBERS, ANY)
def test_the_share_below_precision_is_exact_and_the_maximum_error_a_bound(numbers: Array, type: NumberType) -> None:
    exact, counted = both(numbers, type)
    assert counted.below_precision == pytest.approx(exact.below_precision, abs=1e-12)
    assert counted.rms == pytest.approx(exact.rms)
    reach = np.abs(np.clip(numbers.astype(np.float64), *type.limits)).max()
    assert exact.maximum_error <= counted.maximum_error <= exact.maximum_error + float(type.steps_at(reach)) / 2


@given(NUMBERS, SHORT)
def test_the_share_beyond_range_is_exact_above_and_within_a_bin_below(numbers: Array, type: FixedPointType) -> None:
    positive, negative = np.abs(numbers), -np.abs(numbers)
    exact, counted = both(positive, type)
    assert counted.beyond_range == pytest.approx(exact.beyond_range, abs=1e-12)
    exact, counted = both(negative, type)
    limit = type.limits[0]
    near = float(np.mean(np.abs(negative / limit - 1) < 2**-7))
    assert abs(counted.beyond_range - exact.beyond_range) <= near + 1e-12


def test_where_nothing_saturates_no_share_is_said_to() -> None:
    """-128.4 rounds into int8, though it shares its bin with numbers that do not."""
    exact, counted = both(np.array([-128.4, -128.2, 3.0], np.float32), FixedPointType(8, 0))
    assert exact.beyond_range == counted.beyond_range == 0


TYPES = [*(FixedPointType(w, f) for w, f in ((4, 1), (8, 3), (8, 6), (8, 12), (16, 8), (16, 11), (24, 18))), HALF, BFLOAT16]


@pytest.mark.parametrize("type", TYPES, ids=lambda t: t.name)
@pytest.mark.parametrize("kind", ["standard_normal", "standard_exponential", "laplace"])
def test_the_error_of_smooth_distributions_is_found_from_counts(type: NumberType, kind: str) -> None:
    numbers = getattr(np.random.default_rng(5), kind)(size=100_000).astype(np.float32)
    exact, counted = both(numbers, type)
    assert counted.rms_error == pytest.approx(exact.rms_error, rel=0.02)
    assert counted.snr_db == pytest.approx(exact.snr_db, abs=0.2)
    assert counted.beyond_range == pytest.approx(exact.beyond_range, abs=1e-4)


def test_numbers_at_their_ends_are_known_exactly() -> None:
    """As behind a Clip: half of the numbers are 0, half are 6, and both are held exactly."""
    for fit in both(np.array([0.0, 6.0] * 50, np.float32), FixedPointType(8, 5, signed=False)):
        assert (fit.rms_error, fit.below_precision, fit.beyond_range, fit.snr_db) == (0, 0, 0, inf)


@given(arrays(np.int16, st.integers(1, 40), elements=st.integers(-255, 255)), st.integers(-3, 3), ANY)
def test_numbers_of_eight_bits_as_of_pixels_are_known_exactly(pixels: Array, power: int, type: NumberType) -> None:
    exact, counted = both(np.ldexp(pixels, power).astype(np.float32), type)
    for figure in ("below_precision", "beyond_range", "rms_error", "maximum_error"):
        assert getattr(counted, figure) == pytest.approx(getattr(exact, figure), abs=1e-12)


def test_zeros_are_nothing_to_lose() -> None:
    for fit in both(np.zeros(7, np.float32), FixedPointType(8, 7)):
        assert (fit.rms_error, fit.maximum_error, fit.relative_error, fit.below_precision) == (0, 0, 0, 0)


def test_infinite_numbers_are_left_out_and_parts_are_added_up() -> None:
    numbers = np.append(np.random.default_rng(0).standard_normal(CHUNK + 5), [-inf, inf])
    held, whole = Held(numbers), numbers[:-2]
    assert (held.count, held.minimum, held.maximum) == (whole.size, whole.min(), whole.max())
    fit, found = held.measure(FixedPointType(6, 4)), fixed_point(whole, 6, 4)
    assert (fit.below_precision, fit.beyond_range, fit.maximum_error) == (found.below_precision, found.beyond_range, found.maximum_error)
    assert fit.rms_error == pytest.approx(found.rms_error)


def test_a_relative_error_of_a_hundredth_is_forty_decibels() -> None:
    fit = Fit(FixedPointType(8, 0), 0.0, 0.0, rms_error=0.02, maximum_error=0.1, rms=2.0)
    assert fit.relative_error == 0.01
    assert fit.snr_db == pytest.approx(40.0)
    assert fit.to_dict()["type"] == "int8 * 2^0"
