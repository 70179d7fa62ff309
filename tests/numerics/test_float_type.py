"""Floating point of 16 bits, against numpy's and ml_dtypes' own."""

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitsmith.numerics.float_type import BFLOAT16, HALF, FloatType

TYPES = [(HALF, np.float16), (BFLOAT16, ml_dtypes.bfloat16)]
FLOAT32 = st.floats(width=32, allow_nan=False, allow_infinity=False)


@pytest.mark.parametrize(("type", "dtype"), TYPES, ids=["half", "bfloat16"])
@given(value=st.one_of(FLOAT32, st.floats(-70000, 70000, width=32), st.floats(-(2.0**-13), 2.0**-13, width=32)))
def test_numbers_become_those_of_the_library(type: FloatType, dtype: type, value: float) -> None:
    with np.errstate(over="ignore"):
        expected = float(np.float32(value).astype(dtype))
    found = float(type.represent(np.asarray(value)))
    assert found == (expected if np.isfinite(expected) else np.copysign(type.maximum, value))
    assert type.is_beyond(np.asarray(value)) == np.isinf(expected)


@pytest.mark.parametrize(("type", "dtype"), TYPES, ids=["half", "bfloat16"])
def test_ends_and_steps_are_those_of_the_library(type: FloatType, dtype: type) -> None:
    about = ml_dtypes.finfo(dtype)  # type: ignore[no-untyped-call]
    assert (type.minimum, type.maximum) == (float(about.min), float(about.max))
    assert type.step == float(about.smallest_subnormal)
    assert float(type.steps_at(np.asarray(1.0))) == float(about.eps)
    low, high = type.limits
    assert type.is_beyond(np.array([low, high, np.nextafter(high, 0)])).tolist() == [True, True, False]
