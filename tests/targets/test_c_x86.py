"""The kernels for x86 compute what the instructions compute: in plain C, with AVX2, and with AVX-512 VNNI, in truth or in its place."""

import platform
import shutil
import subprocess
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from compiled_c import SANITIZED, Case, assert_same_codes
from random_programs import Maker

from bitsmith.integer.bounds import weighted
from bitsmith.integer.codes import CodeRange
from bitsmith.integer.instructions import AddRescaled, Clamp, Convolve, MatrixMultiply, MaxPool, Mean
from bitsmith.integer.requantization import FixedPoint
from bitsmith.integer.rescaling import FixedTotal
from bitsmith.integer.windows import Window
from bitsmith.numerics import Encoding, Integer
from bitsmith.targets.c.firmware import Choices
from bitsmith.targets.c.source import write_source
from bitsmith.targets.c.x86_layout import IN_LANES, IN_QUADS
from bitsmith.targets.c.x86_tiles import TWO

pytestmark = pytest.mark.skipif(shutil.which("gcc") is None, reason="needs gcc")
UNSIGNED, SIGNED = Integer(8, signed=False), Integer(8)
CPU = Path("/proc/cpuinfo").read_text(encoding="utf-8").split() if Path("/proc/cpuinfo").exists() else []
STANDS_IN = ("-mavx2", "-include", str(Path(__file__).parents[1] / "avx512_in_c.h"))
needs_avx2 = pytest.mark.skipif("avx2" not in CPU, reason="this processor has no AVX2")
needs_vnni = pytest.mark.skipif("avx512_vnni" not in CPU, reason="this processor has no AVX-512 VNNI")
WAYS = [
    pytest.param(SANITIZED, id="plain"),
    pytest.param((*SANITIZED, "-mavx2"), marks=needs_avx2, id="avx2"),
    pytest.param((*SANITIZED, *STANDS_IN), marks=needs_avx2, id="vnni in plain C"),
    pytest.param((*SANITIZED, "-march=cascadelake"), marks=needs_vnni, id="vnni"),
]


def fast(case: Case) -> Case:
    """The case with the kernels for x86."""
    return replace(case, choices=Choices(flavour="x86", channels_last=True))


def kernels(cases: Sequence[Case]) -> Counter[str]:
    return Counter(call.kernel for case in cases for call in case.firmware.calls)


