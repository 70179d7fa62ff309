"""Sums and averages: the fused float32 arithmetic in exact fractions, the integer arithmetic in Python's integers."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from integer_reference import Array, to_float32

from bitsmith.errors import LoweringError
from bitsmith.integer.codes import CodeRange
from bitsmith.integer.rescaling import EvenAverage, EvenTotal, FixedAverage, FixedTotal, FloatAverage, FloatTotal, multiply_add
from bitsmith.numerics.encoding import Encoding
from bitsmith.numerics.formats import Format, Integer

UINT8, INT8, INT16 = Integer(8, signed=False), Integer(8), Integer(16)
floats = st.floats(-(2.0**20), 2.0**20, width=32)
OUT = CodeRange(100, 0, 255, np.dtype(np.uint8))


def encoding(form: Format, scale: float, zero_point: int) -> Encoding:
    return Encoding(form, np.float32(scale), np.int32(zero_point))


@st.composite
def encodings(draw: st.DrawFn, forms: tuple[Format, ...] = (UINT8, INT8)) -> Encoding:
    form = draw(st.sampled_from(forms))
    return encoding(form, draw(st.floats(2.0**-8, 4, width=32)), draw(st.integers(form.lowest, form.highest)))


@settings(max_examples=500)
@given(st.integers(-65535, 65535), floats, floats)
def test_a_fused_multiply_add_rounds_once(code: int, ratio: float, addend: float) -> None:
    exact = Fraction(code) * Fraction(ratio) + Fraction(addend)
    found = multiply_add(np.asarray(code), np.float32(ratio), np.float32(addend))
    assert found.dtype == np.float32
    assert found == to_float32(exact)


def test_a_fused_multiply_add_where_rounding_to_float64_first_would_mislead() -> None:
    """The product ends half-way between two float32; a far smaller addend must tip it."""
    ratio = np.float32(1 + 2**-23)
    code, tie = 3, Fraction(3) * Fraction(float(np.float32(1 + 2**-23)))
    for tip in (2.0**-60, -(2.0**-60)):
        assert np.float32(float(tie) + tip) == np.float32(float(tie)), "float64 must lose the addend for this test to say anything"
        assert multiply_add(np.asarray(code), ratio, np.float32(tip)) == to_float32(tie + Fraction(tip))
    assert multiply_add(np.asarray(code), ratio, np.float32(2.0**-60)) != multiply_add(np.asarray(code), ratio, np.float32(-(2.0**-60)))


@settings(max_examples=200)
@given(st.lists(encodings(), min_size=1, max_size=4), st.data())
def test_float_total_is_a_chain_of_fused_multiply_adds_from_the_last_operand(operands: list[Encoding], data: st.DataObject) -> None:
    codes = [data.draw(st.integers(e.format.lowest, e.format.highest)) for e in operands]
    signs = [data.draw(st.sampled_from([1, -1])) for _ in operands]
    scale = np.float32(0.75)
    ratios = [np.float32(sign * e.scale.item()) / scale for e, sign in zip(operands, signs, strict=True)]
    zeros = np.float32(0)
    for ratio, e in zip(ratios[::-1], operands[::-1], strict=True):
        zeros = to_float32(Fraction(float(ratio)) * e.zero_point.item() + Fraction(float(zeros)))
    total = np.float32(np.float32(OUT.zero_point) - zeros)
    for ratio, code in zip(ratios[::-1], codes[::-1], strict=True):
        total = to_float32(Fraction(float(ratio)) * code + Fraction(float(total)))
    found = FloatTotal.of(operands, signs, scale, OUT).apply([np.asarray([code]) for code in codes])
    assert found.dtype == np.uint8
    assert found[0] == min(max(round(float(total)), OUT.low), OUT.high)


def real_total(operands: list[Encoding], signs: list[int], codes: list[Array], scale: float) -> Array:
    parts = zip(signs, operands, codes, strict=True)
    return np.asarray(sum(sign * np.float64(e.scale) * (c.astype(np.int64) - e.zero_point) for sign, e, c in parts) / scale)


@pytest.mark.parametrize("forms", [(UINT8, INT8), (INT16,)], ids=["8 bits", "16 bits"])
@pytest.mark.parametrize("choice", [FloatTotal, FixedTotal])
def test_totals_are_the_nearest_codes_but_for_near_ties(choice: type[FloatTotal] | type[FixedTotal], forms: tuple[Format, ...]) -> None:
    random = np.random.default_rng(0)
    target = CodeRange(-9, INT16.lowest, INT16.highest, INT16.storage)
    for _ in range(20):
        operands = [encoding(f, float(np.exp(random.uniform(-3, 0))), int(random.integers(f.lowest, f.highest + 1)))
                    for f in random.choice(np.array(forms), 3)]
        signs = random.choice([-1, 1], 3).tolist()
        codes = [random.integers(e.format.lowest, e.format.highest + 1, 1000) for e in operands]
        found = choice.of(operands, signs, np.float32(2.5), target).apply(codes)
        steps = np.clip(real_total(operands, signs, codes, 2.5) + target.zero_point, target.low, target.high)
        assert np.abs(found - steps).max() <= 0.51


@settings(max_examples=200)
@given(st.lists(encodings(), min_size=1, max_size=4), st.floats(2.0**-8, 4, width=32), st.data())
def test_fixed_totals_of_8_bits_stay_within_int32(operands: list[Encoding], scale: float, data: st.DataObject) -> None:
    signs = [data.draw(st.sampled_from([1, -1])) for _ in operands]
    fixed = FixedTotal.of(operands, signs, np.float32(scale), OUT)
    reach = sum(abs(m) * max(e.format.highest - z, z - e.format.lowest)
                for m, z, e in zip(fixed.multipliers, fixed.zero_points, operands, strict=True))
    assert reach + 2 ** (fixed.shift - 1) < 2**31
    codes = [data.draw(st.integers(e.format.lowest, e.format.highest)) for e in operands]
    total = sum(m * (c - z) for m, c, z in zip(fixed.multipliers, codes, fixed.zero_points, strict=True))
    expected = int((Fraction(total, 2**fixed.shift) + Fraction(1, 2)) // 1) + OUT.zero_point
    assert fixed.apply([np.asarray([c]) for c in codes])[0] == min(max(expected, OUT.low), OUT.high)


@st.composite
def power_encodings(draw: st.DrawFn) -> Encoding:
    form = draw(st.sampled_from((UINT8, INT8)))
    return encoding(form, 2.0 ** draw(st.integers(-5, 2)), draw(st.integers(form.lowest, form.highest)))


code_ranges = st.builds(lambda zero: CodeRange(zero, 0, 255, np.dtype(np.uint8)), st.integers(0, 255))


@settings(max_examples=300)
@given(st.lists(power_encodings(), min_size=1, max_size=4), st.integers(-4, 4), code_ranges, st.data())
def test_even_totals_are_exact_and_what_float_totals_are(operands: list[Encoding], exponent: int, out: CodeRange,
                                                         data: st.DataObject) -> None:
    signs = [data.draw(st.sampled_from([1, -1])) for _ in operands]
    codes = [data.draw(st.integers(e.format.lowest, e.format.highest)) for e in operands]
    scale, given_codes = np.float32(2.0**exponent), [np.asarray([c]) for c in codes]
    even = EvenTotal.of(operands, signs, scale, out)
    assert isinstance(even, EvenTotal)
    total = sum(sign * Fraction(e.scale.item()) * (c - e.zero_point.item()) for sign, e, c in zip(signs, operands, codes, strict=True))
    steps, zero = Fraction(total) / Fraction(2) ** exponent, out.zero_point
    expected = round(steps + zero) if signs == [1, 1] else round(steps) + zero
    assert even.apply(given_codes)[0] == min(max(expected, out.low), out.high)
    assert even.apply(given_codes) == FloatTotal.of(operands, signs, scale, out).apply(given_codes)


def test_a_total_of_other_scales_takes_ties_upward() -> None:
    for scale in (0.3, 2.0**-40):
        operands = [encoding(INT8, scale, 0), encoding(INT8, 1, 0)]
        assert isinstance(EvenTotal.of(operands, (1, 1), np.float32(1), OUT), FixedTotal)


def test_a_total_whose_operand_dwarfs_its_output_is_refused_in_integers() -> None:
    operands = [encoding(INT8, 1e6, 0), encoding(INT8, 1, 0)]
    with pytest.raises(LoweringError, match="1e\\+08 times"):
        FixedTotal.of(operands, (1, 1), np.float32(0.01), OUT)


def test_a_float_total_of_absurd_scales_still_saturates() -> None:
    operands = [encoding(INT8, 1e38, 0), encoding(INT8, 1, 0)]
    total = FloatTotal.of(operands, (1, 1), np.float32(1e-30), OUT)
    assert total.apply([np.array([-5, 0, 5]), np.array([0, 0, 0])]).tolist() == [0, 100, 255]


@settings(max_examples=100)
@given(encodings(), st.lists(st.integers(0, 255), min_size=1, max_size=9), st.floats(2.0**-6, 4, width=32))
def test_float_average_adds_real_values_in_order(source: Encoding, values: list[int], scale: float) -> None:
    average = FloatAverage.of(source, 9, np.float32(scale), OUT)
    codes = [v + source.format.lowest for v in values]
    total = np.float32(0)
    for code in codes:
        total = np.float32(total + np.float32(code - source.zero_point.item()) * source.scale.item())
    mean = np.float32(np.float32(total / np.float32(len(codes))) / np.float32(scale))
    expected = min(max(round(float(np.float32(mean + np.float32(OUT.zero_point)))), OUT.low), OUT.high)
    one_after_another = np.cumsum(average.terms(np.array(codes)), dtype=np.float32)[-1:]
    assert average.finish(one_after_another, np.asarray([len(codes)]))[0] == expected


@settings(max_examples=100)
@given(encodings(), st.lists(st.integers(0, 255), min_size=1, max_size=9), st.floats(2.0**-6, 4, width=32))
def test_fixed_average_is_rounded_once(source: Encoding, values: list[int], scale: float) -> None:
    average = FixedAverage.of(source, 9, np.float32(scale), OUT)
    terms = average.terms(np.array([v + source.format.lowest for v in values]))
    found = int(average.finish(np.asarray([terms.sum()]), np.asarray([len(values)]))[0])
    exact = Fraction(int(terms.sum()), len(values)) * Fraction(source.scale.item()) / Fraction(scale) + OUT.zero_point
    clamped = min(max(exact, Fraction(OUT.low)), Fraction(OUT.high))
    assert abs(found - clamped) <= Fraction(1, 2) + Fraction(1, 10**4)


@settings(max_examples=200)
@given(power_encodings(), st.sampled_from([1, 2, 4, 8]), st.integers(-4, 4), code_ranges, st.data())
def test_even_average_of_powers_of_two_is_exact_and_what_float_average_is(source: Encoding, count: int, exponent: int, out: CodeRange,
                                                                          data: st.DataObject) -> None:
    codes = np.array([data.draw(st.integers(source.format.lowest, source.format.highest)) for _ in range(count)])
    even, real = (choice.of(source, 9, np.float32(2.0**exponent), out) for choice in (EvenAverage, FloatAverage))
    found, other = (average.finish(average.terms(codes).sum(keepdims=True), np.asarray([count])) for average in (even, real))
    steps = Fraction(int((codes - source.zero_point).sum()), count) * Fraction(source.scale.item()) / Fraction(2) ** exponent
    assert found[0] == min(max(round(steps + out.zero_point), out.low), out.high)
    assert found == other
