"""Whole networks as C: quantized for the target, compiled, and code for code what the integer program computes."""

import shutil
import sys
from pathlib import Path

import networks
import numpy as np
import pytest
from compiled_c import STRICT, Case, assert_same_codes
from quantizing import Array, plan_for

import bitsmith as bs
from bitsmith.errors import TargetError
from bitsmith.integer.instructions import FIXED_POINT
from bitsmith.loading.from_onnx import load
from bitsmith.lowering import lower
from bitsmith.planning import recipes
from bitsmith.planning.recipe import Recipe, Rule
from bitsmith.rewrites.simplify import simplify
from bitsmith.targets import TARGETS, target_named
from bitsmith.targets.c import CTarget
from bitsmith.targets.c.source import write_source

pytestmark = pytest.mark.skipif(shutil.which("gcc") is None, reason="needs gcc")
WITHOUT_FLOAT = ("conv_bn_relu", "depthwise", "mlp", "swish", "two_in_two_out", "transposed", "one_dimensional", "rearranged")
NORMALIZED = {"attention": "LayerNormalization", "nhwc": "Softmax", "tokens": "LayerNormalization"}      # float where floats round
RECIPES = {"int8": recipes.int8(), "int4": Recipe("int4", (Rule(weights=4),)), "int16": recipes.int16(),
           "signed": Recipe("signed", (Rule(activations="int8"),)), "asymmetric": Recipe("asymmetric", (Rule(symmetric_weights=False),))}
SAMPLES = {"lenet300": 50, "lenet5": 20, "resnet20": 4, "tiny_resnet8": 8, "tiny_dscnn": 20, "mobilenet_v1_025_224": 2}


def case_of(name: str, recipe: Recipe, target: str = "c") -> Case:
    """A small network, quantized for the target, with codes of random inputs."""
    model = networks.NETWORKS[name]()
    network = load(model.SerializeToString())
    simplify(network)
    feeds = networks.feeds(model, 6)
    wanted = target_named(target)
    assert isinstance(wanted, CTarget)
    program = lower(network, plan_for(network, feeds, recipe, wanted.accepts), arithmetic=wanted.arithmetic)
    codes = {n: feeds[n] if e is None else e.quantize(feeds[n]) for n, e in program.inputs.items()}
    return Case(program, codes, wanted.choices)


@pytest.mark.parametrize("recipe", RECIPES)
def test_small_networks(recipe: str, tmp_path: Path) -> None:
    assert_same_codes([case_of(name, RECIPES[recipe]) for name in WITHOUT_FLOAT], tmp_path)


@pytest.mark.parametrize("flavour", ["portable", "cortex-m", "x86"])
def test_small_networks_by_shift(flavour: str, tmp_path: Path) -> None:
    """Ties to even, which the kernels for Cortex-M and x86 have their ways to do."""
    powers = recipes.int8().with_rules(Rule(power_of_two=True))
    cases = [case_of(name, powers, f"c:shift,{flavour}") for name in WITHOUT_FLOAT]
    assert_same_codes(cases, tmp_path)
    kernels = {call.kernel for case in cases for call in case.firmware.calls}
    fast = {"cortex-m": {"cortex_m_add_pairs", "cortex_m_convolve"}, "x86": {"x86_add", "x86_convolve"}}
    assert {kernel for kernel in kernels if kernel.startswith(("cortex_m", "x86"))} == fast.get(flavour, set())


@pytest.mark.parametrize("recipe", ["int8", "int16", "asymmetric"])
def test_small_networks_rounded_in_float(recipe: str, tmp_path: Path) -> None:
    """As onnxruntime rounds."""
    assert_same_codes([case_of(name, RECIPES[recipe], "c:float,channels-last") for name in WITHOUT_FLOAT], tmp_path)


def test_float_stays_portable_on_a_microcontroller(tmp_path: Path) -> None:
    """And its folder's README says so."""
    cases = [case_of(name, recipes.int8(), "c:float,cortex-m") for name in WITHOUT_FLOAT]
    assert_same_codes(cases, tmp_path)
    kernels = {call.kernel for case in cases for call in case.firmware.calls}
    assert kernels > {"add_float", "convolve", "multiply"}
    for case in cases:
        read_me = write_source(case.firmware, title="float")["README.md"]
        assert "Rounding: float. Kernels: cortex-m." in read_me
        assert all(f"`{call.kernel}`" in read_me and not call.kernel.startswith("cortex_m") for call in case.firmware.calls)


@pytest.mark.parametrize("recipe", ["int8", "signed", "int16"])
def test_transformers_and_softmax(recipe: str, tmp_path: Path) -> None:
    cases = [case_of(name, RECIPES[recipe]) for name in NORMALIZED]
    assert not any(case.program.in_float for case in cases)
    assert_same_codes(cases, tmp_path)


@pytest.mark.parametrize("name", NORMALIZED)
def test_transformers_and_softmax_in_float(name: str, tmp_path: Path) -> None:
    """Every step bit for bit, normalization of layers among them, but for what math.h computes."""
    model = networks.NETWORKS[name]()
    bs.quantize(model, target="c:compute-float", recipe=recipes.weights_int8()).write(tmp_path / "firmware")
    found = bs.verify(tmp_path / "firmware", networks.feeds(model, 6))
    assert found.exact
    assert found.distance < 1e-6
    assert found.library <= {"up_out_gelu", "weights", "output:0"}


@pytest.mark.parametrize("name", NORMALIZED)
def test_what_needs_float_is_refused_by_name(name: str) -> None:
    case = case_of(name, recipes.int8(), "c:float")
    with pytest.raises(TargetError, match=rf"computes in float.*{NORMALIZED[name]}.*end the network before it"):
        _ = case.firmware


