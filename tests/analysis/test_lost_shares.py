"""Shares and bits from counts equal those from all numbers."""

import networks
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from bitsmith.analysis.lost_shares import (
    MOST_PARTS,
    distribution_of_array,
    distribution_of_counted,
    lost_of_array,
    lost_of_counted,
    parts_of,
    significant_bits,
)
from bitsmith.calibration.statistics import Statistics
from bitsmith.numerics import Blocks, Encoding, Integer
from bitsmith.numerics.encoding import spanning

Array = networks.Array
NUMBERS = arrays(np.float32, st.integers(1, 60), elements=st.floats(-100, 100, width=32, allow_subnormal=False))
UINT8, INT8, INT4 = Integer(8, signed=False), Integer(8), Integer(4)


def counted(numbers: Array) -> Statistics:
    found = Statistics()
    found.observe(numbers[None])
    return found


@given(NUMBERS)
def test_bits_are_those_of_frexp(numbers: Array) -> None:
    found = significant_bits(counted(numbers))
    exponents = np.frexp(numbers.astype(np.float64))[1]
    expected = {int(e): (int(((exponents == e) & (numbers > 0)).sum()), int(((exponents == e) & (numbers < 0)).sum()))
                for e in np.unique(exponents[numbers != 0])}
    assert {e: (a, b) for e, a, b in zip(found.exponents, found.positive, found.negative, strict=True)} == expected
    assert found.zeros == (numbers == 0).sum()
    assert found.total == numbers.size


@pytest.mark.parametrize("format", [UINT8, INT8, INT4], ids=lambda f: f.name)
@pytest.mark.parametrize("reach", [1.0, 2.5, 6.0])
def test_lost_shares_are_those_of_all_numbers(format: Integer, reach: float) -> None:
    numbers = np.random.default_rng(1).normal(0, 1, 40_000).astype(np.float32)
    numbers[::7] = 0
    encoding = spanning(-reach / 2, reach, format)
    step, low, high = float(encoding.scale), float(encoding.lowest), float(encoding.highest)
    clipped, underflow = lost_of_counted(counted(numbers), encoding)
    beyond = (numbers < low - step / 2) | (numbers > high + step / 2)
    vanished = (numbers != 0) & (np.abs(numbers) < step / 2)
    assert clipped == pytest.approx(beyond.mean(), abs=0.002)
    assert underflow == pytest.approx(vanished.mean(), abs=0.002)
    exactly = lost_of_array(numbers, encoding)
    np.testing.assert_array_equal(exactly[0], beyond)
    assert exactly[1].mean() == pytest.approx(vanished.mean(), abs=1e-4)       # ties go to the even code


def test_nothing_is_lost_of_what_codes_say() -> None:
    encoding = Encoding(UINT8, np.float32(0.5), np.int32(3))
    numbers = encoding.dequantize(np.arange(256).astype(np.uint8))
    assert lost_of_counted(counted(numbers), encoding) == (0, 0)
    assert not any(lost.any() for lost in lost_of_array(numbers, encoding))


def test_each_block_loses_by_its_own_scale() -> None:
    weights = np.float32([[0.2, 100.0], [0.2, 1.0]])
    encoding = Encoding(INT8, np.float32([[1.0], [0.01]]), np.int32(0), Blocks.channels(0))
    clipped, underflow = lost_of_array(weights, encoding)
    assert underflow.tolist() == [[True, False], [False, False]]
    assert not clipped.any()


def test_wide_bias_codes_are_not_taken_for_clipped() -> None:
    bias = np.float32([1.0, -0.3, 0.7])
    encoding = Encoding(Integer(32), np.float32(1e-9), np.int32(0))
    assert not any(lost.any() for lost in lost_of_array(bias, encoding))


@pytest.mark.parametrize("format", [UINT8, INT8, INT4, Integer(2), Integer(16)], ids=lambda f: f.name)
def test_every_part_holds_equally_many_codes(format: Integer) -> None:
    encoding = spanning(-1.0, 3.0, format)
    edges = parts_of(-1.0, 3.0, encoding)
    codes = np.arange(format.lowest, format.highest + 1)
    held = np.histogram((codes - int(encoding.zero_point)) * float(encoding.scale), edges)[0]
    assert len(edges) <= 2 * MOST_PARTS + 1
    assert set(held[:-1].tolist()) <= {0, 1} or len(set(held[:-1].tolist())) == 1
    assert held.sum() == len(codes)


@given(NUMBERS)
def test_shares_of_a_distribution_are_all(numbers: Array) -> None:
    encoding = spanning(-1.0, 2.0, UINT8)
    codes = np.bincount(encoding.quantize(numbers), minlength=256)
    for found in (distribution_of_counted(counted(numbers), encoding, codes), distribution_of_array(numbers, encoding)):
        assert sum(found.reals) == pytest.approx(1)
        assert sum(found.quantized or ()) == pytest.approx(1)
        assert min(found.reals) >= 0


def test_a_distribution_from_counts_is_that_of_the_numbers() -> None:
    numbers = np.random.default_rng(2).normal(0, 1, 100_000).astype(np.float32)
    encoding = spanning(-3, 3, INT8)
    exact, near = distribution_of_array(numbers, encoding), distribution_of_counted(counted(numbers), encoding, None)
    assert (near.low, near.high, near.quantized) == (exact.low, exact.high, None)
    np.testing.assert_allclose(near.reals, exact.reals, atol=0.003)


def test_one_number_has_a_distribution() -> None:
    assert distribution_of_counted(counted(np.float32([5.0])), None, None).reals.count(1.0) == 1
