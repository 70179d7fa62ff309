"""What instructions on float32 numbers mean: the order of every sum, written out by hand, and the values that they ought to have."""

from itertools import product

import numpy as np
import pytest

from bitsmith.errors import LoweringError
from bitsmith.integer.windows import Window
from bitsmith.numerics.float32 import REAL
from bitsmith.real.instructions import (
    CURVES,
    Limits,
    RealAveragePool,
    RealCast,
    RealConvolve,
    RealCurve,
    RealMaxPool,
    RealMean,
    RealMultiply,
    RealMultiplyPair,
    RealNormalize,
    RealPair,
    RealSoftmax,
    Weights,
    from_library,
)

RANDOM = np.random.default_rng(0)


def reals(*shape: int) -> np.ndarray:  # type: ignore[type-arg]
    return (RANDOM.normal(0, 1, shape) * 10.0 ** RANDOM.integers(-3, 3, shape)).astype(np.float32)


def test_float32_is_an_encoding_that_changes_nothing() -> None:
    x = np.asarray([0.1, -0.0, np.inf, np.nan, 1e-45, 3.4e38], np.float32)
    for made in (REAL.quantize(x), REAL.dequantize(x)):
        np.testing.assert_array_equal(made.view(np.int32), x.view(np.int32))


def test_integers_become_the_nearest_numbers() -> None:
    found = RealCast(("x",), "y").run(np.asarray([255, -32768, 2**24 + 1, 2**24 + 3]))
    assert (found.dtype, found.tolist()) == (np.float32, [255, -32768, 2**24, 2**24 + 4])


def test_a_sum_goes_term_by_term() -> None:
    """Rows of the kernel, its columns, channels; each operation rounded once."""
    x, weights = reals(2, 3, 5, 4), Weights(reals(4, 3, 2, 3), None, reals(4))
    window = Window.of((2, 3), strides=(2, 1), pads=[(1, 0), (1, 1)])
    found = RealConvolve(("x",), "y", weights, window, limits=Limits(-1, np.inf)).run(x)
    placed = np.pad(x, ((0, 0), (0, 0), (1, 0), (1, 1)))
    for n, o, i, j in product(*map(range, found.shape)):
        total = np.float32(0)
        for ky, kx, c in product(range(2), range(3), range(3)):
            total = np.float32(total + np.float32(placed[n, c, 2 * i + ky, j + kx] * weights.steps[o, c, ky, kx]))
        assert found[n, o, i, j] == max(np.float32(-1), np.float32(total + weights.bias[o]))


def test_codes_are_summed_in_steps_and_scaled_at_the_end() -> None:
    steps, scale, bias = RANDOM.integers(-128, 128, (3, 7)), reals(3), reals(3)
    x = reals(2, 7)
    found = RealMultiply(("x",), "y", Weights(steps, scale, bias)).run(x)
    for n, o in product(range(2), range(3)):
        total = np.float32(0)
        for k in range(7):
            total = np.float32(total + np.float32(x[n, k] * np.float32(steps[o, k])))
        assert found[n, o] == np.float32(np.float32(total * scale[o]) + bias[o])


def test_groups_and_spread_inputs() -> None:
    """As many small convolutions; as a convolution of the input with zeros in between."""
    x, weights = reals(1, 4, 3, 3), Weights(reals(6, 2, 2, 2), None, np.zeros(6, np.float32))
    window = Window.of((2, 2), pads=[(1, 1), (1, 1)])
    found = RealConvolve(("x",), "y", weights, window, 2, (2, 2)).run(x)
    wide = np.zeros((1, 4, 5, 5), np.float32)
    wide[:, :, ::2, ::2] = x
    for g in range(2):
        part = Weights(weights.steps[3 * g:3 * g + 3], None, np.zeros(3, np.float32))
        alone = RealConvolve(("x",), "y", part, window).run(np.ascontiguousarray(wide[:, 2 * g:2 * g + 2]))
        np.testing.assert_array_equal(found[:, 3 * g:3 * g + 3], alone)


def test_two_matrices() -> None:
    a, b = reals(2, 3, 4), reals(1, 4, 5)
    np.testing.assert_allclose(RealMultiplyPair(("a", "b"), "y").run(a, b), np.matmul(a.astype(np.float64), b), rtol=1e-4, atol=1e-3)


