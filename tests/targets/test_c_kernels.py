"""Every C kernel computes what its instruction computes in numpy, code for code, under sanitizers and with warnings as errors."""

import dataclasses
import shutil
from collections import Counter
from collections.abc import Sequence
from math import prod
from pathlib import Path

import numpy as np
import pytest
from compiled_c import SANITIZED, Case, assert_same_codes
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from random_programs import NARROW, Maker, random_case

from bitsmith.errors import TargetError
from bitsmith.integer.boundary import CallFloat
from bitsmith.integer.codes import CodeRange
from bitsmith.integer.instructions import FIXED_POINT, SHIFT, Convolve, MatrixMultiply, Mean, Reshape, Transpose
from bitsmith.integer.program import Program
from bitsmith.integer.windows import Window
from bitsmith.numerics import Encoding, Integer, parse_format
from bitsmith.numerics.signs import BINARY, TERNARY
from bitsmith.targets.c.firmware import Choices, translate
from bitsmith.targets.c.products import pack
from bitsmith.targets.c.source import write_source

pytestmark = pytest.mark.skipif(shutil.which("gcc") is None, reason="needs gcc")
ONE_BY_ONE = {
    "convolve": Maker.convolve, "max_pool": Maker.max_pool, "average_pool": Maker.average_pool, "mean": Maker.mean,
    "arg_max": Maker.arg_max, "softmax": Maker.softmax, "normalize": Maker.normalize,
    "interpolate": Maker.interpolate, "blend": Maker.blend, "sum": Maker.sum,
    "sum_of_three": Maker.sum_of_three, "product": Maker.product, "rescale": Maker.rescale, "look_up": Maker.look_up, "clamp": Maker.clamp,
    "take": Maker.take, "concatenate": Maker.concatenate, "transpose": Maker.transpose, "reshape": Maker.reshape,
    "multiply": Maker.multiply, "multiply_pair": Maker.multiply_pair,
}
SEEDS = st.lists(st.integers(0, 2**32), min_size=8, max_size=8, unique=True)
FEW = settings(deadline=None, max_examples=2, phases=[Phase.explicit, Phase.reuse, Phase.generate],
               suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])


@pytest.mark.parametrize("kind", ONE_BY_ONE)
def test_one_instruction(kind: str, tmp_path: Path) -> None:
    """Each alone, eight times, on one- and two-dimensional values."""
    cases = []
    for seed in range(8):
        maker = Maker(seed, formats=NARROW)
        shape = (maker.pick(2, 3, 4, 6), *maker.sizes(maker.pick(1, 2), 2, 7))
        first = maker.input(*shape)
        if kind in ("sum", "product", "sum_of_three", "concatenate"):
            maker.input(*shape)
        cases.append(maker.case((ONE_BY_ONE[kind](maker, first),), samples=3))
    assert_same_codes(cases, tmp_path)


PACKED = {"int4": "int4", "int3": "int3", "int2": "int2", "ternary": "int2_signs", "binary": "binary_signs"}


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
@pytest.mark.parametrize("format", PACKED)
def test_packed_weights(format: str, compiler: str, tmp_path: Path) -> None:
    """Convolutions of all kinds and products; each in as few bits as its weights need."""
    if shutil.which(compiler) is None:
        pytest.skip(f"needs {compiler}")
    cases = []
    for seed in range(8):
        maker = Maker(seed, weights=(parse_format(format),))
        image = maker.convolve(maker.input(maker.pick(2, 3, 6), *maker.sizes(2, 2, 7)))
        cases.append(maker.case((image, maker.multiply(image)), samples=3))
    assert_same_codes(cases, tmp_path, compiler=compiler)
    assert any(f"weight_at_{PACKED[format].split('_')[0]}" in (tmp_path / f"n{i}.c").read_text() for i in range(8))


