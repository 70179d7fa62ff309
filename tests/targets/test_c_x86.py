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
from bitsmith.integer.instructions import AddRescaled, Convolve, MatrixMultiply, MaxPool, Mean
from bitsmith.integer.requantization import FixedPoint
from bitsmith.integer.rescaling import FixedTotal
from bitsmith.integer.windows import Window
from bitsmith.numerics import Encoding, Integer
from bitsmith.targets.c.firmware import Choices
from bitsmith.targets.c.source import write_source
from bitsmith.targets.c.x86_layout import IN_LANES, IN_QUADS, TURN

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


def convolution(seed: int, shape: tuple[int, int, int], outputs: int, window: Window, **options: Any) -> Case:
    """One convolution of codes by chance. Options: groups, kind of codes, real multipliers, planar: channels first in memory."""
    maker = Maker(seed, formats=(options.get("kind", UNSIGNED),))
    name = maker.input(*shape)
    encoding: Encoding = maker.values[name][1]
    groups = options.get("groups", 1)
    weights = maker.random.integers(-128, 128, (outputs, shape[0] // groups, *window.kernel))
    weights[maker.random.integers(0, 3, weights.shape) == 0] = maker.pick(-128, 127)
    bias, source = maker.random.integers(-1000, 1000, outputs).astype(np.int32), CodeRange.of(encoding)
    reach = weighted(weights.reshape(outputs, -1), bias, *source.steps).largest
    real = options.get("real", maker.random.uniform(0.5, 2, outputs) * len(source) / reach)
    rounding = FixedPoint.of(real, maker.narrowed(source))
    made = Convolve((name,), "v0", source, weights.astype(np.int8), np.zeros((), np.int32), window, bias, groups, requantize=rounding)
    maker.add(made, (outputs, *window.output_sizes(shape[1:])), encoding)
    return replace(fast(maker.case(("v0",))), choices=Choices(flavour="x86", channels_last=not options.get("planar", False)))


def window(height: int, width: int, stride: int = 1, pads: Sequence[int] = (0, 0, 0, 0), dilations: tuple[int, int] = (1, 1)) -> Window:
    """pads: above, below, left, right"""
    return Window.of((height, width), strides=(stride, stride), pads=(tuple(pads[:2]), tuple(pads[2:])), dilations=dilations)


ROUND = (1, 1, 1, 1)
CONVOLUTIONS = (
    convolution(1, (3, 9, 7), 16, window(3, 3, 1, ROUND)), convolution(2, (3, 8, 8), 20, window(3, 3, 2, (0, 1, 0, 1)), planar=True),
    convolution(3, (1, 11, 6), 5, window(10, 4, 2, (4, 5, 1, 1))), convolution(4, (8, 5, 5), 33, window(1, 1)),
    convolution(5, (6, 7, 9), 16, window(1, 1, 2)), convolution(6, (4, 6, 11), 7, window(5, 2, 3, (2, 0, 1, 4))),
    convolution(7, (5, 9, 4), 3, window(3, 2, 1, (3, 3, 0, 2), (2, 1))), convolution(8, (2, 6, 7), 18, window(2, 3, 1, (-1, 0, -1, 2))),
    convolution(9, (16, 5, 6), 16, window(3, 3, 2, ROUND)),
)
TILES = (
    convolution(11, (16, 7, 5), 16, window(3, 3, 1, ROUND)), convolution(12, (32, 4, 6), 20, window(3, 3, 1, ROUND)),
    convolution(13, (48, 5, 5), 3, window(3, 3)), convolution(14, (16, 9, 12), 33, window(3, 3, 1, (2, 0, 0, 2))),
    convolution(15, (16, 1, 9), 16, window(3, 3, 1, ROUND)),
)
DEPTHWISE = (
    convolution(21, (32, 7, 5), 32, window(3, 3, 1, ROUND), groups=32), convolution(22, (16, 8, 9), 16, window(3, 3, 2, ROUND), groups=16),
    convolution(23, (8, 6, 7), 8, window(3, 3, 1, ROUND), groups=8), convolution(24, (4, 5, 5), 4, window(2, 2), groups=4),
    convolution(25, (16, 9, 9), 16, window(3, 2, 1, (2, 2, 1, 0), (2, 3)), groups=16),
    convolution(26, (2, 3, 8), 2, window(1, 5, 1, (0, 0, 2, 2)), groups=2, planar=True),
)


@pytest.mark.parametrize("flags", WAYS)
def test_convolutions(flags: tuple[str, ...], tmp_path: Path) -> None:
    """Windows that hang over, odd numbers of everything, both orders of memory, weights and codes at their ends."""
    assert {k for k in kernels(CONVOLUTIONS) if "copy" not in k} == {"x86_convolve"}
    assert {k for k in kernels(TILES) if "copy" not in k} == {"x86_winograd"}
    assert {k for k in kernels(DEPTHWISE) if "copy" not in k} == {"x86_depthwise"}
    assert_same_codes([*CONVOLUTIONS, *TILES, *DEPTHWISE], tmp_path, flags=flags)


def others() -> list[Case]:
    """Products of one row and of several, sums, means over all pixels."""
    cases = []
    for seed, (rows, terms, outputs) in enumerate([((), 70, 21), ((9,), 13, 16), ((2, 3), 32, 40)]):
        maker = Maker(seed, formats=(UNSIGNED,))
        name = maker.input(*rows, terms)
        encoding = maker.values[name][1]
        source, weights = CodeRange.of(encoding), maker.random.integers(-128, 128, (terms, outputs)).astype(np.int8)
        plain = MatrixMultiply((name,), "v0", source, None, weights, np.zeros((), np.int32), None)
        rounding = maker.rounding(plain.bounds(terms).largest, encoding, outputs)
        maker.add(replace(plain, requantize=rounding), (*rows, outputs), encoding)
        cases.append(fast(maker.case(("v0",))))
    return [*cases, *(pixels(seed, shape) for seed, shape in enumerate([(16, 3, 5), (32, 4, 4), (48, 1, 1)]))]


def pixels(seed: int, shape: tuple[int, int, int]) -> Case:
    """The sum of an image and what pooling makes of it, an image whose channels lie last; and the mean of that."""
    maker = Maker(seed, formats=(UNSIGNED,))
    name = maker.input(*shape)
    encoding, other = maker.values[name][1], maker.encoding()
    pooled = maker.add(MaxPool((name,), "v0", Window.of((1, 1))), shape, encoding)
    ranges = (CodeRange.of(encoding), CodeRange.of(encoding))
    total = FixedTotal.of([encoding, encoding], [1, maker.pick(1, -1)], other.scale, maker.narrowed(CodeRange.of(other)))
    added = maker.add(AddRescaled((pooled, name), "v1", ranges, total), shape, other)
    rounding = FixedPoint.of(np.asarray(0.2 / np.prod(shape[1:])), CodeRange.of(encoding))
    maker.add(Mean((added,), "v2", CodeRange.of(other), (2, 3), rounding, True), (shape[0], 1, 1), encoding)
    return fast(maker.case((added, "v2")))


@pytest.mark.parametrize("flags", WAYS)
def test_products_sums_and_means(flags: tuple[str, ...], tmp_path: Path) -> None:
    cases = others()
    found = kernels(cases)
    assert (found["x86_convolve"], found["x86_add"], found["x86_mean"]) == (3, 3, 3)
    assert_same_codes(cases, tmp_path, flags=flags)


@pytest.mark.skipif(shutil.which("clang") is None, reason="needs clang")
@needs_avx2
def test_another_compiler_optimises(tmp_path: Path) -> None:
    assert_same_codes([CONVOLUTIONS[1], TILES[1], DEPTHWISE[2]], tmp_path, compiler="clang", flags=("-O3", "-mavx2"))


def test_multipliers_of_all_sizes(tmp_path: Path) -> None:
    """Down to nothing; with one of a quarter or more a layer stays portable, and so it does with codes that have a sign."""
    real = np.asarray([0.2, 1e-9, 1e-12, 0.01, 1e-4, 0.0001, 0.249, 2e-8])
    small = [convolution(1, (16, 4, 4), 8, window(3, 3), real=real), convolution(2, (8, 4, 4), 8, window(3, 3), groups=8, real=real)]
    assert kernels(small) == {"x86_winograd": 1, "x86_depthwise": 1, "copy": 2}
    large = [convolution(3, (16, 4, 4), 8, window(1, 1), real=np.where(real == 0.01, 0.25, real)),
             convolution(4, (8, 4, 4), 8, window(1, 1), groups=8, real=3 * real), convolution(5, (16, 4, 4), 8, window(3, 3), kind=SIGNED)]
    assert not any(name.startswith("x86") for name in kernels(large))
    assert_same_codes([*small, *large], tmp_path)


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
    np.testing.assert_array_equal(a @ ((TURN @ w @ TURN.T) * (b @ d @ b.T)) @ a.T, 4 * np.asarray(y))
    assert max(abs(TURN).sum(1)) ** 2 * 128 < 2**15


def test_every_lane_has_a_channel() -> None:
    assert sorted(IN_LANES) == sorted(IN_QUADS) == list(range(16))


@pytest.mark.skipif(platform.machine() != "x86_64", reason="this compiler makes no x86 code")
@pytest.mark.parametrize(("flags", "multiplies"), [("-mavx2", "vpmaddwd"), ("-march=cascadelake", "vpdpbusd\t")])
def test_instructions(flags: str, multiplies: str, tmp_path: Path) -> None:
    """What multiplies and adds, without a detour through memory: eight sums at least stay in registers."""
    for name, text in write_source(CONVOLUTIONS[3].firmware, title="one").items():
        (tmp_path / name).write_text(text)
    command = ["gcc", "-std=c99", "-O3", flags, "-S", "net.c", "-o", "-"]
    assembly = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    assert assembly.count(multiplies) >= 8
    assert ("zmm" in assembly) == (multiplies != "vpmaddwd")
