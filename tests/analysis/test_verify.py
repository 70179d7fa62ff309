"""Differences are counted where they are."""

import numpy as np
import pytest

from bitsmith.analysis.verify import Ran, compare_engines
from bitsmith.errors import DataError


def ran(first: list[int], second: list[int], output: list[list[float]]) -> Ran:
    return Ran({"a": np.array([first], np.uint8), "b": np.array([second], np.uint8)}, {"out": np.array(output, np.float32)})


def test_differences_are_counted_by_value_and_the_first_is_named() -> None:
    found = compare_engines(
        [{"program": ran([0, 255], [1, 2], [[0, 1]]), "onnxruntime": ran([0, 255], [1, 5], [[1, 0]])}] * 2, ["a", "b"]
    )
    (pair,) = found.comparisons
    assert (pair.codes, pair.differing, pair.largest, pair.begins_at) == (8, 2, 3, "b")
    assert (pair.agreement, pair.output_error, found.samples, found.exact) == (0.0, 1.0, 2, False)


def test_codes_are_subtracted_without_wrapping() -> None:
    found = compare_engines([{"x": ran([0, 0], [0, 0], [[0]]), "y": ran([255, 0], [0, 0], [[0]])}], ["a", "b"])
    assert found.comparisons[0].largest == 255


def test_equal_engines_are_exact_whatever_the_simulation_does() -> None:
    same, other = ran([1, 2], [3, 4], [[1, 0]]), ran([1, 3], [3, 4], [[1, 0]])
    found = compare_engines([{"simulated": other, "program": same, "onnxruntime": same}], ["a", "b"])
    assert found.exact
    assert [c.differing for c in found.comparisons] == [1, 1, 0]


def test_places_that_differ_are_counted_and_are_no_distance() -> None:
    """Class 9 is not ten times as wrong as class 0."""
    one, other = ({"place": np.array(places, np.uint8)} for places in ([3, 1, 9], [3, 1, 0]))
    (pair,) = compare_engines([{"c": Ran({}, one), "onnxruntime": Ran({}, other)}], []).comparisons
    assert (pair.misplaced, pair.output_error, pair.agreement) == (1, 0.0, pytest.approx(2 / 3))
    found = compare_engines([{"program": Ran({}, one), "onnxruntime": Ran({}, other)}], [])
    assert not found.exact


def test_no_data_is_an_error() -> None:
    with pytest.raises(DataError, match="empty"):
        compare_engines([], ["a"])
