"""Zero and powers of two: which codes there are, and which of them is nearest."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from bitsmith.errors import PlanError, RecipeError
from bitsmith.numerics import Blocks, Encoding, parse_format
from bitsmith.numerics.encoding import from_dict, spanning, to_dict
from bitsmith.numerics.formats import Array
from bitsmith.numerics.powers_of_two import PowersOfTwo, nearest_exponent

FORMATS = [PowersOfTwo(bits) for bits in (2, 3, 4)]
EVERY = pytest.mark.parametrize("format", FORMATS, ids=lambda f: f.name)
ZERO = np.zeros((), np.int32)


def codes_of(format: PowersOfTwo) -> list[int]:
    """The definition: a sign, 2^(n-1) - 1 exponents, and zero."""
    powers = [2**k for k in range(2 ** (format.bits - 1) - 1)]
    return [-p for p in reversed(powers)] + [0, *powers]


def slow_code(steps: float, format: PowersOfTwo) -> int:
    """The nearest of all codes; of two, that of the larger magnitude."""
    return min(codes_of(format), key=lambda code: (abs(Fraction(steps) - code), -abs(code)))


@EVERY
def test_codes(format: PowersOfTwo) -> None:
    codes = codes_of(format)
    assert len(codes) == 2**format.bits - 1
    assert (format.lowest, format.highest) == (codes[0], codes[-1])
    assert parse_format(format.name) == format
    np.testing.assert_array_equal(format.encode(np.float32(codes), ZERO), codes)
    np.testing.assert_array_equal(format.decode(np.int8(codes)), codes)


@pytest.mark.parametrize("bits", [0, 1, 5, 8])
def test_other_widths_are_refused(bits: int) -> None:
    with pytest.raises(RecipeError, match=rf"2 to 4 bits, not {bits}.*choose for instance 'pow2_4'"):
        parse_format(f"pow2_{bits}")


@EVERY
@given(st.lists(st.floats(-200, 200, width=32) | st.sampled_from([0.5, -0.5, 1.5, 3, 6, -12, 24, 48, 96, 1e30, -1e30]), min_size=1))
def test_the_nearest_code_and_monotone(format: PowersOfTwo, steps: list[float]) -> None:
    codes = format.encode(np.sort(np.float32(steps)), ZERO).tolist()
    assert codes == [slow_code(float(s), format) for s in np.sort(np.float32(steps))]
    assert codes == sorted(codes)


@EVERY
def test_what_is_no_number(format: PowersOfTwo) -> None:
    assert format.encode(np.float32([np.nan, np.inf, -np.inf, -0.0]), ZERO).tolist() == [0, format.highest, format.lowest, 0]


@given(st.floats(2.0**-100, 2.0**100, width=32))
def test_the_exponent_is_that_of_the_paper(magnitude: float) -> None:
    """Equation 2, in exact arithmetic: floor(log2(4 s / 3)) is the k with 2^k <= 4 s / 3 < 2^(k + 1)."""
    k, (numerator, denominator) = int(nearest_exponent(np.float32(magnitude))), magnitude.as_integer_ratio()
    scaled = (4 * numerator * 2**200, 3 * denominator)
    assert 2 ** (k + 200) * scaled[1] <= scaled[0] < 2 ** (k + 201) * scaled[1]


@EVERY
@given(arrays.arrays(np.float32, (3, 8), elements=st.floats(-(2.0**60), 2.0**60, width=32)))
def test_a_block_has_the_power_nearest_to_its_largest_weight(format: PowersOfTwo, weights: Array) -> None:
    blocks = Blocks.channels(0)
    encoding = spanning(blocks.reduce(np.minimum, weights), blocks.reduce(np.maximum, weights), format, blocks=blocks, symmetric=True)
    assert (np.frexp(encoding.scale)[0] == 0.5).all()
    largest = np.abs(weights).max(1, keepdims=True)
    simulated = encoding.simulate(weights)
    at_largest = np.abs(np.take_along_axis(simulated, np.abs(weights).argmax(1)[:, None], 1))
    visible = largest > 2.0**-100
    assert (np.abs(at_largest - largest) <= largest / 3 + 0)[visible].all()
    np.testing.assert_array_equal(encoding.quantize(simulated), encoding.quantize(weights))
    assert from_dict(to_dict(encoding)) == encoding


def test_a_zero_point_is_refused() -> None:
    with pytest.raises(PlanError, match="pow2_4 has no zero points other than 0"):
        Encoding(PowersOfTwo(4), np.float32(1), np.int32(3))