def convolve(maker: Maker, shape: tuple[int, int, int], outputs: int, window: Window, **options: Any) -> str:
    """One more convolution of an input of its own. Options: groups, real multipliers, planar: channels first in memory."""
    given = maker.input(*shape)
    encoding: Encoding = maker.values[given][1]
    name = maker.add(Clamp((given,), maker.name(), 0, 255), shape, encoding) if options.get("planar") else given
    groups, random = options.get("groups", 1), maker.random
    weights = random.integers(-128, 128, (outputs, shape[0] // groups, *window.kernel))
    weights[random.integers(0, 3, weights.shape) == 0] = maker.pick(-128, 127)
    bias, source = random.integers(-1000, 1000, outputs).astype(np.int32), CodeRange.of(encoding)
    reach = weighted(weights.reshape(outputs, -1), bias, *source.steps).largest
    rounding = FixedPoint.of(options.get("real", random.uniform(0.5, 2, outputs) * len(source) / reach), maker.narrowed(source))
    made = Convolve((name,), maker.name(), source, weights.astype(np.int8), np.zeros((), np.int32), window, bias, groups, (1, 1), rounding)
    return maker.add(made, (outputs, *window.output_sizes(shape[1:])), encoding)


def case_of(*convolutions: tuple[Any, ...], seed: int = 1, kind: Integer = UNSIGNED) -> Case:
    """Many in one program, so that kernels are compiled once. Each: shape, outputs, window, options."""
    maker = Maker(seed, formats=(kind,))
    return fast(maker.case(tuple(convolve(maker, *found[:3], **(found[3] if len(found) > 3 else {})) for found in convolutions)))


def window(height: int, width: int, stride: int = 1, pads: Sequence[int] = (0, 0, 0, 0), dilations: tuple[int, int] = (1, 1)) -> Window:
    """pads: above, below, left, right"""
    return Window.of((height, width), strides=(stride, stride), pads=(tuple(pads[:2]), tuple(pads[2:])), dilations=dilations)


ROUND = (1, 1, 1, 1)
DIRECT = (
    ((3, 9, 7), 16, window(3, 3, 1, ROUND)), ((3, 8, 8), 20, window(3, 3, 2, (0, 1, 0, 1)), {"planar": True}),
    ((1, 11, 6), 5, window(10, 4, 2, (4, 5, 1, 1))), ((8, 5, 5), 33, window(1, 1)), ((6, 7, 9), 16, window(1, 1, 2)),
    ((4, 6, 11), 7, window(5, 2, 3, (2, 0, 1, 4))), ((5, 9, 4), 3, window(3, 2, 1, (3, 3, 0, 2), (2, 1))),
    ((2, 6, 7), 18, window(2, 3, 1, (-1, 0, -1, 2))), ((16, 5, 6), 16, window(3, 3, 2, ROUND)),
)
TILES = (
    ((16, 7, 5), 16, window(3, 3, 1, ROUND)), ((32, 4, 6), 20, window(3, 3, 1, ROUND)), ((48, 5, 5), 3, window(3, 3)),
    ((16, 9, 12), 33, window(3, 3, 1, (2, 0, 0, 2))), ((16, 1, 9), 16, window(3, 3, 1, ROUND)),
)
LARGE = np.asarray([0.2, 0.9, 0.25, 1.7, 0.01, 2e-8, 1e-12, 5.0])
DEPTHWISE = (
    ((32, 7, 5), 32, window(3, 3, 1, ROUND), {"groups": 32}), ((16, 8, 9), 16, window(3, 3, 2, ROUND), {"groups": 16}),
    ((8, 6, 7), 8, window(3, 3, 1, ROUND), {"groups": 8, "real": LARGE}), ((4, 5, 5), 4, window(2, 2), {"groups": 4}),
    ((16, 9, 9), 16, window(3, 2, 1, (2, 2, 1, 0), (2, 3)), {"groups": 16}),
    ((2, 3, 8), 2, window(1, 5, 1, (0, 0, 2, 2)), {"groups": 2, "planar": True}),
)


@pytest.mark.parametrize("flags", WAYS)
def test_convolutions(flags: tuple[str, ...], tmp_path: Path) -> None:
    """Windows that hang over, odd numbers of everything, both orders of memory, weights and codes at their ends."""
    case = case_of(*DIRECT, *TILES, *DEPTHWISE)
    found = kernels([case])
    assert (found["x86_convolve"], found["x86_winograd"], found["x86_depthwise"]) == (len(DIRECT), len(TILES), len(DEPTHWISE))
    assert_same_codes([case], tmp_path, flags=flags)


def multiply(maker: Maker, rows: tuple[int, ...], terms: int, outputs: int) -> str:
    name = maker.input(*rows, terms)
    encoding = maker.values[name][1]
    weights = maker.random.integers(-128, 128, (terms, outputs)).astype(np.int8)
    plain = MatrixMultiply((name,), maker.name(), CodeRange.of(encoding), None, weights, np.zeros((), np.int32), None)
    rounding = maker.rounding(plain.bounds(terms).largest, encoding, outputs)
    return maker.add(replace(plain, requantize=rounding), (*rows, outputs), encoding)


def add_and_average(maker: Maker, shape: tuple[int, int, int]) -> tuple[str, str]:
    """The sum of an image and what pooling makes of it, an image whose channels lie last; and the mean of that."""
    name = maker.input(*shape)
    encoding, other = maker.values[name][1], maker.encoding()
    source, result = CodeRange.of(encoding), CodeRange.of(other)
    pooled = maker.add(MaxPool((name,), maker.name(), Window.of((1, 1))), shape, encoding)
    total = FixedTotal.of([encoding, encoding], [1, maker.pick(1, -1)], other.scale, maker.narrowed(result))
    added = maker.add(AddRescaled((pooled, name), maker.name(), (source, source), total), shape, other)
    rounding = FixedPoint.of(np.asarray(0.2 / np.prod(shape[1:])), source)
    return added, maker.add(Mean((added,), maker.name(), result, (2, 3), rounding, True), (shape[0], 1, 1), encoding)


@pytest.mark.parametrize("flags", WAYS)
def test_products_sums_and_means(flags: tuple[str, ...], tmp_path: Path) -> None:
    """Of one row and of several; of whole and odd numbers of elements and pixels."""
    maker = Maker(3, formats=(UNSIGNED,))
    names = [multiply(maker, *found) for found in (((), 70, 21), ((9,), 13, 16), ((2, 3), 32, 40))]
    for shape in ((16, 3, 5), (32, 4, 4), (48, 1, 1), (5, 3, 3)):
        names += add_and_average(maker, shape)
    case = fast(maker.case(tuple(names)))
    found = kernels([case])
    assert (found["x86_convolve"], found["x86_add"], found["x86_mean"]) == (3, 4, 3)
    assert_same_codes([case], tmp_path, flags=flags)


@pytest.mark.skipif(shutil.which("clang") is None, reason="needs clang")
@needs_avx2
def test_another_compiler_optimises(tmp_path: Path) -> None:
    assert_same_codes([case_of(DIRECT[1], TILES[1], DEPTHWISE[2])], tmp_path, compiler="clang", flags=("-O3", "-mavx2"))


def test_what_stays_portable(tmp_path: Path) -> None:
    """Convolutions with a multiplier of a quarter or more, depthwise ones with one beyond all bounds, codes that have a sign."""
    real = np.asarray([0.2, 1e-9, 1e-12, 0.01, 1e-4, 0.0001, 0.249, 2e-8])
    small = case_of(((16, 4, 4), 8, window(3, 3), {"real": real}))
    assert kernels([small])["x86_winograd"] == 1
    others = [case_of(((16, 4, 4), 8, window(1, 1), {"real": np.where(real == 0.01, 0.25, real)}),
                      ((8, 4, 4), 8, window(1, 1), {"groups": 8, "real": 1000 * real})),
              case_of(((16, 4, 4), 8, window(3, 3)), kind=SIGNED)]
    assert not any(name.startswith("x86") for name in kernels(others))
    assert_same_codes([small, *others], tmp_path)


def test_tiles_need_two_bits_to_spare() -> None:
    """Their sums are four times as large: where that may leave 32 bits, windows are multiplied as they are."""
    channels = 16 * 128
    weights = np.full((1, channels, 3, 3), 127, np.int8)
    maker = Maker(0, formats=(UNSIGNED,))
    encoding = Encoding(UNSIGNED, np.float32(1), np.int32(0))
    maker.inputs["in0"], maker.values["in0"] = encoding, ((channels, 3, 3), encoding)
    rounding = FixedPoint.of(np.asarray(1e-7), CodeRange.of(encoding))
    made = Convolve(("in0",), "v0", CodeRange.of(encoding), weights, np.zeros((), np.int32), window(3, 3), requantize=rounding)
    maker.add(made, (1, 1, 1), encoding)
    assert kernels([fast(maker.case(("v0",)))]) == {"x86_convolve": 1}


def test_tiles_are_four_times_the_convolution() -> None:
    """Winograd's identity with whole numbers: 4 y = A (G' w G'^T * B d B^T) A^T."""
    random = np.random.default_rng(0)
    d, w = random.integers(0, 256, (4, 4)), random.integers(-128, 128, (3, 3))
    b = np.asarray([[1, 0, -1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, 1, 0, -1]])
    a = np.asarray([[1, 1, 1, 0], [0, 1, -1, -1]])
    y = [[(d[i:i + 3, j:j + 3] * w).sum() for j in range(2)] for i in range(2)]
    np.testing.assert_array_equal(a @ ((TWO.turn @ w @ TWO.turn.T) * (b @ d @ b.T)) @ a.T, 4 * np.asarray(y))
    assert max(abs(TWO.turn).sum(1)) ** 2 * 128 < 2**15


def test_every_lane_has_a_channel() -> None:
    assert sorted(IN_LANES) == sorted(IN_QUADS) == list(range(16))


@pytest.mark.skipif(platform.machine() != "x86_64", reason="this compiler makes no x86 code")
@pytest.mark.parametrize(("flags", "multiplies"), [("-mavx2", "vpmaddwd"), ("-march=cascadelake", "vpdpbusd\t")])
def test_instructions(flags: str, multiplies: str, tmp_path: Path) -> None:
    """What multiplies and adds, without a detour through memory: eight sums at least stay in registers."""
    for name, text in write_source(case_of(DIRECT[3]).firmware, title="one").items():
        (tmp_path / name).write_text(text)
    command = ["gcc", "-std=c99", "-O3", flags, "-S", "net.c", "-o", "-"]
    assembly = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    assert assembly.count(multiplies) >= 8
    assert ("zmm" in assembly) == (multiplies != "vpmaddwd")
