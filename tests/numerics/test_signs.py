"""Ternary and binary codes: which is nearest, and the scale with the least squared error."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from bitsmith.errors import PlanError
from bitsmith.numerics import Blocks, Encoding, Signs, parse_format
from bitsmith.numerics.encoding import from_dict, spanning, to_dict
from bitsmith.numerics.formats import Array
from bitsmith.numerics.signs import BINARY, TERNARY

ZERO = np.zeros((), np.int32)
EVERY = pytest.mark.parametrize("format", [TERNARY, BINARY], ids=lambda f: f.name)
ROWS = arrays.arrays(np.float32, (3, 7), elements=st.floats(-8, 8, width=16))


@EVERY
def test_codes(format: Signs) -> None:
    codes = [-1, 0, 1] if format.has_zero else [-1, 1]
    assert parse_format(format.name) == format
    assert 2 ** (format.bits - 1) < len(codes) <= 2**format.bits
    assert (format.lowest, format.highest, format.step) == (codes[0], codes[-1], codes[1] - codes[0])
    np.testing.assert_array_equal(format.encode(np.float32(codes), ZERO), codes)
    np.testing.assert_array_equal(format.decode(np.int8(codes)), codes)


def test_ends_and_what_is_no_number() -> None:
    steps = np.float32([np.nan, np.inf, -np.inf, 0.0, -0.0, 0.5, 0.51, -0.5, -0.51, 1e-40, -1e-40])
    assert TERNARY.encode(steps, ZERO).tolist() == [0, 1, -1, 0, 0, 0, 1, 0, -1, 0, 0]
    assert BINARY.encode(steps, ZERO).tolist() == [1, 1, -1, 1, 1, 1, 1, -1, -1, 1, -1]


def squared_error(format: Signs, rows: Array, scale: Array) -> Array:
    """Of each row under each of its scales: [rows, scales]."""
    rows, scale = rows.astype(np.float64)[:, None], np.maximum(scale, 1e-30)[..., None]
    return np.asarray(np.square(rows - scale * format.encode(rows / scale, ZERO)).sum(-1))


@EVERY
@given(ROWS)
def test_no_scale_has_less_squared_error(format: Signs, rows: Array) -> None:
    """Not one of many, nor the heuristic of Ternary Weight Networks: the mean of what is above 0.7 times the mean."""
    best = format.best_scale(rows)
    magnitudes = np.abs(rows.astype(np.float64))
    beyond = magnitudes > 0.7 * magnitudes.mean(1, keepdims=True)
    heuristic = (magnitudes * beyond).sum(1) / np.maximum(1, beyond.sum(1))
    others = np.concatenate([heuristic[:, None], np.tile(np.linspace(0.01, 8, 400), (len(rows), 1))], 1)
    assert (squared_error(format, rows, best[:, None]) <= squared_error(format, rows, others).min(1, keepdims=True) + 1e-9).all()
    missing = np.pad(rows, ((0, 0), (0, 2)), constant_values=np.nan)
    np.testing.assert_allclose(format.best_scale(missing), best)


@EVERY
def test_a_block_of_zeros_stays_next_to_nothing(format: Signs) -> None:
    encoding = spanning(np.zeros((2, 1)), np.zeros((2, 1)), format, symmetric=True, blocks=Blocks.channels(0))
    assert np.abs(encoding.simulate(np.zeros((2, 5), np.float32))).max() < 1e-37
    assert from_dict(to_dict(encoding)) == encoding


@EVERY
def test_a_zero_point_is_refused(format: Signs) -> None:
    with pytest.raises(PlanError, match=f"{format.name} has no zero points other than 0"):
        Encoding(format, np.float32(1), np.int32(1))
