"""Convolution equals plain loops, whatever its shape, and never leaves the integers that floats hold exactly."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from integer_reference import Array, convolve, output_sizes

from bitsmith.errors import LoweringError
from bitsmith.integer import products
from bitsmith.integer.codes import CodeRange
from bitsmith.integer.instructions import Convolve
from bitsmith.integer.requantization import FixedPoint, FloatScale
from bitsmith.integer.windows import Window

STORAGES = [np.uint8, np.int8, np.int16]
ZERO = np.zeros((), np.int32)


def whole_range(storage: Any, zero: int) -> CodeRange:
    info = np.iinfo(storage)
    return CodeRange(zero, int(info.min), int(info.max), np.dtype(storage))


def extreme_codes(random: np.random.Generator, source: CodeRange, shape: tuple[int, ...]) -> Array:
    """Half of them at the ends of the range."""
    ends = random.choice([source.low, source.high, source.zero_point], shape)
    inner = random.integers(source.low, source.high + 1, shape)
    return np.where(random.integers(0, 2, shape) == 0, ends, inner).astype(source.storage)


@st.composite
def convolutions(draw: st.DrawFn) -> tuple[Convolve, Array]:
    """Any rank, groups, strides, dilations, padding or cropping, transposed or not, with extreme codes."""
    space = draw(st.integers(1, 3))

    def sizes(low: int, high: int) -> tuple[int, ...]:
        return tuple(draw(st.lists(st.integers(low, high), min_size=space, max_size=space)))

    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    groups, inner, outer, batch = (draw(st.integers(low, 3)) for low in (1, 1, 1, 0))
    pads = tuple(zip(sizes(-1, 2), sizes(-1, 2), strict=True))
    window = Window.of(sizes(1, 3), strides=sizes(1, 3), dilations=sizes(1, 2), pads=pads)
    steps, spatial = sizes(1, 2), sizes(1, 5)
    assume(min(output_sizes(window, [(size - 1) * step + 1 for size, step in zip(spatial, steps, strict=True)])) > 0)
    storage = draw(st.sampled_from(STORAGES))
    source = whole_range(storage, draw(st.integers(int(np.iinfo(storage).min), int(np.iinfo(storage).max))))
    weights = extreme_codes(random, whole_range(np.int8, 0), (groups * outer, inner, *window.kernel))
    weights_zero = random.integers(-128, 128, draw(st.sampled_from([(), (groups * outer,)]))).astype(np.int32)
    bias = draw(st.sampled_from([None, random.integers(-2**20, 2**20, groups * outer).astype(np.int32)]))
    codes = extreme_codes(random, source, (batch, groups * inner, *spatial))
    return Convolve(("x",), "y", source, weights, weights_zero, window, bias, groups, steps), codes


@settings(deadline=None, max_examples=300)
@given(convolutions())
def test_accumulators_are_those_of_plain_loops(case: tuple[Convolve, Array]) -> None:
    c, codes = case
    expected = convolve(codes, c.source.zero_point, c.weights, c.weights_zero_point, c.bias, c.window, c.groups, c.input_dilation)
    found = c.run(codes)
    assert found.dtype == np.int32
    np.testing.assert_array_equal(found, expected)
    assert (expected >= c.bounds.lowest.reshape(-1, *(1,) * len(c.window.kernel))).all()
    assert (expected <= c.bounds.highest.reshape(-1, *(1,) * len(c.window.kernel))).all()


@settings(deadline=None, max_examples=60)
@given(convolutions(), st.booleans())
def test_codes_are_the_requantized_accumulators(case: tuple[Convolve, Array], fixed: bool) -> None:
    c, codes = case
    target = CodeRange(7, 2, 250, np.dtype(np.uint8))
    multiplier = (np.arange(1, len(c.weights) + 1) / 3e4).astype(np.float32)
    requantize = (FixedPoint if fixed else FloatScale).of(multiplier, target)
    found = replace(c, requantize=requantize).run(codes)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, requantize.apply(c.run(codes), axis=1))


def dense(weights: Array, source: CodeRange, bias: Array | None = None) -> Convolve:
    return Convolve(("x",), "y", source, weights, ZERO, Window.of(weights.shape[2:]), bias)


@pytest.mark.parametrize(("terms", "kind"), [(517, np.float32), (518, np.float32), (519, np.float64)])
def test_single_precision_serves_up_to_24_bits_and_no_further(terms: int, kind: Any) -> None:
    """127 * 255 * terms just below and just above 2**24, at the worst codes, odd so that a lost bit shows."""
    source = whole_range(np.uint8, 0)
    weights = np.full((1, terms, 1, 1), 127, np.int8)
    weights[0, 0] = 126
    c = dense(weights, source)
    assert products.exact_type(c.bounds, None) == kind
    codes = np.full((1, terms, 1, 1), 255, np.uint8)
    assert c.run(codes).item() == 255 * (127 * terms - 1)


def test_the_bias_counts_towards_the_precision() -> None:
    source = whole_range(np.uint8, 0)
    bias = np.array([-2**30, 2**30 + 1], np.int32)
    c = dense(np.ones((2, 3, 1), np.int8), source, bias)
    assert products.exact_type(c.bounds, c.bias) == np.float64
    np.testing.assert_array_equal(c.run(np.full((1, 3, 1), 255, np.uint8))[0, :, 0], bias + 765)


def test_tiles_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    source = whole_range(np.uint8, 3)
    c = dense(random.integers(-128, 128, (5, 4, 3, 3)).astype(np.int8), source)
    codes = extreme_codes(random, source, (7, 4, 8, 9))
    whole = c.run(codes)
    monkeypatch.setattr(products, "TILE_BYTES", 1)
    np.testing.assert_array_equal(c.run(codes), whole)


def test_depthwise_and_dense_agree_on_a_diagonal() -> None:
    random = np.random.default_rng(0)
    source = whole_range(np.int8, -5)
    weights = random.integers(-128, 128, (6, 1, 3, 3)).astype(np.int8)
    full = np.zeros((6, 6, 3, 3), np.int8)
    full[range(6), range(6)] = weights[:, 0]
    codes = extreme_codes(random, source, (2, 6, 8, 8))
    depthwise = Convolve(("x",), "y", source, weights, ZERO, Window.of((3, 3)), groups=6)
    np.testing.assert_array_equal(depthwise.run(codes), dense(full, source).run(codes))


def test_a_kernel_larger_than_the_padded_tensor_is_refused() -> None:
    c = dense(np.ones((1, 1, 3, 3), np.int8), whole_range(np.uint8, 0))
    with pytest.raises(LoweringError, match="does not fit"):
        c.run(np.zeros((1, 1, 2, 5), np.uint8))


def test_weights_that_do_not_fit_are_refused() -> None:
    source = whole_range(np.uint8, 0)
    with pytest.raises(LoweringError, match="'y'"):
        Convolve(("x",), "y", source, np.ones((4, 1, 3), np.int8), ZERO, Window.of((5,)))
    with pytest.raises(LoweringError, match="groups"):
        Convolve(("x",), "y", source, np.ones((4, 1, 3), np.int8), ZERO, Window.of((3,)), groups=3)


def test_sums_beyond_every_accumulator_are_refused() -> None:
    wide = CodeRange(0, -2**31, 2**31 - 1, np.dtype(np.int32))
    with pytest.raises(LoweringError, match="narrow"):
        dense(np.full((1, 2**17, 1), 2**15 - 1, np.int16), wide).run(np.zeros((1, 2**17, 1), np.int32))
