"""The estimators that look at a tensor's distribution: mean and deviation, ACIQ, divergence."""

from math import erfc, exp, pi, sqrt

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from test_least_loss import KINDS, NUMBERS, PLACINGS, counted, drawn, plain_loss

from bitsmith.calibration.loss import spread_numbers
from bitsmith.calibration.ranges import Placing, Range, parse_estimator
from bitsmith.calibration.ranges.aciq import alpha, fitting, shape_of
from bitsmith.calibration.ranges.kl import cumulative, divergences
from bitsmith.numerics.formats import Array, Integer, parse_format

UINT8, UINT4, INT8 = Placing(Integer(8, signed=False)), Placing(Integer(4, signed=False)), Placing(Integer(8), symmetric=True)
# Banner 2018 and 2019, and the tables of their code: clipping values for 2 to 8 bits.
LAPLACE = {2: 2.83, 3: 3.89, 4: 5.03, 5: 6.2, 6: 7.41, 7: 8.64, 8: 9.89}
GAUSS = {2: 1.71, 3: 2.15, 4: 2.55, 5: 2.93, 6: 3.28, 7: 3.61, 8: 3.92}
DISTRIBUTIONS = ["mean_std", "aciq", "aciq:gauss", "aciq:laplace", "kl"]


@pytest.mark.parametrize("bits", LAPLACE)
def test_the_published_clipping_values(bits: int) -> None:
    assert alpha("laplace", 2**bits) == pytest.approx(LAPLACE[bits], abs=0.011)
    assert alpha("gauss", 2**bits) == pytest.approx(GAUSS[bits], abs=0.011)


def plain_error(distribution: str, a: float, codes: int) -> float:
    """Clipped, integrated number by number over x > a, and rounded: what `alpha` makes least."""
    x = a + (np.arange(40_000) + 0.5) * 1e-3
    density = np.exp(-x) / 2 if distribution == "laplace" else np.exp(-x * x / 2) / sqrt(2 * pi)
    return float(2 * ((x - a) ** 2 * density).sum() * 1e-3 + a * a / (3 * codes**2))


@pytest.mark.parametrize("codes", [4, 15, 16, 255, 512])
@pytest.mark.parametrize("distribution", ["gauss", "laplace"])
def test_alpha_has_the_least_error(distribution: str, codes: int) -> None:
    a = alpha(distribution, codes)
    here = plain_error(distribution, a, codes)
    assert here <= min(plain_error(distribution, a * factor, codes) for factor in (0.9, 0.98, 1.02, 1.1))


@pytest.mark.parametrize(("kind", "distribution"), [("gauss", "gauss"), ("laplace", "laplace"), ("relu", "gauss"), ("negative", "laplace")])
def test_aciq_chooses_the_distribution_that_fits(kind: str, distribution: str) -> None:
    spread = spread_numbers(counted(drawn(kind)))
    assert fitting(spread, shape_of(spread, False)) == distribution
    assert parse_estimator("aciq")(counted(drawn(kind)), UINT4) == parse_estimator(f"aciq:{distribution}")(counted(drawn(kind)), UINT4)


def test_aciq_of_a_gaussian_is_so_many_deviations() -> None:
    numbers = drawn("gauss", 50_000) * np.float32(3)
    low, high = parse_estimator("aciq")(counted(numbers), UINT4)
    assert [-low, high] == pytest.approx([2.55 * 3] * 2, rel=0.02)


def test_after_a_relu_half_a_distribution_has_all_codes_and_zeros_do_not_count() -> None:
    numbers = drawn("relu", 50_000)
    for placing, a in ((UINT4, alpha("gauss", 32)), (Placing(Integer(4), symmetric=True), alpha("gauss", 16))):
        for zeros in (0, 100_000):
            found = parse_estimator("aciq")(counted(np.append(numbers, np.zeros(zeros, np.float32))), placing)
            assert found == (0, pytest.approx(a, rel=0.03))


@pytest.mark.parametrize("kind", ["gauss", "laplace", "relu", "negative"])
@pytest.mark.parametrize("bits", [3, 4, 6])
def test_where_the_distribution_is_right_aciq_is_near_the_least_error(kind: str, bits: int) -> None:
    numbers, placing = drawn(kind, 20_000), Placing(Integer(bits, signed=False))
    lost = [plain_loss(numbers, parse_estimator(name)(counted(numbers), placing), placing, 2) for name in ("aciq", "mse")]
    assert lost[0] <= 1.15 * lost[1]


