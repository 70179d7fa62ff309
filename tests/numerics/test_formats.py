"""Which codes a format has, and how formats are named."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitsmith.errors import RecipeError
from bitsmith.numerics.formats import Integer, parse_format, round_away, round_to_even


@pytest.mark.parametrize(("name", "lowest", "highest", "storage"), [
    ("int8", -128, 127, "int8"), ("uint8", 0, 255, "uint8"), ("int8-restricted", -127, 127, "int8"), ("int4", -8, 7, "int8"),
    ("uint4", 0, 15, "uint8"), ("int2", -2, 1, "int8"), ("int9", -256, 255, "int16"), ("uint16", 0, 65535, "uint16"),
    ("int32", -(2**31), 2**31 - 1, "int32"), ("int3-restricted-away", -3, 3, "int8"), ("int16-away", -32768, 32767, "int16"),
])  # fmt: skip
def test_codes(name: str, lowest: int, highest: int, storage: str) -> None:
    format = parse_format(name)
    assert (format.lowest, format.highest, format.storage) == (lowest, highest, np.dtype(storage))
    assert format.name == name
    limits = np.iinfo(format.storage)
    assert limits.min <= lowest < highest <= limits.max


@pytest.mark.parametrize("name", ["int1", "int17", "uint32", "int0", "int", "8", "float8", "uint8-restricted", "int8-away-restricted",
                                  "INT8", "int8 ", "int-8", "", "int" + "9" * 50])
def test_names_that_no_format_has(name: str) -> None:
    with pytest.raises(RecipeError):
        parse_format(name)


def test_ties_go_to_one_of_two() -> None:
    with pytest.raises(RecipeError, match="Ties go to 'even' or 'away', not to 'zero'"):
        Integer(8, ties="zero")  # type: ignore[arg-type]


@given(st.floats(-(2**22), 2**22, width=32))
def test_roundings_go_to_the_nearest(position: float) -> None:
    for rounding in (round_to_even, round_away):
        nearest = float(rounding(np.float32(position)))
        assert nearest == int(nearest)
        assert abs(nearest - position) <= 0.5


@given(st.integers(-(2**20), 2**20))
def test_roundings_differ_only_in_ties(whole: int) -> None:
    tie = np.float32(whole + 0.5)
    assert round_to_even(tie) % 2 == 0
    assert abs(round_away(tie)) == abs(tie) + 0.5
