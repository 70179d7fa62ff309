"""ArgMax and TopK equal loops over places; ties go to the first or, where ArgMax is asked to, to the last."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitsmith.errors import LoweringError
from bitsmith.integer.instructions import ArgMax, Pick, TopK


@given(st.lists(st.integers(-3, 3), min_size=1, max_size=9), st.booleans())
def test_place_of_the_largest(codes: list[int], last: bool) -> None:
    places = [i for i, code in enumerate(codes) if code == max(codes)]
    found = ArgMax(("x",), "y", 1, last=last).run(np.asarray([codes, codes], np.int8))
    assert found.tolist() == [places[-1 if last else 0]] * 2


@given(st.lists(st.sampled_from([np.nan, -np.inf, -0.0, 0.0, 1.5, np.inf]), min_size=1, max_size=6), st.booleans())
def test_place_of_the_largest_number(numbers: list[float], last: bool) -> None:
    """What is no number loses against nothing and wins against nothing."""
    place = 0
    for i, number in enumerate(numbers):
        if number > numbers[place] or (last and number == numbers[place]):
            place = i
    assert ArgMax(("x",), "y", 1, last=last).run(np.asarray([numbers], np.float32)).tolist() == [place]


@pytest.mark.parametrize(("length", "kind"), [(256, np.uint8), (257, np.uint16), (2**16, np.uint16), (2**16 + 1, np.int32)])
def test_places_are_as_narrow_as_can_be(length: int, kind: type) -> None:
    codes = np.arange(length).reshape(1, 1, length).astype(np.int32)
    found = ArgMax(("x",), "y", 2, keep_axis=True).run(codes)
    assert (found.dtype, found.shape, int(found[0, 0, 0])) == (kind, (1, 1, 1), length - 1)


def test_samples_are_not_compared() -> None:
    with pytest.raises(LoweringError, match="'y' is an arg-max over axis 0"):
        ArgMax(("x",), "y", 0)


@given(st.lists(st.integers(-3, 3), min_size=1, max_size=9), st.data())
def test_places_and_values_of_the_largest(codes: list[int], data: st.DataObject) -> None:
    count = data.draw(st.integers(1, len(codes)))
    line = np.asarray([codes, codes[::-1]], np.int8)
    places = TopK(("x",), "y", 1, count).run(line)
    assert places[0].tolist() == sorted(range(len(codes)), key=lambda i: (-codes[i], i))[:count]
    assert places.dtype == np.uint8
    assert Pick(("x", "y"), "z", 1).run(line, places).tolist() == [sorted(codes, reverse=True)[:count]] * 2


@given(st.lists(st.sampled_from([np.nan, -np.inf, -0.0, 0.0, 1.5, np.inf]), min_size=1, max_size=6), st.data())
def test_largest_numbers_one_after_the_other(numbers: list[float], data: st.DataObject) -> None:
    """The first is that of ArgMax, whatever is no number."""
    count, kept = data.draw(st.integers(1, len(numbers))), list[int]()
    for place, number in enumerate(numbers):
        at = len(kept)
        while at and number > numbers[kept[at - 1]]:
            at -= 1
        kept = [*kept[:at], place, *kept[at:]][:count]
    line = np.asarray([numbers], np.float32)
    assert TopK(("x",), "y", 1, count).run(line)[0].tolist() == kept
    assert TopK(("x",), "y", 1, 1).run(line).tolist() == [ArgMax(("x",), "y", 1).run(line).tolist()]


def test_axes_before_and_behind() -> None:
    codes = np.random.default_rng(0).integers(-9, 9, (2, 3, 7, 4)).astype(np.int16)
    found = TopK(("x",), "y", 2, 3).run(codes)
    np.testing.assert_array_equal(found, np.argsort(-codes, 2, kind="stable")[:, :, :3])
    with pytest.raises(LoweringError, match="'y' is a top-k over axis 0"):
        TopK(("x",), "y", 0, 1)