def test_pools_and_means() -> None:
    x = reals(2, 3, 4, 6)
    blocks = x.reshape(2, 3, 2, 2, 3, 2)
    window = Window.of((2, 2), strides=(2, 2))
    np.testing.assert_array_equal(RealMaxPool(("x",), "y", window).run(x), blocks.max((3, 5)))
    np.testing.assert_allclose(RealAveragePool(("x",), "y", window).run(x), blocks.mean((3, 5), np.float64), rtol=1e-4)
    np.testing.assert_allclose(RealMean(("x",), "y", (2, 3), False).run(x), x.mean((2, 3), np.float64), rtol=1e-4)
    assert RealMean(("x",), "y", (1, 3)).run(x).shape == (2, 1, 4, 1)
    with pytest.raises(LoweringError, match="0 is the batch"):
        RealMean(("x",), "y", (0,))


def test_what_is_no_number_never_wins() -> None:
    x = np.float32([[[np.nan, 1, np.nan, np.nan]]])
    assert RealMaxPool(("x",), "y", Window.of((2,), strides=(2,))).run(x).tolist() == [[[1, -np.inf]]]


def test_padding_never_wins_and_counts_only_where_it_is_asked_to() -> None:
    x = -np.ones((1, 1, 2, 2), np.float32)
    window = Window.of((2, 2), strides=(2, 2), pads=[(1, 1), (1, 1)])
    assert RealMaxPool(("x",), "y", window).run(x).max() == -1
    assert (RealAveragePool(("x",), "y", window).run(x) == -1).all()
    assert (RealAveragePool(("x",), "y", window, True).run(x) == -0.25).all()


@pytest.mark.parametrize(("operation", "expected"), [
    ("add", 1.5), ("subtract", -2.5), ("multiply", -1.0), ("divide", -0.25), ("leak", -1.0),
])
def test_pairs(operation: str, expected: float) -> None:
    (found,) = RealPair(("a", "b"), "y", operation).run(np.float32([-0.5]), np.float32([2]))
    assert found == expected


@pytest.mark.parametrize(("curve", "expected"), [
    ("abs", 0.5), ("elu", 0.25 * np.expm1(-0.5)), ("erf", -0.5204998778), ("exp", np.exp(-0.5)), ("gelu", -0.1542687694),
    ("gelu_tanh", -0.15428599), ("hard_sigmoid", 0.375), ("hard_swish", -0.1875),
    ("leaky_relu", -0.125), ("log", np.nan), ("neg", 0.5), ("power", np.nan), ("reciprocal", -2), ("sigmoid", 1 / (1 + np.exp(0.5))),
    ("softplus", np.log1p(np.exp(-0.5))), ("sqrt", np.nan), ("tanh", np.tanh(-0.5)),
])
def test_curves(curve: str, expected: float) -> None:
    np.testing.assert_allclose(RealCurve(("x",), "y", curve, (0.25, 0.5)).run(np.float32([-0.5])), [expected], rtol=1e-6)


def test_every_curve_is_tested_above() -> None:
    assert len(CURVES) == 17


def test_powers_and_what_is_far_out() -> None:
    assert RealCurve(("x",), "y", "power", (3.0, 0.0)).run(np.float32([2, -2])).tolist() == [8, -8]
    for curve in ("gelu", "gelu_tanh"):
        assert RealCurve(("x",), "y", curve).run(np.float32([-30, 0, 30])).tolist() == [0, 0, 30]


@pytest.mark.parametrize("centred", [True, False])
def test_normalization_goes_number_by_number(centred: bool) -> None:
    x, gain, bias, epsilon, count = reals(2, 3, 4), reals(3, 4), reals(3, 4), np.float32(1e-5), np.float32(12)
    found = RealNormalize(("x",), "y", gain, bias, 1e-5, centred).run(x).reshape(2, 12)
    for row, numbers in enumerate(x.reshape(2, 12)):
        mean = squares = np.float32(0)
        for number in numbers:
            mean = mean + number
        mean = mean / count if centred else np.float32(0)
        for number in numbers:
            squares = squares + (number - mean) * (number - mean)
        expected = (numbers - mean) / np.sqrt(squares / count + epsilon) * gain.ravel() + bias.ravel()
        np.testing.assert_array_equal(found[row], expected)
    assert not from_library(RealNormalize(("x",), "y", gain, bias, 1e-5))


def test_softmax_and_what_a_library_computes() -> None:
    x = reals(2, 5)
    powers = np.exp(x.astype(np.float64) - x.max(1, keepdims=True))
    np.testing.assert_allclose(RealSoftmax(("x",), "y", 1).run(x), powers / powers.sum(1, keepdims=True), rtol=1e-5, atol=1e-7)
    assert from_library(RealSoftmax(("x",), "y", 1))
    assert from_library(RealCurve(("x",), "y", "tanh"))
    assert not from_library(RealCurve(("x",), "y", "abs"))
