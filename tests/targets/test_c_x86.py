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
from bitsmith.integer.requantization import EvenShift, FixedPoint, Requantize
from bitsmith.integer.rescaling import EvenTotal, FixedTotal
from bitsmith.integer.windows import Window
from bitsmith.numerics import Encoding, Integer
from bitsmith.targets.c.firmware import Choices
from bitsmith.targets.c.source import write_source
from bitsmith.targets.c.x86_layout import IN_LANES, IN_QUADS
from bitsmith.targets.c.x86_tiles import FOUR, TWO, Tiles

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


def fast(case: Case, rounding: str = "multiplier") -> Case:
    """The case with the kernels for x86."""
    return replace(case, choices=Choices(rounding, flavour="x86", channels_last=True))


def kernels(cases: Sequence[Case]) -> Counter[str]:
    return Counter(call.kernel for case in cases for call in case.firmware.calls)


def convolve(maker: Maker, shape: tuple[int, int, int], outputs: int, window: Window, **options: Any) -> str:
    """One more convolution of an input of its own. Options: groups, real multipliers, planar: channels first in memory, even: by shifts."""
    given = maker.input(*shape)
    encoding: Encoding = maker.values[given][1]
    name = maker.add(Clamp((given,), maker.name(), 0, 255), shape, encoding) if options.get("planar") else given
    groups, random = options.get("groups", 1), maker.random
    weights = random.integers(-128, 128, (outputs, shape[0] // groups, *window.kernel))
    weights[random.integers(0, 3, weights.shape) == 0] = maker.pick(-128, 127)
    bias, source = random.integers(-1000, 1000, outputs).astype(np.int32), CodeRange.of(encoding)
    reach = weighted(weights.reshape(outputs, -1), bias, *source.steps).largest
    real = options.get("real", random.uniform(0.5, 2, outputs) * len(source) / reach)
    rounding: Requantize = FixedPoint.of(real, maker.narrowed(source))
    if "even" in options:                               # sums are multiples of 32, so that many lie between two codes
        weights, bias = weights // 32 * 32, bias // 32 * 32
        rounding = EvenShift.of(np.exp2(np.rint(np.log2(real))), maker.narrowed(source), zero_first=maker.pick(True, False))
    made = Convolve((name,), maker.name(), source, weights.astype(np.int8), np.zeros((), np.int32), window, bias, groups, (1, 1), rounding)
    return maker.add(made, (outputs, *window.output_sizes(shape[1:])), encoding)


def case_of(*convolutions: tuple[Any, ...], seed: int = 1, kind: Integer = UNSIGNED, rounding: str = "multiplier") -> Case:
    """Many in one program, so that kernels are compiled once. Each: shape, outputs, window, options."""
    maker = Maker(seed, formats=(kind,))
    names = tuple(convolve(maker, *found[:3], **(found[3] if len(found) > 3 else {})) for found in convolutions)
    return fast(maker.case(names), rounding)


def window(height: int, width: int, stride: int = 1, pads: Sequence[int] = (0, 0, 0, 0), dilations: tuple[int, int] = (1, 1)) -> Window:
    """pads: above, below, left, right"""
    return Window.of((height, width), strides=(stride, stride), pads=(tuple(pads[:2]), tuple(pads[2:])), dilations=dilations)


ROUND = (1, 1, 1, 1)
DIRECT = (
    ((3, 9, 7), 16, window(3, 3, 1, ROUND)), ((3, 8, 8), 20, window(3, 3, 2, (0, 1, 0, 1)), {"planar": True}),
    ((1, 11, 6), 5, window(10, 4, 2, (4, 5, 1, 1))), ((8, 5, 5), 33, window(1, 1)), ((6, 7, 9), 16, window(1, 1, 2)),
    ((4, 6, 11), 7, window(5, 2, 3, (2, 0, 1, 4))), ((5, 9, 4), 3, window(3, 2, 1, (3, 3, 0, 2), (2, 1))),
    ((2, 6, 7), 18, window(2, 3, 1, (-1, 0, -1, 2))), ((16, 5, 6), 16, window(3, 3, 2, ROUND)),
    ((16, 7, 9), 32, window(1, 1, 2)), ((3, 8, 8), 8, window(3, 3, 2, ROUND)), ((1, 5, 12), 4, window(3, 3, 1, ROUND), {"planar": True}),
    ((2, 4, 7), 2, window(2, 2, 1, (1, 0, 1, 0))), ((40, 1, 1), 21, window(1, 1)), ((5, 4, 9), 3, window(3, 1, 2, (1, 1, 0, 0), (2, 1))),
)
TILES = (
    ((16, 7, 5), 16, window(3, 3, 1, ROUND)), ((32, 4, 6), 20, window(3, 3, 1, ROUND)), ((48, 5, 5), 3, window(3, 3)),
    ((16, 9, 12), 33, window(3, 3, 1, (2, 0, 0, 2))), ((16, 1, 9), 16, window(3, 3, 1, ROUND)), ((32, 13, 14), 16, window(3, 3)),
    ((16, 2, 2), 16, window(3, 3, 1, ROUND)), ((80, 9, 9), 32, window(3, 3, 1, ROUND)),
)
LARGE = np.asarray([0.2, 0.9, 0.25, 1.7, 0.01, 2e-8, 1e-12, 5.0])
DEPTHWISE = (
    ((32, 7, 5), 32, window(3, 3, 1, ROUND), {"groups": 32}), ((16, 8, 9), 16, window(3, 3, 2, ROUND), {"groups": 16}),
    ((8, 6, 7), 8, window(3, 3, 1, ROUND), {"groups": 8, "real": LARGE}), ((4, 5, 5), 4, window(2, 2), {"groups": 4}),
    ((16, 9, 9), 16, window(3, 2, 1, (2, 2, 1, 0), (2, 3)), {"groups": 16}),
    ((2, 3, 8), 2, window(1, 5, 1, (0, 0, 2, 2)), {"groups": 2, "planar": True}),
    ((16, 12, 9), 16, window(3, 3, 1, ROUND, (2, 3)), {"groups": 16}), ((16, 11, 10), 16, window(2, 2, 3), {"groups": 16}),
    ((32, 5, 7), 32, window(3, 3, 2, (0, 1, 3, 4)), {"groups": 32, "planar": True}), ((8, 9, 9), 8, window(3, 3), {"groups": 8}),
    ((16, 4, 4), 16, window(3, 3, 1, (4, 4, 4, 4)), {"groups": 16}),
)
MANY_ROWS = (((16, 37, 60), 16, window(3, 3, 2, ROUND)), ((64, 30, 20), 64, window(3, 3, 2, ROUND)), ((8, 40, 33), 20, window(1, 1)))


@pytest.mark.parametrize("flags", WAYS)
def test_convolutions(flags: tuple[str, ...], tmp_path: Path) -> None:
    """Windows that hang over, odd numbers of everything, both orders of memory, weights and codes at their ends."""
    case = case_of(*DIRECT, *TILES, *DEPTHWISE)
    found = kernels([case])
    assert (found["x86_convolve"], found["x86_winograd"], found["x86_depthwise"]) == (len(DIRECT), len(TILES), len(DEPTHWISE))
    assert {call.parts.get("tiles") for call in case.firmware.calls} > {"tiles_two", "tiles_four"}
    assert_same_codes([case], tmp_path, flags=flags)


@pytest.mark.parametrize("flags", WAYS)
def test_convolutions_by_shifts(flags: tuple[str, ...], tmp_path: Path) -> None:
    """Ties to even codes, of which there are many, and to odd ones."""
    case = case_of(*((*found[:3], {**dict(*found[3:]), "even": True}) for found in (*DIRECT[:4], *TILES, *DEPTHWISE[3:])), rounding="shift")
    kinds = Counter(call.parts.get("scaling") for call in case.firmware.calls if call.kernel.startswith("x86"))
    assert kinds == {"scaling_shift": 4 + len(TILES) + len(DEPTHWISE) - 3}
    assert_same_codes([case], tmp_path, flags=flags)


def test_many_rows(tmp_path: Path) -> None:
    """More than are laid out together, with weights that are widened once, and with some that are too many for that."""
    case = case_of(*MANY_ROWS)
    fields = [call.fields.entries for call in case.firmware.calls]
    assert all(found["together"] < found["out_height"] for found in fields[:2])         # type: ignore[operator]
    assert [found["ready"] for found in fields[:3]] == [16, 16, 32]
    assert_same_codes([case], tmp_path, flags=("-O1", "-mavx2") if "avx2" in CPU else ("-O1",))


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
    kind = EvenTotal if maker.powers else FixedTotal
    total = kind.of([encoding, encoding], [1, maker.pick(1, -1)], other.scale, maker.narrowed(result))
    added = maker.add(AddRescaled((pooled, name), maker.name(), (source, source), total), shape, other)
    real = np.asarray(0.2 / np.prod(shape[1:]))
    rounding = EvenShift.of(np.exp2(np.rint(np.log2(real))), source) if maker.powers else FixedPoint.of(real, source)
    return added, maker.add(Mean((added,), maker.name(), result, (2, 3), rounding, True), (shape[0], 1, 1), encoding)


@pytest.mark.parametrize("rounding", ["multiplier", "shift"])
@pytest.mark.parametrize("flags", WAYS)
def test_products_sums_and_means(flags: tuple[str, ...], rounding: str, tmp_path: Path) -> None:
    """Of one row and of several; of whole and odd numbers of elements and pixels."""
    maker = Maker(3, formats=(UNSIGNED,), powers=rounding == "shift")
    names = [multiply(maker, *found) for found in (((), 70, 21), ((9,), 13, 16), ((2, 3), 32, 40))]
    for shape in ((16, 3, 5), (32, 4, 4), (48, 1, 1), (5, 3, 3)):
        names += add_and_average(maker, shape)
    case = fast(maker.case(tuple(names)), rounding)
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


def test_shifts_that_stay_portable(tmp_path: Path) -> None:
    """Those by less than one. Far shifts make zeros."""
    def shifted(*real: float) -> Case:
        return case_of(((16, 2, 2), len(real), window(1, 1), {"real": np.asarray(real), "even": True}), rounding="shift")
    small, left = shifted(2.0**-9, 0.5, 2.0**-38, 1e-30), shifted(2.0**-9, 1.0)
    assert (kernels([small])["x86_convolve"], kernels([left])["pointwise"]) == (1, 1)
    assert_same_codes([small, left], tmp_path)


@pytest.mark.parametrize(("channels", "size", "tiles"), [
    (112, 4, "tiles_four"), (128, 4, "tiles_two"), (1840, 4, "tiles_two"), (1856, 4, None), (16, 2, "tiles_two"), (16, 1, None)])
def test_tiles_need_bits_to_spare(channels: int, size: int, tiles: str | None) -> None:
    """Their sums are 64 or 4 times as large: where that may leave 32 bits, tiles are smaller, or windows are multiplied as they are.

    So are those of a single pixel.
    """
    weights = np.full((1, channels, 3, 3), 127, np.int8)
    maker = Maker(0, formats=(UNSIGNED,))
    encoding = Encoding(UNSIGNED, np.float32(1), np.int32(0))
    maker.inputs["in0"], maker.values["in0"] = encoding, ((channels, size, size), encoding)
    rounding = FixedPoint.of(np.asarray(1e-7), CodeRange.of(encoding))
    made = Convolve(("in0",), "v0", CodeRange.of(encoding), weights, np.zeros((), np.int32), window(3, 3, 1, ROUND), requantize=rounding)
    maker.add(made, (1, size, size), encoding)
    (call,) = fast(maker.case(("v0",))).firmware.calls
    assert (call.kernel, call.parts.get("tiles")) == ("x86_convolve" if tiles is None else "x86_winograd", tiles)


def transforms(tiles: Tiles) -> tuple[Any, Any]:
    """(of codes, of sums), as the kernels compute them."""
    if tiles is TWO:
        return [[1, 0, -1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, 1, 0, -1]], [[1, 1, 1, 0], [0, 1, -1, -1]]
    return ([[4, 0, -5, 0, 1, 0], [0, -4, -4, 1, 1, 0], [0, 4, -4, -1, 1, 0], [0, -2, -1, 2, 1, 0], [0, 2, -1, -2, 1, 0],
             [0, 4, 0, -5, 0, 1]], [[1, -4, -4, 1, 1, 0], [0, -2, 2, 1, -1, 0], [0, -1, -1, 1, 1, 0], [0, -1, 1, 2, -2, 1]])


@pytest.mark.parametrize(("tiles", "times"), [(TWO, [2, 2]), (FOUR, [24, 12, 6, 6])])
def test_tiles_are_multiples_of_the_convolution(tiles: Tiles, times: list[int]) -> None:
    """Winograd's identity with whole numbers: f f^T y = A (G' w G'^T * B d B^T) A^T; codes and weights stay within 16 bits."""
    random = np.random.default_rng(0)
    b, a = map(np.asarray, transforms(tiles))
    d, w = random.integers(0, 256, (tiles.reach, tiles.reach)), random.integers(-128, 128, (3, 3))
    y = [[(d[i:i + 3, j:j + 3] * w).sum() for j in range(tiles.size)] for i in range(tiles.size)]
    np.testing.assert_array_equal(a @ ((tiles.turn @ w @ tiles.turn.T) * (b @ d @ b.T)) @ a.T, np.outer(times, times) * np.asarray(y))
    assert max(max(abs(tiles.turn).sum(1)) ** 2 * 128, max(abs(b).sum(1)) ** 2 * 255) < 2**15
    assert (times[0] ** 2 // (9 if tiles is FOUR else 1)) << tiles.bits == 2**32


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
