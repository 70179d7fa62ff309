"""Moves equal numpy's own indexing, and refuse to move the batch."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitsmith.errors import DataError, LoweringError
from bitsmith.integer.instructions import Concatenate, Constant, Gather, Reshape, Take, Transpose
from bitsmith.integer.movement import FILL, as_slice

CODES = np.arange(2 * 4 * 5 * 6).reshape(2, 4, 5, 6).astype(np.uint8)


def places(length: int) -> st.SearchStrategy[list[int]]:
    return st.lists(st.integers(FILL, length - 1), min_size=1, max_size=9)


@given(places(4), places(6))
def test_take_picks_element_by_element(channels: list[int], columns: list[int]) -> None:
    found = Take(("x",), "y", {1: np.array(channels), 3: np.array(columns)}, filler=250).run(CODES)
    for place in np.ndindex(found.shape):
        n, c, h, w = place
        outside = FILL in (channels[c], columns[w])
        assert found[place] == (250 if outside else CODES[n, channels[c], h, columns[w]])


@given(st.lists(st.integers(0, 20), max_size=6))
def test_indices_that_rise_evenly_become_a_slice(indices: list[int]) -> None:
    array = np.arange(30)
    assert array[as_slice(np.array(indices, np.int64))].tolist() == indices


@pytest.mark.parametrize(("indices", "expected"), [([3], slice(3, 4, 1)), ([0, 1, 2], slice(0, 3, 1)), ([1, 4, 7], slice(1, 8, 3))])
def test_slices_need_no_copy(indices: list[int], expected: slice) -> None:
    assert as_slice(np.array(indices)) == expected


def test_nothing_but_filler() -> None:
    assert (Take(("x",), "y", {2: np.array([FILL, FILL])}, filler=7).run(CODES) == 7).all()


def test_rows_of_a_table() -> None:
    table = np.arange(12).reshape(4, 3).astype(np.int8)
    gather = Gather(("tokens",), "y", table)
    assert gather.run(np.array([[1, -1]])).tolist() == [[[3, 4, 5], [9, 10, 11]]]
    assert gather.run(np.zeros((0, 2), np.int64)).shape == (0, 2, 3)
    for tokens in ([[4]], [[-5]]):
        with pytest.raises(DataError, match="'tokens' asks for rows"):
            gather.run(np.array(tokens))


def test_concatenation_repeats_what_is_the_same_for_every_sample() -> None:
    found = Concatenate(("a", "b"), "y", 1).run(CODES, CODES[:1, :1] * 0)
    assert found.shape == (2, 5, 5, 6)
    np.testing.assert_array_equal(found[:, :4], CODES)
    assert (found[:, 4] == 0).all()


def test_reshape_keeps_the_batch() -> None:
    np.testing.assert_array_equal(Reshape(("x",), "y", (20, -1)).run(CODES), CODES.reshape(2, 20, 6))
    assert Reshape(("x",), "y", (-1,)).run(CODES[:0]).shape == (0, 120)
    assert Reshape(("x",), "y", (6, 20)).run(CODES).shape == (2, 6, 20)


def test_transposition() -> None:
    np.testing.assert_array_equal(Transpose(("x",), "y", (0, 2, 3, 1)).run(CODES), CODES.transpose(0, 2, 3, 1))


def test_constants_are_there_from_the_start() -> None:
    constant = Constant("y", CODES[:1])
    assert constant.inputs == ()
    np.testing.assert_array_equal(constant.run(), CODES[:1])


@pytest.mark.parametrize("make", [
    lambda: Transpose(("x",), "y", (1, 0)),
    lambda: Take(("x",), "y", {0: np.array([1])}),
    lambda: Take(("x",), "y", {-1: np.array([1])}),
    lambda: Concatenate(("a", "b"), "y", 0),
], ids=["transpose", "take", "take from the end", "concatenate"])
def test_moving_the_batch_is_refused(make: object) -> None:
    with pytest.raises(LoweringError, match="'y'"):
        make()  # type: ignore[operator]