@pytest.mark.parametrize("name", NORMALIZED)
def test_what_no_float_scale_rounds_is_refused_with_the_next_step(name: str, tmp_path: Path) -> None:
    model = networks.NETWORKS[name]()
    made = bs.quantize(model, networks.feeds(model, 8), target="c:float")
    wanted = rf"{NORMALIZED[name]} '.*' has integers of its own.*take --requantize multiplier or shift instead of float, or --compute float"
    with pytest.raises(TargetError, match=wanted):
        made.write(tmp_path / "firmware")
    assert not (tmp_path / "firmware").exists()


def quantized(tmp_path: Path) -> tuple[bs.Quantized, Array]:
    model = networks.conv_bn_relu()
    x = networks.feeds(model, 32)["input"]
    result = bs.quantize(model, {"input": x}, target="c")
    result.write(tmp_path / "firmware")
    return result, x


def test_verify_finds_no_difference_and_sees_every_value(tmp_path: Path) -> None:
    result, x = quantized(tmp_path)
    found = bs.verify(tmp_path / "firmware", {"input": x})
    assert found.exact
    (comparison,) = found.comparisons
    assert (comparison.first, comparison.second) == ("program", "c")
    assert {d.value for d in comparison.differences} >= {"fc_out", "conv1_out_relu", "residual_relu"} & set(result.plan.encodings)


def test_verify_names_the_first_layer_that_differs(tmp_path: Path) -> None:
    """One weight is changed."""
    _, x = quantized(tmp_path)
    weights = tmp_path / "firmware" / "net_weights.c"
    before, mark, after = weights.read_text().partition("_weights[162] = {\n    ")
    number, comma, rest = after.partition(",")
    weights.write_text(before + mark + str(-int(number) or 90) + comma + rest)
    found = bs.verify(tmp_path / "firmware", {"input": x})
    assert not found.exact
    assert found.comparisons[0].differing > 0
    assert mark


def test_c_that_does_not_compile_is_reported(tmp_path: Path) -> None:
    _, x = quantized(tmp_path)
    (tmp_path / "firmware" / "net.c").write_text("int net_run(void *arena) { return nothing; }\n")
    with pytest.raises(TargetError, match=r"(?s)The compiler refuses .*nothing"):
        bs.verify(tmp_path / "firmware", {"input": x})
    with pytest.raises(TargetError, match="no folder that 'bitsmith quantize --target c' wrote"):
        bs.verify(tmp_path, {"input": x})


@pytest.mark.skipif(shutil.which("cppcheck") is None, reason="needs cppcheck")
def test_cppcheck_has_nothing_to_say(tmp_path: Path) -> None:
    import subprocess

    quantized(tmp_path)
    sources = [tmp_path / "firmware" / name for name in ("net.c", "net_weights.c", "main.c")]
    ran = subprocess.run(["cppcheck", "--enable=warning,performance,portability", "--std=c99", "-q", "--error-exitcode=1", *sources],
                         capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr


@pytest.mark.parametrize("target", ["c", "c:cortex-m", "c:cortex-m,shift", "c:x86"])
@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_files_compile_by_themselves_without_a_warning(compiler: str, target: str, tmp_path: Path) -> None:
    """clang sees functions that nobody calls only there."""
    import subprocess

    if shutil.which(compiler) is None:
        pytest.skip(f"needs {compiler}")
    case = case_of("depthwise", recipes.int8().with_rules(Rule(power_of_two=True)), target)
    for name, text in write_source(case.firmware, title="").items():
        (tmp_path / name).write_text(text)
    for name in ("net.c", "net_weights.c", "main.c"):
        subprocess.run([compiler, *STRICT, "-Wshadow", "-c", name, "-o", "made.o"], cwd=tmp_path, check=True)


@pytest.mark.skipif(shutil.which("arm-none-eabi-gcc") is None, reason="needs arm-none-eabi-gcc")
def test_no_warning_on_a_microcontroller_and_no_float(tmp_path: Path) -> None:
    """int32_t is another type there; and not one floating point instruction or library call is made."""
    import subprocess

    quantized(tmp_path)
    core = ("-mcpu=cortex-m7", "-mthumb", "-mfpu=fpv5-sp-d16", "-mfloat-abi=hard", "-O2")
    subprocess.run(["arm-none-eabi-gcc", *STRICT, *core, "-c", "net.c", "-o", "net.o"], cwd=tmp_path / "firmware", check=True)
    dump = ["arm-none-eabi-objdump", "-dr", "net.o"]
    listing = subprocess.run(dump, cwd=tmp_path / "firmware", capture_output=True, text=True, check=True)
    instructions = {line.split("\t")[2].strip() for line in listing.stdout.splitlines() if line.count("\t") >= 2}
    assert not {i for i in instructions if i.startswith("v")}
    assert not any(f"__aeabi_{kind}" in listing.stdout for kind in ("f", "d"))


@pytest.mark.parametrize("name", SAMPLES)
def test_real_network(name: str, real_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path, str(real_folder)])
    import real

    network = load(real.model(name))
    simplify(network)
    x = real.inputs(name, limit=32)[0]
    plan = plan_for(network, {"input": x}, recipes.int8(), TARGETS["c"].accepts)
    program = lower(network, plan, arithmetic=FIXED_POINT)
    codes = program.inputs["input"].quantize(x[:SAMPLES[name]])  # type: ignore[union-attr]
    case = Case(program, {"input": codes})
    assert case.firmware.arena.size <= 1.2 * case.firmware.arena.lower_bound
    assert np.issubdtype(codes.dtype, np.integer)
    assert_same_codes([case], tmp_path, flags=("-O2",))
