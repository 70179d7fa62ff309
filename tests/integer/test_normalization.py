"""Softmax and layer normalization in integers stay within a stated distance of the same in real numbers."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bitsmith.errors import LoweringError
from bitsmith.integer.codes import CodeRange
from bitsmith.integer.instructions import Softmax
from bitsmith.integer.normalization import normalization_of
from bitsmith.numerics import Encoding, Integer

Array = npt.NDArray[Any]
EIGHT, SIXTEEN = 0.501, 0.6      # codes: what integers may be off, half a code of which is the rounding itself
FORMATS = st.sampled_from([Integer(8), Integer(8, signed=False), Integer(16), Integer(16, signed=False)])


def encoded(form: Integer, scale: float, zero: int) -> Encoding:
    return Encoding(form, np.asarray(scale, np.float32), np.asarray(zero, np.int32))


def some_codes(seed: int, form: Integer, rows: int, length: int) -> Array:
    """Rows that spread widely, hardly, or not at all."""
    random = np.random.default_rng(seed)
    spread = random.integers(0, form.highest - form.lowest + 1, (rows, 1)) >> random.integers(0, 17, (rows, 1))
    return (form.lowest + random.integers(0, 2**16, (rows, length)) % (spread + 1)).astype(form.storage)


@settings(deadline=None, max_examples=300)
@given(st.integers(0, 2**32), FORMATS, st.integers(1, 300), st.floats(1e-6, 10), st.sampled_from([8, 16]))
@example(0, Integer(16), 1, 1e-6, 16)
def test_softmax(seed: int, form: Integer, length: int, scale: float, bits: int) -> None:
    source = encoded(form, scale, 0)
    target = encoded(Integer(bits, signed=False), 2.0**-bits, 0)
    codes = some_codes(seed, form, 4, length)
    found = Softmax.of("x", "y", 1, source, (target, CodeRange.of(target))).run(codes)
    real = np.exp(np.float64(source.scale) * (codes.astype(np.float64) - codes.max(1, keepdims=True)))
    exact = np.minimum(real / real.sum(1, keepdims=True) * 2**bits, 2**bits - 1)
    assert np.abs(found - exact).max() < (EIGHT if bits == 8 else SIXTEEN)


@settings(deadline=None, max_examples=300)
@given(st.integers(0, 2**32), FORMATS, st.integers(1, 300), st.floats(1e-5, 10), st.sampled_from([1e-12, 1e-5, 1e-2, 1.0]))
def test_layer_normalization(seed: int, form: Integer, length: int, scale: float, epsilon: float) -> None:
    random = np.random.default_rng(seed)
    source, bits = encoded(form, scale, 3), random.choice([8, 16])
    target = encoded(Integer(int(bits)), 6 / 2**bits, 1)
    gain, bias = random.normal(0, 1, length), random.normal(0, 0.5, length)
    codes = some_codes(seed, form, 4, length)
    found = normalization_of("x", "y", source, (target, CodeRange.of(target)), (gain, bias), epsilon).run(codes)
    real = np.float64(source.scale) * (codes.astype(np.float64) - 3)
    centred = real - real.mean(1, keepdims=True)
    normal = centred / np.sqrt(np.square(centred).mean(1, keepdims=True) + epsilon) * gain + bias
    exact = np.clip(normal / np.float64(target.scale) + 1, target.format.lowest, target.format.highest)
    assert np.abs(found - exact).max() < (EIGHT if bits == 8 else SIXTEEN)


def test_several_axes_are_one_row() -> None:
    form = encoded(Integer(8), 0.1, 0)
    codes = some_codes(1, Integer(8), 3, 24).reshape(3, 2, 3, 4)
    line = np.linspace(-2, 2, 12).reshape(3, 4), np.linspace(1, 0, 12).reshape(3, 4)
    whole = normalization_of("x", "y", form, (form, CodeRange.of(form)), line, 1e-5).run(codes)
    flat = normalization_of("x", "y", form, (form, CodeRange.of(form)), (line[0].ravel(), line[1].ravel()), 1e-5)
    np.testing.assert_array_equal(whole, flat.run(codes.reshape(6, 12)).reshape(codes.shape))


def test_what_integers_cannot_hold_is_refused() -> None:
    wide, third = encoded(Integer(16), 0.1, 0), encoded(Integer(8), 1 / 3, 0)
    with pytest.raises(LoweringError, match=r"'y' is a softmax whose scale is 0\.333333"):
        Softmax.of("x", "y", 1, wide, (third, CodeRange.of(third)))
    with pytest.raises(LoweringError, match="axes count from the front"):
        Softmax.of("x", "y", 0, wide, (encoded(Integer(8), 1 / 256, 0), CodeRange.of(third)))
    with pytest.raises(LoweringError, match="'y' normalizes 1024 numbers at once, too many for 16 bits"):
        normalization_of("x", "y", wide, (third, CodeRange.of(third)), (np.ones(1024), np.zeros(1024)), 1e-5)
    with pytest.raises(LoweringError, match=r"multiplies by 1e\+10"):
        normalization_of("x", "y", wide, (third, CodeRange.of(third)), (np.full(2, 1e10), np.zeros(2)), 1e-5)
    with pytest.raises(LoweringError, match="softmax of 65536 numbers"):
        Softmax.of("x", "y", 1, third, (encoded(Integer(8), 1 / 256, 0), CodeRange.of(third))).run(np.zeros((1, 2**16), np.int8))
