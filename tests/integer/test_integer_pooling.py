"""Pools equal loops over what each window sees."""

from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from integer_reference import Array, output_sizes, windows

from bitsmith.errors import LoweringError
from bitsmith.integer.codes import CodeRange
from bitsmith.integer.instructions import FIXED_POINT, FLOAT32, SHIFT, Arithmetic, AveragePool, MaxPool, Mean
from bitsmith.integer.windows import Window
from bitsmith.numerics.encoding import Encoding
from bitsmith.numerics.formats import Integer

INT8 = Integer(8)
SOURCE = Encoding(INT8, np.float32(0.37), np.int32(-11))
TARGET = CodeRange(5, -128, 127, INT8.storage)
ARITHMETICS = pytest.mark.parametrize("arithmetic", [FLOAT32, FIXED_POINT, SHIFT], ids=lambda a: a.name)


@st.composite
def pools(draw: st.DrawFn) -> tuple[Window, Array]:
    space = draw(st.integers(1, 3))

    def sizes(low: int, high: int) -> tuple[int, ...]:
        return tuple(draw(st.lists(st.integers(low, high), min_size=space, max_size=space)))

    kernel = sizes(1, 3)
    pads = tuple((draw(st.integers(0, k - 1)), draw(st.integers(0, k - 1))) for k in kernel)
    window = Window.of(kernel, strides=sizes(1, 3), dilations=sizes(1, 2), pads=pads, ceil_mode=draw(st.booleans()))
    spatial = sizes(1, 6)
    assume(min(output_sizes(window, spatial)) > 0)
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    codes = random.integers(-128, 128, (draw(st.integers(0, 2)), 2, *spatial)).astype(np.int8)
    assume(all(seen for _, seen in windows(codes, window)))
    return window, codes


def by_windows(window: Window, codes: Array, reduce: Any) -> Array:
    found = np.zeros((*codes.shape[:2], *output_sizes(window, codes.shape[2:])), np.int8)
    for output, seen in windows(codes, window):
        found[(slice(None), slice(None), *output)] = reduce(np.stack(seen))
    return found


@settings(deadline=None, max_examples=200)
@given(pools())
def test_max_pool(case: tuple[Window, Array]) -> None:
    window, codes = case
    np.testing.assert_array_equal(MaxPool(("x",), "y", window).run(codes), by_windows(window, codes, lambda seen: seen.max(0)))


def test_padding_never_wins_a_max_pool() -> None:
    codes = np.full((1, 1, 2, 2), -128, np.int8)
    assert (MaxPool(("x",), "y", Window.of((2, 2), pads=((1, 1), (1, 1)))).run(codes) == -128).all()


@ARITHMETICS
@settings(deadline=None, max_examples=100)
@given(case=pools(), include_pad=st.booleans())
def test_average_pool(case: tuple[Window, Array], include_pad: bool, arithmetic: Arithmetic) -> None:
    """Within a rounding of the real average."""
    window, codes = case
    average = arithmetic.average.of(SOURCE, int(np.prod(window.kernel)), np.float32(0.11), TARGET)
    found = AveragePool(("x",), "y", window, average, include_pad).run(codes)
    assert found.dtype == np.int8
    counts = window.counts(codes.shape[2:], include_pad=include_pad)
    for output, seen in windows(codes, window):
        steps = sum(s.astype(np.int64) + 11 for s in seen) / counts[output] * 0.37 / 0.11 + TARGET.zero_point
        assert (np.abs(found[(slice(None), slice(None), *output)] - np.clip(steps, -128, 127)) <= 0.5001).all()


def test_an_average_includes_the_zeros_of_the_padding_only_when_asked() -> None:
    average = FIXED_POINT.average.of(Encoding(INT8, np.float32(1), np.int32(0)), 4, np.float32(1), CodeRange(0, -128, 127, INT8.storage))
    window, codes = Window.of((2, 2), pads=((1, 0), (1, 0))), np.full((1, 1, 2, 2), 40, np.int8)
    assert AveragePool(("x",), "y", window, average).run(codes)[0, 0].tolist() == [[40, 40], [40, 40]]
    assert AveragePool(("x",), "y", window, average, include_pad=True).run(codes)[0, 0].tolist() == [[10, 20], [20, 40]]


@ARITHMETICS
@pytest.mark.parametrize("axes", [(2, 3), (1,), (1, 2, 3)])
@pytest.mark.parametrize("keep", [True, False])
def test_mean(axes: tuple[int, ...], keep: bool, arithmetic: Arithmetic) -> None:
    codes = np.random.default_rng(0).integers(-128, 128, (3, 4, 5, 6)).astype(np.int8)
    count = int(np.prod([codes.shape[a] for a in axes]))
    requantize = arithmetic.requantize.of(np.float32(0.7 / count), TARGET)
    found = Mean(("x",), "y", CodeRange.of(SOURCE), axes, requantize, keep).run(codes)
    steps = (codes.astype(int) + 11).sum(axes, keepdims=keep)
    np.testing.assert_array_equal(found, requantize.apply(steps))
    assert np.abs(found - (steps * 0.7 / count + TARGET.zero_point)).max() <= 0.5001


@pytest.mark.parametrize("axes", [(0,), (0, 2), (-1,), ()])
def test_a_mean_over_the_batch_is_refused(axes: tuple[int, ...]) -> None:
    with pytest.raises(LoweringError, match="'y'"):
        Mean(("x",), "y", CodeRange.of(SOURCE), axes, FLOAT32.requantize.of(np.float32(1), TARGET))
