"""Statistics per channel are those of each channel's own numbers, however they were split; and they are found along the right axis."""

from functools import reduce

import networks
import numpy as np
import onnx_ir as ir
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from bitsmith.calibration import collect
from bitsmith.calibration.channels import Channels
from bitsmith.calibration.collection import Collection
from bitsmith.calibration.statistics import Statistics
from bitsmith.errors import StatisticsError
from bitsmith.loading.from_onnx import load
from bitsmith.numerics.formats import Array
from bitsmith.operators.channel_axes import channel_axes
from bitsmith.running.session import Session

NUMBERS = arrays(np.float32, (6, 3, 4), elements=st.floats(width=32))


def observed(axis: int, *batches: Array) -> Channels:
    found = Channels.empty(axis, batches[0].shape[axis])
    for batch in batches:
        found.observe(batch)
    return found


def assert_same(a: Channels, b: Channels) -> None:
    assert (a.axis, len(a)) == (b.axis, len(b))
    for one, other in zip(a, b, strict=True):
        assert all(x.tobytes() == y.tobytes() for x, y in zip(one.record, other.record, strict=True))


@given(NUMBERS, st.sampled_from([1, 2]))
def test_each_channel_is_counted_as_if_it_were_alone(numbers: Array, axis: int) -> None:
    found = observed(axis, numbers)
    for index, part in enumerate(found):
        alone = Statistics()
        alone.observe(numbers.take(index, axis))
        assert all(x.tobytes() == y.tobytes() for x, y in zip(part.record, alone.record, strict=True))


@given(NUMBERS, st.permutations(range(6)), st.integers(1, 5))
def test_splitting_and_merging_leave_no_trace(numbers: Array, order: list[int], cut: int) -> None:
    whole, parts = observed(1, numbers), np.split(numbers[order], [cut])
    assert_same(whole, observed(1, *parts))
    assert_same(whole, reduce(Channels.merge, (observed(1, part) for part in parts)))


def test_it_reads_like_a_sequence() -> None:
    found = observed(1, np.arange(6.0).reshape(2, 3))
    assert [part.maximum for part in found] == [3, 4, 5]
    assert (found[-1].mean, len(found[1:]), len(found)) == (3.5, 2, 3)


def test_other_channels_are_refused() -> None:
    with pytest.raises(StatisticsError, match="'x' should have 3 channels along axis 1"):
        Channels.empty(1, 3).observe(np.zeros((2, 4)), "x")
    with pytest.raises(StatisticsError, match="3 channels along axis 1 in one part, 3 along axis 2 in another"):
        Channels.empty(1, 3).merge(Channels.empty(2, 3))
    only = {"x": Statistics()}
    with pytest.raises(StatisticsError, match="statistics per channel of 'x'"):
        Collection(only, channels={"x": Channels.empty(1, 3)}).merge(Collection(only))


@pytest.mark.parametrize("name", networks.NETWORKS)
@pytest.mark.parametrize("workers", [1, 3])
def test_leading_ones_are_those_of_frexp_channel_by_channel(name: str, workers: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Brute force: every number of every sample."""
    monkeypatch.setattr(collect, "processor_count", lambda: workers)
    model = networks.NETWORKS[name]()
    network, data = load(model), networks.feeds(model, 5)
    axes = channel_axes(network.graph)
    batches = [{key: array[i:i + 2] for key, array in data.items()} for i in range(0, 5, 2)]
    found = collect.calibrate(network, batches, channels=axes)
    assert set(found.channels) == set(axes)
    assert axes
    session = Session(network, list(axes), threads=1)
    parts = [session.run(batch) for batch in batches]
    numbers = {name: np.concatenate([part[name] for part in parts]) for name in axes}
    for value, (axis, _) in axes.items():
        for channel, part in zip(np.moveaxis(numbers[value], axis, 0), found.channels[value], strict=True):
            exponents, counts = np.unique(np.frexp(channel[channel != 0])[1], return_counts=True)
            assert [x.tolist() for x in part.significant_bits()] == [exponents.tolist(), counts.tolist()], value
            assert part.zeros == (channel == 0).sum()
            assert (part.minimum, part.maximum) == (channel.min(), channel.max())
            assert part.mean == pytest.approx(channel.mean(dtype=np.float64), abs=1e-6)


AXES = {
    "conv_bn_relu": {"input": (1, 3), "conv1_out": (1, 6)},
    "mlp": {"fc1_out": (1, 16)},
    "nhwc": {"input:0": (3, 3), "conv1_out": (1, 6), "scaled:0": (3, 6), "flat": (1, 6)},
    "one_dimensional": {"input": (1, 2)},
    "attention": {"input": (2, 8), "block_out": (2, 8)},
}


@pytest.mark.parametrize("name", AXES)
def test_operators_say_where_channels_are(name: str) -> None:
    found = channel_axes(load(networks.NETWORKS[name]()).graph)
    for value, expected in AXES[name].items():
        assert found[value] == expected


def test_what_follows_keeps_its_channels() -> None:
    graph = load(networks.one_dimensional()).graph
    found = channel_axes(graph)
    for node in graph:
        if node.op_type == "Relu":
            assert found[node.outputs[0].name or ""].axis == 1
    graph = load(networks.nhwc()).graph
    found = channel_axes(graph)
    moved = [node for node in graph if node.op_type == "Transpose"]
    assert moved
    for node in moved:
        assert isinstance(node.inputs[0], ir.Value)
        before, after = found.get(node.inputs[0].name or ""), found.get(node.outputs[0].name or "")
        assert before is None or after is None or before.channels == after.channels
