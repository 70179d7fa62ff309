"""Element by element: sums and products by table or by arithmetic, tables of any function, clamps."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitsmith.errors import LoweringError
from bitsmith.integer.codes import CodeRange
from bitsmith.integer.instructions import FIXED_POINT, FLOAT32, SHIFT, AddRescaled, Arithmetic, Clamp, LookUp, MultiplyRescaled, Rescale
from bitsmith.integer.requantization import product_multiplier
from bitsmith.numerics.encoding import Encoding
from bitsmith.numerics.formats import Format, Integer

FORMATS = [Integer(8, signed=False), Integer(8), Integer(4), Integer(16)]
BROADCASTS = [((2, 3, 4), (2, 3, 4)), ((2, 3, 4), (1, 3, 1)), ((1, 1), (5, 6)), ((2, 1, 4), (1, 3, 4))]
Shape = tuple[int, ...]


@st.composite
def encodings(draw: st.DrawFn) -> Encoding:
    form: Format = draw(st.sampled_from(FORMATS))
    return Encoding(form, np.float32(draw(st.floats(2.0**-6, 1, width=32))), np.int32(draw(st.integers(form.lowest, form.highest))))


pairs = st.tuples(encodings(), encodings())
arithmetics = st.sampled_from([FLOAT32, FIXED_POINT, SHIFT])


def draw_codes(seed: int, operands: tuple[Encoding, ...], shapes: tuple[Shape, ...]) -> list[np.ndarray]:
    random = np.random.default_rng(seed)
    forms = [e.format for e in operands]
    return [random.integers(f.lowest, f.highest + 1, shape).astype(f.storage) for f, shape in zip(forms, shapes, strict=True)]


@settings(deadline=None, max_examples=100)
@given(pairs, encodings(), arithmetics, st.sampled_from(BROADCASTS), st.integers(0, 2**32))
def test_sums_by_table_are_sums_by_arithmetic(operands: tuple[Encoding, Encoding], target: Encoding, arithmetic: Arithmetic,
                                              shapes: tuple[Shape, Shape], seed: int) -> None:
    total = arithmetic.total.of(operands, (1, -1), target.scale, CodeRange.of(target))
    codes = draw_codes(seed, operands, shapes)
    found = AddRescaled(("a", "b"), "y", tuple(map(CodeRange.of, operands)), total).run(*codes)
    expected = total.apply(codes)
    np.testing.assert_array_equal(found, expected)
    assert found.dtype == target.format.storage
    real = operands[0].dequantize(codes[0]).astype(float) - operands[1].dequantize(codes[1])
    steps = np.clip(real / target.scale + target.zero_point, target.format.lowest, target.format.highest)
    assert np.abs(found - steps).max() <= 0.51


@settings(deadline=None, max_examples=100)
@given(pairs, encodings(), arithmetics, st.sampled_from(BROADCASTS), st.integers(0, 2**32))
def test_products_by_table_are_products_by_arithmetic(operands: tuple[Encoding, Encoding], target: Encoding, arithmetic: Arithmetic,
                                                      shapes: tuple[Shape, Shape], seed: int) -> None:
    multiplier = product_multiplier(operands[0].scale, operands[1].scale, target.scale)
    sources = CodeRange.of(operands[0]), CodeRange.of(operands[1])
    instruction = MultiplyRescaled(("a", "b"), "y", sources, arithmetic.product(multiplier, CodeRange.of(target)))
    codes = draw_codes(seed, operands, shapes)
    products = (codes[0].astype(np.int64) - sources[0].zero_point) * (codes[1].astype(np.int64) - sources[1].zero_point)
    assert instruction.bounds.lowest <= products.min()
    assert products.max() <= instruction.bounds.highest
    if instruction.bounds.fit().all():
        np.testing.assert_array_equal(instruction.run(*codes), instruction.requantize.apply(products))


def test_three_operands_have_no_table() -> None:
    operands = [Encoding(Integer(8), np.float32(scale), np.int32(zero)) for scale, zero in ((0.5, 3), (0.25, -4), (1, 0))]
    target = Encoding(Integer(8), np.float32(0.5), np.int32(1))
    total = FLOAT32.total.of(operands, (1, 1, 1), target.scale, CodeRange.of(target))
    instruction = AddRescaled(("a", "b", "c"), "y", tuple(map(CodeRange.of, operands)), total)
    assert instruction.run(*(np.array([[c]], np.int8) for c in (5, 6, 7))).item() == 1 + 2 + 5 + 14


@settings(deadline=None, max_examples=60)
@given(encodings(), encodings(), arithmetics)
def test_rescaling_moves_codes_to_another_encoding(source: Encoding, target: Encoding, arithmetic: Arithmetic) -> None:
    requantize = arithmetic.requantize.of(source.scale / target.scale, CodeRange.of(target))
    codes = np.arange(source.format.lowest, source.format.highest + 1)[None].astype(source.format.storage)
    found = Rescale(("x",), "y", CodeRange.of(source), requantize).run(codes)
    off = np.abs(found.astype(int) - target.quantize(source.dequantize(codes)))
    assert off.max() <= 1
    assert ((off == 0) | near_tie(source, target, codes)).all()


def near_tie(source: Encoding, target: Encoding, codes: np.ndarray) -> np.ndarray:
    steps = source.dequantize(codes).astype(float) / target.scale
    return np.abs(np.abs(steps - np.trunc(steps)) - 0.5) < 0.01


@pytest.mark.parametrize("form", FORMATS, ids=lambda f: f.name)
def test_a_table_holds_any_function_of_one_value(form: Format) -> None:
    source = CodeRange(0, form.lowest, form.highest, form.storage)
    every = np.arange(form.lowest, form.highest + 1).astype(form.storage)
    table = np.random.default_rng(0).integers(0, 256, len(every)).astype(np.uint8)
    instruction = LookUp(("x",), "y", source, table)
    np.testing.assert_array_equal(instruction.run(every[None]), table[None])
    assert instruction.run(every[None]).dtype == np.uint8


@pytest.mark.parametrize("axis", [1, 2])
def test_channels_may_have_tables_of_their_own(axis: int) -> None:
    random = np.random.default_rng(0)
    source, table = CodeRange(0, -8, 7, np.dtype(np.int8)), random.integers(-100, 100, (3, 16)).astype(np.int8)
    codes = random.integers(-8, 8, (4, 3, 3)).astype(np.int8)
    found = LookUp(("x",), "y", source, table, axis).run(codes)
    for index in np.ndindex(codes.shape):
        assert found[index] == table[index[axis], codes[index] + 8]


def test_a_table_that_does_not_fit_is_refused() -> None:
    source = CodeRange(0, -8, 7, np.dtype(np.int8))
    for table, axis in ((np.zeros(15), None), (np.zeros((2, 16)), None), (np.zeros(16), 1)):
        with pytest.raises(LoweringError, match="'y': a table"):
            LookUp(("x",), "y", source, table, axis)


def test_clamp() -> None:
    codes = np.array([-128, -3, 0, 5, 127], np.int8)
    found = Clamp(("x",), "y", -3, 5).run(codes)
    assert found.tolist() == [-3, -3, 0, 5, 5]
    assert found.dtype == np.int8


def test_a_clamp_within_the_sum_is_the_clamp_after_it() -> None:
    source, target = Encoding(Integer(8), np.float32(1), np.int32(0)), CodeRange(0, -128, 127, np.dtype(np.int8))
    codes = np.arange(-128, 128, dtype=np.int8)[None]
    for arithmetic in (FLOAT32, FIXED_POINT):
        wide = arithmetic.total.of([source, source], (1, 1), np.float32(0.7), target)
        narrow = arithmetic.total.of([source, source], (1, 1), np.float32(0.7), replace(target, low=-5, high=9))
        ranges = (CodeRange.of(source),) * 2
        expected = np.clip(AddRescaled(("a", "b"), "y", ranges, wide).run(codes, codes), -5, 9)
        np.testing.assert_array_equal(AddRescaled(("a", "b"), "y", ranges, narrow).run(codes, codes), expected)