@pytest.mark.parametrize("flags", [SANITIZED, ("-O2", "-march=native")])
def test_signs_times_signs(flags: Sequence[str], tmp_path: Path) -> None:
    """Padding and zeros among the codes, groups, transposed convolutions, windows of less and of more than a word, products."""
    cases = []
    for seed in range(16):
        maker = Maker(seed, formats=(TERNARY,), weights=(BINARY,))
        image = maker.input(maker.pick(2, 4, 12, 40), *maker.sizes(maker.pick(1, 2), 2, 5))
        found = maker.convolve(image)
        cases.append(maker.case((found, maker.multiply(found), maker.multiply(image)), samples=3))
    assert_same_codes(cases, tmp_path, flags=flags)
    kernels = Counter(call.parts.get("dot") for case in cases for call in case.firmware.calls)
    assert kernels["dot_signs"] > 30


@pytest.mark.parametrize(("weights", "size"), [
    ([-8, 7, 0, 1, 2], 3), ([-4, 3, 0], 3), ([-2, 1, 0, 1, 1], 2), ([-1, 0, 1, 1], 1), ([-1, 1] * 4 + [1], 2), ([-9, 0], 2), ([200, 0], 4),
])
def test_bytes_of_packed_weights(weights: list[int], size: int) -> None:
    assert pack(np.array(weights))[0].bytes == size


@FEW
@given(SEEDS)
def test_random_programs(tmp_path: Path, seeds: list[int]) -> None:
    """Chains with branches: orders of memory, shared memory and odd shapes together."""
    assert_same_codes([random_case(seed) for seed in seeds], tmp_path)


@FEW
@given(SEEDS)
def test_random_programs_with_power_of_two_scales(tmp_path: Path, seeds: list[int]) -> None:
    assert_same_codes([random_case(seed, powers=True) for seed in seeds], tmp_path)


@pytest.mark.parametrize("kind", [k for k in ONE_BY_ONE if k in (
    "convolve", "average_pool", "mean", "sum", "sum_of_three", "product", "rescale", "multiply", "multiply_pair")])
def test_one_instruction_rounded_to_even(kind: str, tmp_path: Path) -> None:
    """By a shift, or, where an average's count is no power of two, by a multiplier."""
    cases = []
    for seed in range(8):
        maker = Maker(seed, formats=(*NARROW, Integer(16)) if kind == "sum" else NARROW, powers=True)
        shape = (maker.pick(2, 4), *maker.sizes(maker.pick(1, 2), 2, 7))
        first = maker.input(*shape)
        maker.input(*shape)
        cases.append(maker.case((ONE_BY_ONE[kind](maker, first),), samples=3))
    assert_same_codes(cases, tmp_path)
    assert any("ties to even" in (tmp_path / f"n{i}.c").read_text() for i in range(8))


def test_a_mean_over_three_keeps_a_multiplier(tmp_path: Path) -> None:
    maker = Maker(0, formats=NARROW, powers=True)
    name = maker.input(3, 4)
    shape, encoding = maker.values[name]
    codes = CodeRange.of(encoding)
    by_shift, by_multiplier = (Mean((name,), f"v{axis}", codes, (axis,), SHIFT.requantize.of(np.asarray(1 / shape[axis - 1]), codes))
                               for axis in (2, 1))
    found = [maker.add(by_shift, (3, 1), encoding), maker.add(by_multiplier, (1, 4), encoding)]
    case = maker.case(tuple(found), samples=20)
    assert [call.parts["requantize"] for call in case.firmware.calls] == ["requantize_shift", "requantize_multiplier"]
    assert_same_codes([case], tmp_path)


@pytest.mark.skipif(shutil.which("clang") is None, reason="needs clang")
def test_another_compiler(tmp_path: Path) -> None:
    assert_same_codes([random_case(seed) for seed in range(8)], tmp_path, compiler="clang")


def test_optimised_and_specialised(tmp_path: Path) -> None:
    """Each layer with a copy of its kernel, at -O3 with everything that this processor has."""
    flags = ("-O3", "-march=native", *(f"-DN{i}_KERNEL=static inline __attribute__((always_inline))" for i in range(12)))
    assert_same_codes([random_case(seed) for seed in range(20, 32)], tmp_path, flags=flags)


def test_an_input_that_is_an_output_too_has_one_order(tmp_path: Path) -> None:
    maker = Maker(0, formats=NARROW)
    image = maker.input(3, 2, 4)
    case = maker.case((image, maker.convolve(image)))
    assert_same_codes([dataclasses.replace(case, choices=Choices(channels_last=True))], tmp_path)