def test_mean_and_deviations() -> None:
    numbers = drawn("outlier")
    low, high = parse_estimator("mean_std:2")(counted(numbers), UINT8)
    assert [low, high] == pytest.approx([numbers.mean() - 2 * numbers.std(), numbers.mean() + 2 * numbers.std()], rel=1e-4)
    assert parse_estimator("mean_std:100")(counted(numbers), UINT8) == Range(float(numbers.min()), float(numbers.max()))


@settings(max_examples=50, deadline=None)
@given(NUMBERS, PLACINGS, st.sampled_from(DISTRIBUTIONS))
def test_a_range_is_ordered_and_within_what_was_seen(numbers: Array, placing: Placing, name: str) -> None:
    low, high = parse_estimator(name)(counted(numbers), placing)
    assert numbers.min() <= low <= high <= numbers.max()


@settings(max_examples=30, deadline=None)
@given(NUMBERS, PLACINGS, st.integers(-20, 20), st.sampled_from(DISTRIBUTIONS))
def test_powers_of_two_pass_through(numbers: Array, placing: Placing, exponent: int, name: str) -> None:
    estimate, times = parse_estimator(name), float(2.0**exponent)
    one, other = (estimate(counted(n), placing) for n in (numbers, numbers * np.float32(times)))
    assert other == pytest.approx((one.low * times, one.high * times), rel=1e-12)


@settings(max_examples=30, deadline=None)
@given(NUMBERS, st.sampled_from(DISTRIBUTIONS))
def test_mirrored_numbers_have_the_mirrored_range(numbers: Array, name: str) -> None:
    assume(name != "kl" or np.ptp(numbers) > 0)
    placing = Placing(parse_format("int8-restricted"), symmetric=True)
    low, high = parse_estimator(name)(counted(numbers), placing)
    mirrored = parse_estimator(name)(counted(-numbers), placing)
    assert mirrored == pytest.approx((-high, -low), rel=1e-9, abs=1e-9)


def plain_divergence(numbers: Array, threshold: float, levels: int, each: int) -> float:
    """As the slides say it: histogram, clipped numbers into the last cut, merged into levels, spread over what is not empty."""
    size = np.abs(numbers[numbers != 0])
    inside = np.histogram(size, np.linspace(0, threshold, levels * each + 1))[0].astype(float)
    reference = inside.copy()
    reference[-1] += (size > threshold).sum()
    merged = np.zeros_like(inside)
    for level in range(levels):
        part = slice(level * each, (level + 1) * each)
        filled = inside[part] > 0
        if filled.any():
            merged[part] = np.where(filled, inside[part].sum() / filled.sum(), 0)
    p, q = reference / reference.sum(), merged / merged.sum()
    kept = p > 0
    return float((p[kept] * np.log(p[kept] / np.maximum(q[kept], 1e-9))).sum())


@pytest.mark.parametrize("kind", ["gauss", "relu", "laplace", "outlier"])
def test_divergences_are_those_of_the_slides(kind: str) -> None:
    numbers = drawn(kind, 400_000)
    spread = spread_numbers(counted(numbers))
    found = divergences(np.array([0.2, 0.5, 0.9]) / spread.unit * 4, 8, *cumulative(spread.low, spread.high, spread.shares))
    expected = [plain_divergence(numbers, t * 4, 8, 16) for t in (0.2, 0.5, 0.9)]
    assert found == pytest.approx(expected, rel=0.03, abs=2e-3)


def test_an_outlier_does_not_blind_it_nor_do_zeros_pull_it_down() -> None:
    numbers = np.abs(drawn("laplace", 50_000))
    plainly = parse_estimator("kl")(counted(numbers), INT8).high
    worse = np.concatenate([numbers, np.zeros(500_000), [3000.0]]).astype(np.float32)
    assert parse_estimator("kl")(counted(worse), INT8).high < 2 * plainly


def test_with_many_codes_it_keeps_everything() -> None:
    numbers = drawn("laplace")
    assert parse_estimator("kl")(counted(numbers), Placing(Integer(16))) == Range(float(numbers.min()), float(numbers.max()))


@pytest.mark.parametrize("kind", KINDS)
def test_with_more_bits_aciq_clips_less(kind: str) -> None:
    statistics = counted(drawn(kind))
    widths = [np.ptp(parse_estimator("aciq:laplace")(statistics, Placing(Integer(bits, signed=False)))) for bits in (2, 4, 8)]
    assert widths == sorted(widths)


def test_the_share_beyond_is_that_of_the_error_function() -> None:
    assert 4 * (exp(-2) / sqrt(2 * pi) - 2 * erfc(2 / sqrt(2)) / 2) == pytest.approx(0.03396, abs=1e-5)
