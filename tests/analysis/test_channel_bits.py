"""What is lost, power of two by power of two and channel by channel, is what one counts over all numbers."""

import networks
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import bitsmith as bs
from bitsmith.analysis.describe_channels import MOST_ROWS, bits_of_channels, bits_of_slices
from bitsmith.analysis.describe_tensors import describe_tensors
from bitsmith.analysis.lost_by_power import lost_counts, lost_numbers
from bitsmith.analysis.lost_shares import lost_of_array, lost_of_counted, significant_bits
from bitsmith.calibration.channels import Channels
from bitsmith.calibration.statistics import Statistics
from bitsmith.numerics import Blocks, Encoding, Integer
from bitsmith.numerics.encoding import spanning
from bitsmith.report.rows import ChannelBits

Array = networks.Array
NUMBERS = arrays(np.float32, st.integers(1, 60), elements=st.floats(-100, 100, width=32, allow_subnormal=False))
UINT8, INT8, INT4 = Integer(8, signed=False), Integer(8), Integer(4)


def counted(numbers: Array) -> Statistics:
    found = Statistics()
    found.observe(numbers[None])
    return found


@given(NUMBERS, st.sampled_from([UINT8, INT8, INT4]))
def test_losses_are_those_of_each_number(numbers: Array, format: Integer) -> None:
    encoding = spanning(-1.0, 3.0, format)
    exponents = significant_bits(counted(numbers)).exponents
    found = lost_numbers(numbers, encoding, exponents)
    clipped, underflow = lost_of_array(numbers, encoding)
    powers = np.frexp(numbers.astype(np.float64))[1]
    for i, exponent in enumerate(exponents):
        here = (powers == exponent) & (numbers != 0)
        assert found.below[i] == (underflow & here).sum()
        assert found.beyond[i] == (clipped & here).sum()
        assert found.positive[i] == ((underflow | clipped) & here & (numbers > 0)).sum()
        assert found.negative[i] == ((underflow | clipped) & here & (numbers < 0)).sum()


@pytest.mark.parametrize("format", [UINT8, INT8, INT4], ids=lambda f: f.name)
@pytest.mark.parametrize("low", [0.0, -0.5])
def test_losses_from_counts_are_those_of_the_numbers(format: Integer, low: float) -> None:
    numbers = np.random.default_rng(1).normal(0, 1, 40_000).astype(np.float32)
    numbers[::7] = 0
    encoding, statistics = spanning(low, 2.0, format), counted(numbers)
    exponents = significant_bits(statistics).exponents
    near, exact = lost_counts(statistics, encoding, exponents), lost_numbers(numbers, encoding, exponents)
    for a, b in zip((near.below, near.beyond, near.positive, near.negative), (exact.below, exact.beyond, exact.positive, exact.negative),
                    strict=True):
        np.testing.assert_allclose(a, b, atol=40)
    clipped, underflow = lost_of_counted(statistics, encoding)
    assert sum(near.beyond) / statistics.count == pytest.approx(clipped, abs=1e-3)
    assert sum(near.below) / statistics.count == pytest.approx(underflow, abs=1e-3)


def test_negative_numbers_under_a_range_of_positive_ones_are_grey() -> None:
    numbers = np.float32([-1.0, -0.5, 0.5, 1.0])
    encoding = spanning(0.0, 2.0, UINT8)
    found = lost_counts(counted(numbers), encoding, (0, 1))
    assert (found.positive, found.negative, found.beyond) == ((0, 0), (1, 1), (1, 1))


@pytest.mark.parametrize("encoding", [
    None, Encoding(INT4, np.float32(0.1), np.int32(0)),
    Encoding(INT4, np.float32([[0.01], [0.1], [1.0], [0.3]]), np.int32(0), Blocks.channels(0)),
    Encoding(INT4, np.float32([[0.01, 1.0], [0.1, 0.3], [1.0, 0.1], [0.3, 0.3]]), np.int32(0), Blocks({0: 1, 1: 3})),
])  # fmt: skip
def test_each_channel_of_a_weight_loses_by_its_own_scales(encoding: Encoding | None) -> None:
    weights = np.random.default_rng(0).normal(0, 1, (4, 6)).astype(np.float32)
    found = bits_of_slices(weights, encoding, 0)
    assert (found.axis, found.channels, found.each, len(found.rows)) == (0, 4, 1, 4)
    masks = (np.zeros_like(weights, bool),) * 2 if encoding is None else lost_of_array(weights, encoding)
    for numbers, clipped, underflow, row in zip(weights, *masks, found.rows, strict=True):
        exponents = np.frexp(numbers)[1]
        assert row.exponents == tuple(np.unique(exponents).tolist())
        assert row.counts == tuple((exponents == e).sum() for e in row.exponents)
        assert row.beyond == tuple((clipped & (exponents == e)).sum() for e in row.exponents)
        assert row.below == tuple((underflow & (exponents == e)).sum() for e in row.exponents)


def test_many_channels_are_taken_together() -> None:
    weights = np.random.default_rng(0).normal(0, 1, (3 * MOST_ROWS - 1, 2)).astype(np.float32)
    found = bits_of_slices(weights, None, 0)
    assert (found.channels, found.each, len(found.rows)) == (3 * MOST_ROWS - 1, 3, MOST_ROWS)
    assert sum(sum(row.counts) for row in found.rows) == weights.size


def test_channels_of_activations_lose_by_the_scale_of_the_whole() -> None:
    numbers = np.random.default_rng(0).normal(0, [[[0.01], [1.0], [10.0]]], (5, 3, 50)).astype(np.float32)
    channels = Channels.empty(1, 3)
    channels.observe(numbers)
    found = bits_of_channels(channels, spanning(-3.0, 3.0, INT8))
    small, fine, large = ([sum(part) for part in (row.below, row.beyond)] for row in found.rows)
    assert small[0] > 100
    assert small[1] == 0
    assert fine[1] < 10
    assert large[1] > 150
    assert found.channels == 3


def test_a_tensor_shows_channels_where_they_were_counted() -> None:
    model = networks.conv_bn_relu()
    network, data = bs.load(model), networks.feeds(model, 4)
    statistics = bs.calibrate(network, data, per_channel=["residual"])
    plan = bs.make_plan(network, statistics, recipe=bs.recipes.int8().with_everything())
    found = {t.name: t for t in describe_tensors(network.graph, plan, statistics, {})}
    assert found["input"].channel_bits is None
    shown = found["residual"].channel_bits
    assert isinstance(shown, ChannelBits)
    assert sum(sum(row.counts) + row.zeros for row in shown.rows) == found["residual"].bits.total
    ranges = found["residual"].channels
    assert ranges is not None
    assert list(ranges.low) == [part.minimum for part in statistics.channels["residual"]]
    assert all(t.channel_bits is not None for t in found.values() if t.role == "weight")
