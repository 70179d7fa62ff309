"""Interpolated tables: their meaning against plain loops, and their stated error against the function, code by code."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitsmith.integer.codes import CodeRange
from bitsmith.integer.instructions import Interpolate, LookUp
from bitsmith.integer.interpolation import shortened
from bitsmith.numerics import Encoding, Integer

Array = npt.NDArray[Any]
WIDE = CodeRange(0, -2**15, 2**15 - 1, np.dtype(np.int16))
FUNCTIONS: dict[str, tuple[Callable[[Array], Array], int, int]] = {     # function, entries, error in codes
    "tanh": (np.tanh, 1025, 1),
    "sigmoid": (lambda x: 1 / (1 + np.exp(-x)), 513, 1),
    "exp": (np.exp, 1025, 1),
    "hard_swish": (lambda x: x * np.clip(x / 6 + 0.5, 0, 1), 513, 1),
    "gelu": (lambda x: x * 0.5 * (1 + np.tanh(0.79788456 * (x + 0.044715 * x**3))), 513, 1),
    "leaky": (lambda x: np.where(x > 0, x, 0.1 * x), 513, 1),
}


def tables(function: Callable[[Array], Array], reach: float = 8.0) -> tuple[LookUp, LookUp | Interpolate]:
    """(all codes, what is made of that), of int16 codes from -reach to reach and a result that just fits."""
    codes = np.arange(-2**15, 2**15)
    reals = function(codes * (reach / 2**15))
    scale = np.float32(np.abs(reals[np.isfinite(reals)]).max() / 2**15)
    target = Encoding(Integer(16), np.asarray(scale), np.zeros((), np.int32))
    exact = LookUp(("x",), "y", WIDE, target.quantize(reals.astype(np.float32)))
    return exact, shortened(exact, reals.astype(np.float64) / np.float64(scale), WIDE)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_stated_error_is_the_error(name: str) -> None:
    function, entries, error = FUNCTIONS[name]
    exact, short = tables(function)
    assert isinstance(short, Interpolate)
    assert (len(short.table), short.error) == (entries, error)
    every = np.arange(-2**15, 2**15).astype(np.int16)
    apart = np.abs(short.run(every[None])[0].astype(np.int64) - exact.table)
    assert apart.max() == short.error


def test_steps_and_undefined_numbers_keep_the_whole_table() -> None:
    for function in (np.sign, lambda x: np.where(x < 0, np.nan, x)):
        exact, found = tables(function)
        assert found is exact


@settings(deadline=None, max_examples=100)
@given(st.integers(0, 2**32), st.integers(1, 7), st.booleans())
def test_straight_lines(seed: int, shift: int, per_channel: bool) -> None:
    random = np.random.default_rng(seed)
    source, codes = CodeRange(0, -128, 127, np.dtype(np.int8)), CodeRange(3, -100, 90, np.dtype(np.int8))
    table = random.integers(-2**22, 2**22, (2, (256 >> shift) + 1)).astype(np.int32) >> random.integers(0, 18)
    values = random.integers(-128, 128, (3, 2, 5)).astype(np.int8)
    made = Interpolate(("x",), "y", source, table if per_channel else table[0], shift, codes, 1 if per_channel else None)
    found = made.run(values)
    for place in np.ndindex(values.shape):
        row = table[place[1] if per_channel else 0].tolist()
        at, part = divmod(int(values[place]) + 128, 2**shift)
        line = row[at] * 2**shift + (row[at + 1] - row[at]) * part
        assert found[place] == min(90, max(-100, (line + 2 ** (shift + 4)) // 2 ** (shift + 5)))
