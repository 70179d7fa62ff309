"""The Cortex-M kernels compute what the instructions compute: here with their arithmetic in plain C, under sanitizers."""

import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from compiled_c import Case, assert_same_codes
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from random_programs import NARROW, Maker, random_case

from bitsmith.integer.bounds import weighted
from bitsmith.integer.codes import CodeRange
from bitsmith.integer.instructions import AddRescaled, Convolve, MaxPool
from bitsmith.integer.program import Program
from bitsmith.integer.requantization import EvenShift
from bitsmith.integer.rescaling import EvenTotal
from bitsmith.integer.windows import Window
from bitsmith.numerics import Encoding, Integer
from bitsmith.targets.c.cortex_m import SINGLE
from bitsmith.targets.c.cortex_m_layout import Strip, pair_weights, wide_weights
from bitsmith.targets.c.cortex_m_rounding import TOP, by_shift, saturate_part
from bitsmith.targets.c.firmware import Choices
from bitsmith.targets.c.geometry import Geometry
from bitsmith.targets.c.stored import Stored

pytestmark = pytest.mark.skipif(shutil.which("gcc") is None, reason="needs gcc")
UNSIGNED, SIGNED = Integer(8, signed=False), Integer(8)
FEW = settings(deadline=None, max_examples=2, phases=[Phase.explicit, Phase.reuse, Phase.generate],
               suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])


def fast(case: Case) -> Case:
    """The case with the kernels for Cortex-M."""
    return replace(case, choices=Choices(case.choices.rounding, "cortex-m"))


def kernels(cases: Sequence[Case]) -> Counter[str]:
    return Counter(f"{call.kernel} {call.parts.get('terms', '')}".strip() for case in cases for call in case.firmware.calls
                   if call.kernel not in ("copy", "max_pool"))