def test_a_square_and_its_transpose_are_two_values(tmp_path: Path) -> None:
    """Of one memory and one shape, both in another order than their product wants."""
    maker = Maker(0, formats=NARROW)
    maker.multiply_pair(maker.input(2, 5, 5))
    case = maker.case((max(maker.values),))
    assert_same_codes([dataclasses.replace(case, choices=Choices(channels_last=True))], tmp_path)


def test_one_channel_read_column_by_column_is_not_written_over(tmp_path: Path) -> None:
    """A single channel lies channels last whatever its order; turned, its rows are columns of memory."""
    maker = Maker(3, formats=NARROW)
    name = maker.input(1, 6, 7)
    turned = maker.add(Transpose((name,), maker.name(), (0, 1, 3, 2)), (1, 7, 6), maker.values[name][1])
    case = maker.case((same_size(maker, turned, 1, 3),), samples=4)
    assert not case.firmware.calls[0].leads
    assert_same_codes([case], tmp_path)


def same_size(maker: Maker, name: str, groups: int, kernel: int) -> str:
    """A convolution whose result is as large as its source."""
    shape, encoding = maker.values[name]
    window = Window.of((kernel, kernel), pads=[(kernel // 2, kernel // 2)] * 2)
    weights, zero = maker.weights(shape[0], shape[0] // groups, kernel, kernel)
    plain = Convolve((name,), maker.name(), CodeRange.of(encoding), weights, zero, window, None, groups)
    made = dataclasses.replace(plain, requantize=maker.rounding(plain.bounds.largest, encoding))
    return maker.add(made, shape, encoding)


def test_layers_over_their_own_input(tmp_path: Path) -> None:
    """One value's memory and little more, for chains that go forwards and backwards in turn."""
    cases = []
    for seed in range(6):
        maker = Maker(seed, formats=NARROW)
        current = maker.input(4, *maker.sizes(2, 5, 9))
        for step in range(6):
            current = same_size(maker, current, groups=maker.pick(1, 2, 4), kernel=maker.pick(1, 3, 3) if step else 3)
        shape, encoding = maker.values[current]
        flat = maker.add(Reshape((current,), maker.name(), (-1,)), (prod(shape),), encoding)
        cases.append(dataclasses.replace(maker.case((maker.multiply(flat),), samples=3), choices=Choices(channels_last=True)))
    for case in cases:
        firmware = case.firmware
        assert firmware.arena.size == firmware.arena.lower_bound < 2 * firmware.inputs[0].stored.bytes
        assert {call.fields.entries["backwards"] for call in firmware.calls if "backwards" in call.fields.entries} >= {1}
    assert_same_codes(cases, tmp_path)


def test_token_ids(tmp_path: Path) -> None:
    """Rows by index, negative ones from the end."""
    maker = Maker(3)
    maker.gather(rows=5, run=3, count=4)
    assert_same_codes([maker.case(("v0",), samples=3)], tmp_path)


@pytest.mark.parametrize("kind", [Integer(8, signed=False), Integer(16), Integer(16, signed=False)])
def test_widest_sums(kind: Integer, tmp_path: Path) -> None:
    """Zero points at the ends and weights of one sign: where the zero point cannot join the bias without leaving int32."""
    cases = []
    for seed, zero in enumerate((kind.lowest, kind.highest)):
        maker = Maker(seed, formats=(kind,))
        maker.input(300)
        encoding = maker.values["in0"][1]
        source = CodeRange(zero, kind.lowest, kind.highest, kind.storage)
        weights = np.full((300, 2), 127 if seed else -128, np.int8)
        weights = weights if kind.bits == 8 else weights // 3
        plain = MatrixMultiply(("in0",), "v0", source, None, weights, np.zeros((), np.int32), None)
        assert plain.bounds(300).fit(32).all()
        rounding = maker.rounding(plain.bounds(300).largest, encoding)
        made = MatrixMultiply(("in0",), "v0", source, None, weights, np.zeros((), np.int32), None, rounding)
        maker.add(made, (2,), encoding)
        cases.append(maker.case(("v0",), samples=4))
    assert_same_codes(cases, tmp_path)


WIDE = (Integer(16), Integer(16, signed=False))


@pytest.mark.parametrize("powers", [False, True])
@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_products_of_wide_codes(compiler: str, powers: bool, tmp_path: Path) -> None:
    """Two values of 16 bits: their sums are 64 bits, but where zero points leave so few steps that 32 hold them."""
    if shutil.which(compiler) is None:
        pytest.skip(f"needs {compiler}")
    cases = []
    for seed in range(8):
        maker = Maker(seed, formats=WIDE, powers=powers)
        first = maker.input(maker.pick(2, 3, 6), *maker.sizes(maker.pick(1, 2), 2, 7))
        cases.append(maker.case((maker.product(first), maker.multiply_pair(first)), samples=3))
    assert_same_codes(cases, tmp_path, compiler=compiler)
    calls = [call for case in cases for call in case.firmware.calls if call.kernel in ("product", "multiply_pair")]
    assert sum(call.types["sum_t"] == "int64_t" for call in calls) >= 8


def widest_product(zero: int, terms: int, *, bits: int | None = None) -> Case:
    """Unsigned codes of 16 bits, all of them at one end, that meet their like; bits: what the multiplier is made for."""
    maker = Maker(0, formats=(WIDE[1],))
    source = CodeRange(zero, 0, 2**16 - 1, np.dtype(np.uint16))
    encoding = Encoding(WIDE[1], np.float32(1), np.int32(zero))
    plain = MatrixMultiply(("in0", "in1"), "v0", source, source)
    reach, width = plain.bounds(terms).largest, plain.bounds(terms).width
    rounding = FIXED_POINT.requantize.of(np.asarray(2**15 / reach), source, width if bits is None else bits)
    for name, shape in (("in0", (2, terms)), ("in1", (terms, 3))):
        maker.inputs[name], maker.values[name] = encoding, (shape, encoding)
    maker.add(dataclasses.replace(plain, requantize=rounding), (2, 3), encoding)
    ends = {name: np.full((1, *maker.values[name][0]), 65535 - zero, np.uint16) for name in ("in0", "in1")}
    return dataclasses.replace(maker.case(("v0",)), codes=ends)


@pytest.mark.parametrize("zero", [0, 65535])
def test_the_widest_sums_of_products(zero: int, tmp_path: Path) -> None:
    """2047 products of 65535 by 65535 fill 44 bits; one multiplier of 31 bits would leave 63, and more products are refused."""
    case = widest_product(zero, 2047)
    assert case.expected()["v0"].tolist() == [[[min(2**15 + zero, 65535)] * 3] * 2]
    assert_same_codes([case], tmp_path)
    for terms, bits in ((2047, 32), (2**11 + 1, None)):
        with pytest.raises(TargetError, match=r"accumulator of 'v0' may reach .*, beyond int44: give its operands fewer bits"):
            _ = widest_product(zero, terms, bits=bits).firmware


def wide_sum(shape: tuple[int, ...], weights: tuple[int, ...], zero: int, groups: int = 1, pad: int = 0) -> Case:
    """Codes of 16 bits as far from their zero point as can be, and weights of one sign, times which they pass 32 bits."""
    maker, source = Maker(0, formats=(WIDE[1],)), CodeRange(zero, 0, 65535, np.dtype(np.uint16))
    encoding = Encoding(WIDE[1], np.float32(1), np.int32(zero))
    codes, none, bias = np.full(weights, -127 if zero else 127, np.int8), np.zeros((), np.int32), np.full(2, 77, np.int32)
    plain: Convolve | MatrixMultiply = MatrixMultiply(("in0",), "v0", source, None, codes, none, bias)
    if len(weights) > 2:
        plain = Convolve(("in0",), "v0", source, codes, none, Window.of(weights[2:], pads=[(pad, pad)] * 2), bias, groups)
    bounds = plain.bounds if isinstance(plain, Convolve) else plain.bounds(weights[0])
    assert 32 < bounds.width <= 34
    way = FIXED_POINT.requantize.of(np.asarray([2**15 / bounds.largest, 1e-6]), source, bounds.width)
    made = dataclasses.replace(plain, requantize=way)
    maker.inputs["in0"], maker.values["in0"] = encoding, (shape, encoding)
    maker.add(made, made.run(np.zeros((1, *shape), np.uint16)).shape[1:], encoding)
    return Case(maker.case(("v0",)).program, {"in0": np.full((1, *shape), 65535 - zero, np.uint16)}, Choices(channels_last=True))


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
@pytest.mark.parametrize("zero", [0, 65535])
def test_sums_with_weights_beyond_32_bits(zero: int, compiler: str, tmp_path: Path) -> None:
    if shutil.which(compiler) is None:
        pytest.skip(f"needs {compiler}")
    cases = {
        "multiply": wide_sum((600,), (600, 2), zero), "pointwise": wide_sum((600, 2, 2), (2, 600, 1, 1), zero),
        "convolve": wide_sum((64, 3, 4), (2, 64, 3, 3), zero, pad=1), "depthwise": wide_sum((2, 23, 24), (2, 1, 23, 24), zero, groups=2),
    }
    assert_same_codes(list(cases.values()), tmp_path, compiler=compiler)
    calls = [case.firmware.calls[0] for case in cases.values()]
    assert [call.kernel for call in calls] == list(cases)
    assert {call.types["sum_t"] for call in calls} == {"int64_t"}


def convolution(maker: Maker, window: Window, *, requantized: bool = True) -> Case:
    """One filter over (2, 4, 4, ...)."""
    maker.input(2, *(4,) * len(window.kernel))
    encoding = maker.values["in0"][1]
    weights = np.ones((1, 2, *window.kernel), np.int8)
    rounding = maker.rounding(1000, encoding) if requantized else None
    made = Convolve(("in0",), "v0", CodeRange.of(encoding), weights, np.zeros((), np.int32), window, requantize=rounding)
    maker.add(made, (1, *window.output_sizes((4,) * len(window.kernel))), encoding)
    return maker.case(("v0",))


def test_what_has_no_kernel_is_refused_by_name() -> None:
    with pytest.raises(TargetError, match=r"'v0' has a window of 3 axes.*onnxruntime"):
        _ = convolution(Maker(0), Window.of((2, 2, 2))).firmware
    with pytest.raises(TargetError, match="'v0' ends in accumulators"):
        _ = convolution(Maker(0), Window.of((2, 2)), requantized=False).firmware
    case = convolution(Maker(0), Window.of((2, 2)))
    with pytest.raises(TargetError, match="'v0' is not rounded by a shift"):
        translate(case.program, {"in0": (2, 4, 4)}, Choices(rounding="shift"))


def test_float_is_refused_by_name() -> None:
    island = CallFloat("/attention/Softmax", ("x",), ("y",), lambda x: [x], "there is no integer arithmetic for Softmax")
    with pytest.raises(TargetError, match=r"'/attention/Softmax' computes in float \(there is no integer arithmetic for Softmax\)"):
        translate(Program((island,), {"x": None}, ("y",), {}), {"x": (3,)})


def test_the_same_program_gives_the_same_text() -> None:
    texts = [write_source(random_case(5).firmware, title="again") for _ in range(2)]
    assert texts[0] == texts[1]


def test_users_names_cannot_break_the_c(tmp_path: Path) -> None:
    """Names that are C words, that end comments, that differ in case only, that are one after another the same."""
    wild = ["int", "a*/b", "A*/B", "", "x\ny", "run", "kernel", "größe", "0", "net_run", "arena"]
    maker = Maker(1)
    current = maker.input(2, 4, 4)
    for _ in wild:
        current = maker.clamp(current)
    case = maker.case((current,))
    renamed = {f"v{i}": name for i, name in enumerate(wild)}
    instructions = tuple(dataclasses.replace(i, inputs=tuple(renamed.get(n, n) for n in i.inputs), output=renamed[i.output])  # type: ignore[type-var]
                         for i in case.program.instructions)
    encodings = {renamed.get(n, n): e for n, e in case.program.encodings.items()}
    program = Program(instructions, case.program.inputs, (renamed[current],), encodings)
    assert_same_codes([Case(program, case.codes)], tmp_path)
