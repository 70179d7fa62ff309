"""Data that do not fit are refused before anything runs; casts change no number but by rounding."""

import networks
import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper

from bitsmith.errors import DataError, LoadError
from bitsmith.numerics.formats import Array
from bitsmith.running.feeds import Feed, fit_batch, fixed_samples, read_feeds, sample_count, split

IMAGE = Feed("image", np.dtype(np.float32), (None, 3, 8, 6))
FLOATS = Feed("x", np.dtype(np.float32), None)
IDS = Feed("ids", np.dtype(np.int32), None)


def test_a_network_says_what_it_eats() -> None:
    feeds = read_feeds(networks.two_in_two_out(batch=4).graph)
    assert feeds == (Feed("left", np.dtype(np.float32), (4, 3, 6, 6)), Feed("right", np.dtype(np.float32), (4, 5)))
    assert read_feeds(networks.tokens().graph) == (Feed("ids", np.dtype(np.int64), (None, 6)),)


@pytest.mark.parametrize(("dims", "read"), [(None, None), ([], ()), (["N", 0, -1, 3], (None, None, None, 3))])
def test_sizes_that_are_not_said(dims: list[int | str] | None, read: tuple[int | None, ...] | None) -> None:
    graph = onnx.GraphProto(input=[helper.make_tensor_value_info("x", TensorProto.FLOAT, dims)])
    assert read_feeds(graph) == (Feed("x", np.dtype(np.float32), read),)


@pytest.mark.parametrize("value", [
    helper.make_tensor_value_info("text", TensorProto.STRING, [1]),
    helper.make_tensor_sequence_value_info("list", TensorProto.FLOAT, [1]),
    onnx.ValueInfoProto(name="untyped"),
])
def test_inputs_that_are_no_numbers_are_refused(value: onnx.ValueInfoProto) -> None:
    with pytest.raises(LoadError, match=f"Input '{value.name}' is not an array of numbers"):
        read_feeds(onnx.GraphProto(input=[value]))


@pytest.mark.parametrize(("feed", "array"), [
    (FLOATS, np.float64([[1.1, -0.0, 1e-60, np.inf, np.nan]])),
    (FLOATS, np.float16([2.5])),
    (FLOATS, np.uint8([0, 255])),
    (FLOATS, np.int16([-32768])),
    (FLOATS, np.array([True, False])),
    (FLOATS, np.int64([0, 255, -(2**24)])),
    (FLOATS, np.array([1.5], ">f4")),
    (IDS, np.int64([0, -5, 2**31 - 1])),
    (IDS, np.uint32([7])),
    (Feed("x", np.dtype(np.int64), None), np.int32([-7])),
    (Feed("x", np.dtype(np.float16), None), np.float32([0.1])),
])
def test_safe_casts_are_made(feed: Feed, array: Array) -> None:
    fitted = feed.fit(array)
    assert fitted.dtype == feed.dtype
    assert np.array_equal(fitted, array.astype(feed.dtype), equal_nan=feed.dtype.kind == "f")


@pytest.mark.parametrize(("feed", "array", "said"), [
    (FLOATS, np.float64([1.0, 1e300]), "with 1e+300, which that cannot hold"),
    (FLOATS, np.int64([2**24 + 1]), "with 16777217, which that cannot hold"),
    (FLOATS, np.array(["1"]), "got <U1; convert the data"),
    (FLOATS, np.array([1j]), "got complex128"),
    (FLOATS, np.array([object()]), "got object"),
    (IDS, np.float32([1.0]), "'ids' needs int32 and got float32; convert the data"),
    (IDS, np.int64([2**31]), "with 2147483648"),
    (IDS, np.uint32([2**32 - 1]), "with 4294967295"),
    (Feed("x", np.dtype(np.uint8), None), np.int8([-1]), "with -1"),
    (Feed("x", np.dtype(np.bool_), None), np.uint8([1]), "needs bool and got uint8"),
])
def test_other_casts_are_refused(feed: Feed, array: Array, said: str) -> None:
    with pytest.raises(DataError) as problem:
        feed.fit(array)
    assert said in str(problem.value)


@given(st.integers(-(2**62), 2**62))
def test_whole_numbers_stay_what_they_are_or_are_refused(number: int) -> None:
    try:
        fitted = FLOATS.fit(np.array([number]))
    except DataError:
        assert int(np.float32(number)) != number
    else:
        assert int(fitted[0]) == number


@pytest.mark.parametrize("shape", [(1, 3, 8, 6), (5, 3, 8, 6)])
def test_any_number_of_samples_fits(shape: tuple[int, ...]) -> None:
    assert IMAGE.fit(np.zeros(shape, np.float32)).shape == shape


@pytest.mark.parametrize(("shape", "said"), [
    ((3, 8, 6), "needs the shape [any, 3, 8, 6] and got [3, 8, 6]; the first axis is the samples, add it with array[None]"),
    ((2, 8, 6, 3), "got [2, 8, 6, 3]; the channels must come second, move them with array.transpose(0, 3, 1, 2)"),
    ((2, 3, 8, 7), "got [2, 3, 8, 7]; the first axis is the samples."),
    ((), "got []"),
])
def test_wrong_shapes_are_told(shape: tuple[int, ...], said: str) -> None:
    with pytest.raises(DataError) as problem:
        IMAGE.fit(np.zeros(shape, np.float32))
    assert said in str(problem.value)


@pytest.mark.parametrize(("batch", "said"), [
    ({}, "Input 'x' is missing from the data, which have none; the network needs 'x', 'ids'"),
    ({"x": np.ones(2), "y": np.ones(2)}, "Input 'ids' is missing from the data, which have 'x', 'y'"),
    ({"x": np.ones(2), "ids": np.ones(2, int), "y": np.ones(2)}, "The data have 'y' and the network has no such input"),
    ({"x": np.ones((0, 2)), "ids": np.ones(0, int)}, "Input 'x' got the shape [0, 2], which holds no number"),
])
def test_missing_unknown_and_empty_inputs_are_told(batch: dict[str, Array], said: str) -> None:
    with pytest.raises(DataError) as problem:
        fit_batch([FLOATS, IDS], batch)
    assert said in str(problem.value)


def feed(*dims: int | None) -> Feed:
    return Feed("x", np.dtype(np.float32), dims)


@pytest.mark.parametrize(("feeds", "fixed"), [
    ([feed(None, 3)], None), ([feed(1, 3)], 1), ([feed(4, 3), feed(4)], 4),
    ([feed(4, 3), feed(1, 3)], None), ([feed(4), feed()], None), ([], None),
])
def test_a_batch_is_fixed_where_all_inputs_say_so(feeds: list[Feed], fixed: int | None) -> None:
    assert fixed_samples(feeds) == fixed


@given(st.integers(1, 20), st.integers(1, 25))
def test_splitting_keeps_every_sample_in_order(samples: int, size: int) -> None:
    batch = {"a": np.arange(samples), "b": np.arange(2 * samples).reshape(samples, 2)}
    parts = list(split(batch, size))
    assert all(len(part["a"]) <= size for part in parts)
    assert all(np.shares_memory(part["a"], batch["a"]) for part in parts)
    for name, array in batch.items():
        assert np.array_equal(np.concatenate([part[name] for part in parts]), array)


def test_what_cannot_be_split_stays_whole() -> None:
    for batch in ({"a": np.ones(3), "b": np.ones(2)}, {"a": np.ones(3), "b": np.float32(1)}):
        assert sample_count(batch) is None
        assert list(split(batch, 1)) == [batch]
