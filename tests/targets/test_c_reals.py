"""Every C kernel in float computes what its instruction computes in numpy, bit for bit, under sanitizers and with warnings as errors."""

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from compiled_c import SANITIZED, Case, run_in_c
from emulated_c import run_on_cortex_m7
from random_reals import ANYWHERE, PLANES, RealMaker, random_real_case

from bitsmith.integer.windows import Window
from bitsmith.real.instructions import CURVES, FROM_LIBRARY, Limits, RealConvolve, RealCurve
from bitsmith.targets.c.cortex_m7 import missing_tools

pytestmark = pytest.mark.skipif(shutil.which("gcc") is None, reason="needs gcc")
KINDS = {kind.__name__: kind for kind in (*PLANES, *ANYWHERE, RealMaker.arg_max)}


def assert_same_bits(cases: Sequence[Case], found: Sequence[dict[str, np.ndarray]]) -> None:  # type: ignore[type-arg]
    for number, (case, outputs) in enumerate(zip(cases, found, strict=True)):
        for name, expected in case.expected().items():
            assert outputs[name].dtype == expected.dtype
            patterns = (a if a.dtype.kind in "iu" else np.where(np.isnan(a), np.float32(np.nan), a).view(np.int32)
                        for a in (outputs[name], expected))
            np.testing.assert_array_equal(*patterns, err_msg=f"case {number}, '{name}': {case.program.instructions}"[:3000])


@pytest.mark.parametrize("kind", KINDS)
def test_one_instruction(kind: str, tmp_path: Path) -> None:
    """Each alone, six times, on one- and two-dimensional values, all weights' formats among them."""
    cases = []
    for seed in range(6):
        maker = RealMaker(seed)
        first = maker.input(maker.integer(1, 12), *(maker.integer(2, 7) for _ in range(1 + seed % 2)))
        cases.append(maker.case((KINDS[kind](maker, first),), samples=3))
    assert_same_bits(cases, run_in_c(cases, tmp_path))


@pytest.mark.parametrize(("compiler", "flags"), [
    ("gcc", SANITIZED), ("clang", SANITIZED), ("gcc", ("-O3", "-march=native", "-ffp-contract=off")),
])
def test_random_programs(compiler: str, flags: tuple[str, ...], tmp_path: Path) -> None:
    """Chains with branches: orders of memory, shared memory and odd shapes together."""
    if shutil.which(compiler) is None:
        pytest.skip(f"needs {compiler}")
    cases = [random_real_case(seed) for seed in range(8)]
    assert_same_bits(cases, run_in_c(cases, tmp_path, compiler=compiler, flags=flags))


def test_layers_over_their_own_input(tmp_path: Path) -> None:
    """One value's memory and little more: four windows are gathered before any result is written."""
    cases = []
    for seed in range(2):
        maker = RealMaker(seed)
        current = maker.input(4, 6 + seed, 5)
        for groups, kernel in ((1, 3), (1, 3), (4, 3), (2, 3), (1, 1), (1, 3)):
            window = Window.of((kernel, kernel), pads=[(kernel // 2, kernel // 2)] * 2)
            weights = maker.weights(4, 4 // groups, kernel, kernel)
            current = maker.add(RealConvolve((current,), maker.name(), weights, window, groups), maker.shapes[current])
        cases.append(maker.case((current,)))
        assert cases[-1].firmware.arena.size <= 2 * 4 * 4 * (6 + seed) * 5 + 4 * 4 * 36
    assert_same_bits(cases, run_in_c(cases, tmp_path))


def test_what_a_library_computes_is_near(tmp_path: Path) -> None:
    """tanhf and its kin of two libraries: not the same bits, but few of the last ones apart; of 1 + erf(x), which may cancel, of 1's."""
    cases = []
    for curve in sorted(FROM_LIBRARY):
        maker = RealMaker(1)
        current = maker.input(3, 50)
        if curve in ("log", "power"):
            current = maker.add(RealCurve((current,), maker.name(), "abs"), (3, 50))
        cases.append(maker.case((maker.add(RealCurve((current,), maker.name(), curve, (0.7, 0.0)), (3, 50)),)))
    for seed in range(4):
        maker = RealMaker(seed)
        cases.append(maker.case((maker.softmax(maker.input(3, 4, 5)),)))
    for case, found in zip(cases, run_in_c(cases, tmp_path), strict=True):
        cancels = "gelu" in getattr(case.program.instructions[-1], "curve", "")
        for name, expected in case.expected().items():
            np.testing.assert_allclose(found[name], expected, rtol=2e-6, atol=1e-6 if cancels else 1e-30)


def test_every_curve_has_a_kernel(tmp_path: Path) -> None:
    maker = RealMaker(2)
    current = maker.input(40)
    cases = [maker.case(tuple(maker.add(RealCurve((current,), maker.name(), curve, (0.3, 0.5)), (40,))
                              for curve in sorted(CURVES.keys() - FROM_LIBRARY)))]
    assert_same_bits(cases, run_in_c(cases, tmp_path))


def test_not_a_number_stays_so_and_minus_zero_too(tmp_path: Path) -> None:
    maker = RealMaker(0)
    made = maker.case((maker.clamp(maker.input(5)),))
    special = np.asarray([[np.nan, -0.0, np.inf, -np.inf, 1e-42]], np.float32)
    case = Case(made.program, {"in0": special}, made.choices)
    (found,) = run_in_c([case], tmp_path)
    limits = made.program.instructions[0].limits
    assert isinstance(limits, Limits)
    (output,) = found.values()
    np.testing.assert_array_equal(output, limits.apply(special))
    assert np.isnan(output[0, 0])
    assert np.signbit(output[0, 1])


@pytest.mark.skipif(bool(missing_tools()), reason=f"needs {', '.join(missing_tools())}")
def test_the_same_bits_on_cortex_m7(tmp_path: Path) -> None:
    """Without a fused multiplication and addition, and with subnormal numbers."""
    cases = [random_real_case(seed) for seed in range(100, 105)]
    assert_same_bits(cases, run_on_cortex_m7(cases, tmp_path))
