"""The C on an emulated Cortex-M7: every value's codes, a count of instructions that repeats to the last one, boards that are too small."""

from collections.abc import Iterator
from contextlib import closing
from itertools import product
from pathlib import Path

import networks
import numpy as np
import pytest
from emulated_c import run_on_cortex_m7
from random_programs import random_case
from test_c_cortex_m import SIGNED, UNSIGNED, WINDOWS, convolution, fast, kernels, sum_of_all_pairs

import bitsmith as bs
from bitsmith.analysis.compiled import codes_of
from bitsmith.errors import TargetError
from bitsmith.integer.windows import Window
from bitsmith.targets.c import cortex_m7
from bitsmith.targets.c.cortex_m7 import Emulated, build, instructions, missing_tools, understood
from bitsmith.targets.c.run import Folder

needs_tools = pytest.mark.skipif(bool(missing_tools()), reason=f"needs {', '.join(missing_tools())}")


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small network with depthwise and ordinary convolutions, as C for Cortex-M."""
    model = networks.depthwise()
    path = tmp_path_factory.mktemp("m7") / "firmware"
    bs.quantize(model, networks.feeds(model, 16), target="c:cortex-m", recipe=bs.recipes.int8().with_everything()).write(path)
    return path


@pytest.fixture(scope="module")
def emulated(written: Path) -> Iterator[Emulated]:
    with closing(Emulated(Folder(written))) as found:
        yield found


@needs_tools
def test_every_code_is_the_programs(written: Path) -> None:
    found = bs.verify(written, networks.feeds(networks.depthwise(), 5, seed=7), on="cortex-m7")
    assert found.exact
    assert found.samples == 5
    assert sum(c.codes for c in found.comparisons) > 5 * 10
    assert set(found.measured) == {"flash", "ram", "instructions", "stack"}


@needs_tools
@pytest.mark.parametrize("powers", [False, True], ids=["multiplier", "shift"])
def test_its_own_instructions_compute_what_plain_c_does(powers: bool, tmp_path: Path) -> None:
    """Kernels in assembler, with warnings as errors: both ways to store weights, signed and unsigned codes, odd numbers of everything."""
    cases = [fast(random_case(seed, powers=powers)) for seed in range(2)]
    cases += [convolution(seed, (60, 3, 4), 40, Window.of((2, 2)), lowest=-128, kind=kind, powers=powers)
              for seed, kind in enumerate((UNSIGNED, SIGNED))]
    for seed, (window, channels, kind) in enumerate(product(WINDOWS[::2], (3, 12), (UNSIGNED, SIGNED))):
        lowest = -100 if seed % 3 else -128
        cases.append(convolution(seed, (channels, 7, 9), 1 + seed % 6, window, kind=kind, lowest=lowest, powers=powers))
        if channels == 12:
            cases.append(convolution(seed, (12, 7, 9), 12, window, groups=12, kind=kind, channels_last=True, powers=powers))
    cases += [convolution(1, (4, 6, 5), 3, Window.of((3, 3)), kind=kind, powers=powers, limits=limits)
              for kind, limits in ((UNSIGNED, (0, 192)), (SIGNED, (-128, 60)), (SIGNED, (-100, 60)))]
    if powers:
        cases += [sum_of_all_pairs((1, 1, 4), (3, 250, 7)), sum_of_all_pairs((1, 1, 4), (3, 250, 7), -1)]
    assert {"cortex_m_convolve terms_paired", "cortex_m_convolve terms_wide", "cortex_m_depthwise"} <= set(kernels(cases))
    for case, found in zip(cases, run_on_cortex_m7(cases, tmp_path), strict=True):
        for name, codes in case.expected().items():
            np.testing.assert_array_equal(found[name], codes)


@needs_tools
def test_layers_are_counted_and_counts_repeat(emulated: Emulated) -> None:
    """All layers together are the inference, but for what calling them takes."""
    codes = codes_of(emulated.folder.program, networks.feeds(networks.depthwise(), 1))
    layers = emulated.count_layers(codes)
    assert len(layers) == len(emulated.folder.firmware.calls)
    assert layers == emulated.count_layers(codes)
    emulated.run(codes)
    whole = emulated.measured["instructions"]
    assert whole - 40 * len(layers) <= sum(layers) <= whole + 40 * len(layers)


@needs_tools
def test_sizes_hold_the_arena_and_the_tables(emulated: Emulated) -> None:
    firmware = emulated.folder.firmware
    assert emulated.plain.board == "stm32f746"
    assert emulated.plain.ram >= firmware.arena.size
    assert firmware.table_bytes < emulated.plain.flash < firmware.table_bytes + 20_000


@needs_tools
def test_kernels_for_this_processor_take_fewer_instructions(written: Path, emulated: Emulated, tmp_path: Path) -> None:
    found = Folder(written)
    plain = tmp_path / "portable"
    bs.write(found.network, found.plan, plain, target="c")
    codes = codes_of(found.program, networks.feeds(networks.depthwise(), 1))
    with closing(Emulated(Folder(plain))) as portable:
        outputs = portable.run(codes)
        for name, expected in emulated.run(codes).items():
            np.testing.assert_array_equal(outputs[name], expected)
        assert portable.measured["instructions"] > 1.2 * emulated.measured["instructions"]


@needs_tools
@pytest.mark.parametrize("way", ["shift", "float"])
def test_other_roundings_are_exact_here_too(way: str, emulated: Emulated, tmp_path: Path) -> None:
    """Shifts take about as many instructions as multipliers; the float unit rounds as numpy does, in portable kernels."""
    model, shifts = networks.depthwise(), way == "shift"
    recipe = bs.recipes.int8().with_everything().with_rules(bs.Rule(power_of_two=shifts))
    bs.quantize(model, networks.feeds(model, 16), target=f"c:cortex-m,{way}", recipe=recipe).write(tmp_path / "firmware")
    found = bs.verify(tmp_path / "firmware", networks.feeds(model, 5, seed=7), on="cortex-m7")
    assert found.exact
    emulated.run(codes_of(emulated.folder.program, networks.feeds(model, 1)))
    assert (found.measured["instructions"] < 1.1 * emulated.measured["instructions"]) == shifts


@needs_tools
def test_a_board_that_is_too_small_is_refused_by_name(written: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next larger one is taken; where there is none, the message says what is missing."""
    real = cortex_m7.link

    def small(folder: Folder, made: Path, board: str, *, traced: bool) -> str:
        return "region `RAM' overflowed by 12 bytes" if board == "stm32f746" else real(folder, made, board, traced=traced)

    monkeypatch.setattr(cortex_m7, "link", small)
    assert build(Folder(written), tmp_path).board == "large"
    with pytest.raises(TargetError, match=r"stm32f746.*overflowed by 12 bytes"):
        build(Folder(written), tmp_path, boards=("stm32f746",))


def test_missing_tools_are_named(written: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(TargetError, match=r"arm-none-eabi-gcc, qemu-system-arm.*apt install gcc-arm-none-eabi"):
        build(Folder(written), tmp_path)


def test_where_c_runs_is_checked(written: Path) -> None:
    with pytest.raises(TargetError, match=r"C runs on host, cortex-m7, not on 'moon'"):
        bs.verify(written, networks.feeds(networks.depthwise(), 1), on="moon")
    with pytest.raises(TargetError, match="On cortex-m7 runs C only"):
        bs.verify(written / "net.onnx", networks.feeds(networks.depthwise(), 1), on="cortex-m7")


def test_ticks_are_instructions() -> None:
    """25 MHz, 64 ns an instruction; reading the timer is left out."""
    assert instructions(9) == 0
    assert instructions(9 + 1600) == 1000
    found = understood("ticks: 1609\nstack: 240\nlayers: 9 809\n")
    assert (found.instructions, found.stack, found.layers) == (1000, 240, (0, 500))