def convolution(seed: int, shape: tuple[int, ...], outputs: int, window: Window, *, groups: int = 1, **options: Any) -> Case:
    """One convolution of codes by chance. Options: kind and limits of codes, lowest weight, channels_last, real multipliers, powers."""
    maker = Maker(seed, formats=(options.get("kind", UNSIGNED),), powers=options.get("powers", False))
    name = maker.input(*shape)
    encoding: Encoding = maker.values["in0"][1]
    if options.get("channels_last", seed % 2):
        name = maker.add(MaxPool((name,), "v0", Window.of((1,) * len(window.kernel))), shape, encoding)
    lowest = options.get("lowest", -128)
    weights = maker.random.integers(lowest, 128, (outputs, shape[0] // groups, *window.kernel)).astype(np.int8)
    source = CodeRange.of(encoding)
    bias = maker.random.integers(-1000, 1000, outputs).astype(np.int32)
    reach = weighted(weights.reshape(outputs, -1).astype(np.int64), bias, *source.steps).largest
    output = f"v{len(maker.instructions)}"
    rounding = maker.arithmetic.requantize.of(options["real"], source) if "real" in options else maker.rounding(reach, encoding)
    low, high = options.get("limits", (rounding.codes.low, rounding.codes.high))
    rounding = replace(rounding, codes=CodeRange(source.zero_point, low, high, source.storage))  # type: ignore[type-var]
    made = Convolve((name,), output, source, weights, np.zeros((), np.int32), window, bias=bias, groups=groups, requantize=rounding)
    maker.add(made, (outputs, *window.output_sizes(shape[1:])), encoding)
    return fast(maker.case((output,), samples=2))


WINDOWS = (
    Window.of((3, 3), pads=((1, 1), (1, 1))), Window.of((3, 3), strides=(2, 2), pads=((0, 1), (0, 1))), Window.of((1, 1)),
    Window.of((1, 1), strides=(2, 2)), Window.of((5, 2), strides=(1, 3), pads=((2, 0), (1, 4))),
    Window.of((3, 2), dilations=(2, 1), pads=((3, 3), (0, 2))),
)


@pytest.mark.parametrize("powers", [False, True], ids=["multiplier", "shift"])
@pytest.mark.parametrize(("kind", "shapes"), [(UNSIGNED, ((1, 9, 7), (8, 6, 6))), (SIGNED, ((3, 8, 8), (4, 7, 9)))], ids=["u8", "s8"])
def test_convolutions(kind: Integer, shapes: tuple[tuple[int, ...], ...], powers: bool, tmp_path: Path) -> None:
    """Channels by four and not, odd numbers of outputs, windows that hang over, all on the fast kernel."""
    cases = [convolution(seed, shape, 1 + seed % 6, window, kind=kind, powers=powers)
             for seed, (shape, window) in enumerate((s, w) for s in shapes for w in WINDOWS)]
    assert set(kernels(cases)) <= {"cortex_m_convolve terms_paired", "cortex_m_convolve terms_wide"}
    assert_same_codes(cases, tmp_path)


@pytest.mark.parametrize("powers", [False, True], ids=["multiplier", "shift"])
@pytest.mark.parametrize("kind", [UNSIGNED, SIGNED], ids=["u8", "s8"])
def test_depthwise(kind: Integer, powers: bool, tmp_path: Path) -> None:
    windows = [w for w in WINDOWS if w.dilations[1] == 1]
    cases = [convolution(seed, (4 * (1 + seed % 3), 8, 7), 4 * (1 + seed % 3), window, groups=4 * (1 + seed % 3), kind=kind,
                         channels_last=True, powers=powers)
             for seed, window in enumerate(windows)]
    assert set(kernels(cases)) == {"cortex_m_depthwise"}
    assert_same_codes(cases, tmp_path)


def test_multipliers_of_all_sizes(tmp_path: Path) -> None:
    """Near 1 and above it, so small that nothing is left, and 0. Other convolutions stay portable where a multiplier is that large."""
    real = np.asarray([0.7, 5.0, 30.0, 2e-7, 1e-12, 0.01, 1e-4, 0.3])
    case = convolution(1, (8, 5, 5), 8, Window.of((3, 3), pads=((1, 1), (1, 1))), groups=8, channels_last=True, real=real)
    assert set(kernels([case])) == {"cortex_m_depthwise"}
    others = [convolution(seed, (8, 5, 5), 8, Window.of((1, 1)), real=real) for seed in range(2)]
    assert set(kernels(others)) == {"convolve", "pointwise"}
    assert_same_codes([case, *others], tmp_path)


@pytest.mark.parametrize(("kind", "limits", "part"), [
    (UNSIGNED, (0, 192), "capped_unsigned"), (UNSIGNED, (0, 0), "capped_unsigned"), (SIGNED, (-128, 60), "capped_signed"),
    (SIGNED, (-128, -128), "capped_signed"), (SIGNED, (0, 100), "capped_unsigned"), (UNSIGNED, (3, 255), "between"),
    (SIGNED, (-127, 127), "between"), (UNSIGNED, (0, 255), "unsigned"), (SIGNED, (-128, 127), "signed"),
])
def test_clamped_codes(kind: Integer, limits: tuple[int, int], part: str, tmp_path: Path) -> None:
    """Limits at one end of a byte, at both, at none."""
    cases = [convolution(seed, (4, 6, 5), 4, Window.of((3, 3)), groups=groups, kind=kind, channels_last=True, powers=powers, limits=limits)
             for seed, (groups, powers) in enumerate(product((1, 4), (False, True)))]
    assert {call.parts["saturate"] for case in cases for call in case.firmware.calls if "finish" in call.parts} == {f"saturate_{part}"}
    assert_same_codes(cases, tmp_path)


def test_limits_within_wider_codes_are_compared() -> None:
    """Bytes saturate by themselves; codes of 16 bits do not."""
    assert saturate_part(CodeRange(0, -128, 60, np.dtype(np.int8))) == "saturate_capped_signed"
    assert saturate_part(CodeRange(0, -128, 60, np.dtype(np.int16))) == "saturate_between"


def test_shifts_of_all_sizes(tmp_path: Path) -> None:
    """Sums that are multiplied or stay, shifts of one bit and more, so many that nothing is left, and a multiplier of 0."""
    real = np.asarray([1, 4, 32, 2.0**-21, 2.0**-40, 2.0**-7, 0, 0.5])
    case = convolution(1, (8, 5, 5), 8, Window.of((3, 3), pads=((1, 1), (1, 1))), groups=8, channels_last=True, real=real, powers=True)
    assert set(kernels([case])) == {"cortex_m_depthwise"}
    small = [convolution(seed, (8, 5, 5), 7, Window.of((1, 1)), real=real[[3, 4, 5, 6, 3, 4, 5]] / 4, powers=True) for seed in range(2)]
    assert set(kernels(small)) == {"cortex_m_convolve terms_paired"}
    others = [convolution(seed, (8, 5, 5), 8, Window.of((1, 1)), real=real, powers=True) for seed in range(2)]
    assert set(kernels(others)) == {"convolve", "pointwise"}
    assert_same_codes([case, *small, *others], tmp_path)


@pytest.mark.parametrize("odd", [0, 1])
@pytest.mark.parametrize("groups", [1, 4])
def test_ties_go_to_even_steps_or_codes(groups: int, odd: int, tmp_path: Path) -> None:
    """All codes, by weights of few bits and shifts of few: every fourth sum and more is a tie. A negated channel among them."""
    cases = []
    for zero in (0, 7, 128):
        codes = CodeRange(zero, 0, 255, np.dtype(np.uint8))
        encoding = Encoding(UNSIGNED, np.float32(1), np.int32(zero))
        weights = np.asarray([[-5, 9, 1, 2], [-128, 3, 1, -1], [-3, 17, 9, 1], [-7, 1, 1, 1]], np.int8)[:, :4 // groups, None, None]
        inner = Convolve(("in0",), "v0", codes, weights, np.zeros((), np.int32), SINGLE, groups=groups, bias=np.asarray([0, 2, 4, -9]),
                         requantize=EvenShift(np.asarray([2, 7, 3, 4]), codes, odd))
        steps = (MaxPool(("in",), "in0", SINGLE), inner)
        program = Program(steps, {"in": encoding}, ("v0",), dict.fromkeys(("in", "in0", "v0"), encoding))
        planes = np.stack([np.roll(np.arange(256), 17 * i).reshape(16, 16) for i in range(4)])[None].astype(np.uint8)
        cases.append(Case(program, {"in": planes}, Choices("shift", "cortex-m")))
    assert set(kernels(cases)) == {"cortex_m_depthwise" if groups > 1 else "cortex_m_convolve terms_paired"}
    assert_same_codes(cases, tmp_path)


@given(st.integers(-3, 45), st.sampled_from([1, -1, 256, -256, 64]), st.integers(0, 1), st.integers(-128, 255), st.integers(0, 2**24))
def test_the_table_for_shifts_is_exact_within_the_proof(shift: int, factor: int, odd: int, zero: int, reach: int) -> None:
    """The largest sums, ties and their neighbours: no sum leaves 32 bits, and SMMLA makes the steps that shift_to_even makes."""
    codes = CodeRange(zero, -2**40, 2**40, np.dtype(np.int64))
    table = by_shift(EvenShift(np.asarray(shift), codes, odd), np.asarray([reach]), np.asarray([factor]))
    if table is None:
        assert shift < 2 or (4 * reach + 2**shift) * abs(factor) >= 2**31
        return
    start, up, multiplier, offset = (int(number) for number in table[0])
    half = 1 << max(0, shift - 1)
    near = [tie + i for tie in (half, -half, 3 * half, -3 * half, 5 * half) for i in (-1, 0, 1)]
    for number in {0, 1, -1, reach, -reach, *(n for n in near if abs(n) <= reach)}:
        total = number * factor + start
        total += (total << up) >> TOP & 1
        assert -2**31 <= total < 2**31
        wanted = EvenShift(np.asarray(shift), codes, odd).apply(np.asarray([number]))
        assert ((total * multiplier) >> 32) + offset == wanted[0]


def test_long_rows_are_cut(tmp_path: Path) -> None:
    """A strip is at most some kilobytes: several serve one row, the last one with a single output."""
    case = convolution(3, (64, 2, 47), 2, Window.of((3, 3), pads=((1, 1), (1, 1))))
    deep = convolution(4, (64, 3, 41), 64, Window.of((3, 3), pads=((1, 1), (1, 1))), groups=64, channels_last=True)
    assert max(call.scratch for each in (case, deep) for call in each.firmware.calls) <= 4096
    assert_same_codes([case, deep], tmp_path)


def test_weights_of_two_channels_share_words_where_they_fit() -> None:
    """-128 above a negative weight is negated; where that helps not, each channel has bytes of its own."""
    assert pair_weights(np.asarray([[-1, 5, 0, 0], [-128, 127, 0, 0]])) is not None
    found = pair_weights(np.asarray([[-1, 5, 0, 0], [-128, 127, 0, 0]]))
    assert found is not None
    halves = found[0].numbers.astype("<i4").view("<i2")
    np.testing.assert_array_equal(halves, [256 * 128 - 1, 256 * -127 + 5, 0, 0])
    np.testing.assert_array_equal(found[1], [1, -1])
    stuck = np.asarray([[-1, 1, 0, 0], [-128, -128, 0, 0]])
    assert pair_weights(stuck) is None
    wide = wide_weights(stuck)
    assert wide is not None
    np.testing.assert_array_equal(wide.numbers.astype("<i4").view(np.int8), [-1, 0, 1, 0, -128, 0, -128, 0])
    assert wide_weights(np.asarray([[200, 0, 0, 0]])) is None


@pytest.mark.parametrize(("lowest", "terms"), [(-100, "terms_paired"), (-128, "terms_wide")])
def test_both_ways_to_store_weights(lowest: int, terms: str, tmp_path: Path) -> None:
    cases = [convolution(seed, (60, 3, 4), 40, Window.of((2, 2)), lowest=lowest, powers=seed > 1) for seed in range(4)]
    assert set(kernels(cases)) == {f"cortex_m_convolve {terms}"}
    assert_same_codes(cases, tmp_path)


def test_no_result_lies_over_a_channel_that_is_read_column_by_column() -> None:
    """One channel, transposed: memory's order is not that in which windows read."""
    window = Window.of((3, 3), pads=((1, 1), (1, 1)))
    geometry = Geometry.of(Stored.natural((1, 6, 5), np.dtype(np.uint8)), window, "")
    strip, result = Strip.of(geometry, even=True), Stored.natural((1, 6, 5), np.dtype(np.uint8)).in_order((1, 2, 0))
    plain = Stored.natural((1, 6, 5), np.dtype(np.uint8))
    assert strip.leads("x", plain, result) == {"x": 5}
    assert strip.leads("x", plain.in_order((0, 2, 1)), result) == {}


@pytest.mark.parametrize("powers", [False, True], ids=["multiplier", "shift"])
def test_products_and_sums(powers: bool, tmp_path: Path) -> None:
    cases = []
    for seed in range(12):
        maker = Maker(seed, formats=NARROW, powers=powers)
        shape = (maker.pick(2, 3, 4, 8), *maker.sizes(maker.pick(0, 1, 2), 2, 7))
        first = maker.input(*shape)
        if seed % 2:
            maker.input(*shape)
        cases.append(fast(maker.case(((maker.sum if seed % 2 else maker.multiply)(first),), samples=3)))
    assert {kernel.split()[0] for kernel in kernels(cases)} >= {"cortex_m_convolve", "cortex_m_add"}
    assert_same_codes(cases, tmp_path)


def sum_of_all_pairs(scales: tuple[float, ...], zeros: tuple[int, ...], sign: int = 1, *, high: int = 255) -> Case:
    """Two values of one plane whose elements meet in every way. Scales and zero points: of both and of the result."""
    encodings = [Encoding(UNSIGNED, np.float32(scale), np.int32(zero)) for scale, zero in zip(scales, zeros, strict=True)]
    ranges = [CodeRange.of(encoding) for encoding in encodings]
    total = EvenTotal.of(encodings[:2], (1, sign), encodings[2].scale, replace(ranges[2], high=high))
    step = AddRescaled(("left", "right"), "v0", tuple(ranges[:2]), total)
    named = dict(zip(("left", "right", "v0"), encodings, strict=True))
    grid = np.indices((1, 257, 257)) % 256                  # an odd number of elements
    codes = {"left": grid[1][None].astype(np.uint8), "right": grid[2][None].astype(np.uint8)}
    return Case(Program((step,), {"left": named["left"], "right": named["right"]}, ("v0",), named), codes, Choices("shift", "cortex-m"))


@pytest.mark.parametrize(("sign", "kernel"), [(1, "cortex_m_add_pairs"), (-1, "cortex_m_add")])
def test_sums_that_are_ties(sign: int, kernel: str, tmp_path: Path) -> None:
    """To a scale of twice and four times the operands': every second and fourth sum is a tie."""
    cases = [sum_of_all_pairs((1, 1, scale), (3, 0, zero), sign) for scale in (2, 4) for zero in (0, 7, 130)]
    assert set(kernels(cases)) == {kernel}
    assert_same_codes(cases, tmp_path)


def test_sums_within_16_bits_and_beyond(tmp_path: Path) -> None:
    """Two to a word as long as that holds them: with scales 256 apart the largest sum is one too many."""
    zeros = ((255, 255, 0), (0, 0, 255), (255, 0, 128))
    within = [sum_of_all_pairs((1, ratio, max(1, ratio)), each) for ratio in (2.0**-7, 0.5, 1, 128) for each in zeros]
    assert set(kernels(within)) == {"cortex_m_add_pairs"}
    beyond = [sum_of_all_pairs((256, 1, 256), (128, 0, 1)), sum_of_all_pairs((1, 1024, 4096), (0, 0, 0)),
              sum_of_all_pairs((1, 1, 2), (3, 4, 5), high=200), sum_of_all_pairs((64, 64, 1), (0, 0, 255))]
    assert set(kernels(beyond)) == {"cortex_m_add"}
    assert_same_codes([*within, *beyond], tmp_path)


def test_sums_beyond_32_bits_stay_portable(tmp_path: Path) -> None:
    """Operands of very different scales: the multipliers have no factor in common that could be left out."""
    left, right, result = (Encoding(UNSIGNED, np.float32(scale), np.int32(1)) for scale in (1, 2.0**-23, 2))
    total = EvenTotal.of((left, right), (1, 1), result.scale, CodeRange.of(result))
    step = AddRescaled(("left", "right"), "v0", (CodeRange.of(left), CodeRange.of(right)), total)
    codes = np.random.default_rng(0).integers(0, 256, (2, 1, 1, 4, 5)).astype(np.uint8)
    program = Program((step,), {"left": left, "right": right}, ("v0",), {"left": left, "right": right, "v0": result})
    case = Case(program, {"left": codes[0], "right": codes[1]}, Choices("shift", "cortex-m"))
    assert set(kernels([case])) == {"add"}
    assert_same_codes([case], tmp_path)


@FEW
@given(st.lists(st.integers(0, 2**32), min_size=8, max_size=8, unique=True))
def test_random_programs(tmp_path: Path, seeds: list[int]) -> None:
    assert_same_codes([fast(random_case(seed, powers=bool(seed % 2))) for seed in seeds], tmp_path)
