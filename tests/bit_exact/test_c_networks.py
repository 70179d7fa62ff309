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

pytestmark = pytest.mark.skipif(shutil.which("gcc") is None, reason="needs gcc")
WITHOUT_FLOAT = ("conv_bn_relu", "depthwise", "mlp", "swish", "two_in_two_out", "transposed", "one_dimensional", "rearranged")
NORMALIZED = {"attention": "LayerNormalization", "nhwc": "Softmax", "tokens": "LayerNormalization"}      # float where floats round
RECIPES = {"int8": recipes.int8(), "int4": Recipe("int4", (Rule(weights=4),)), "int16": recipes.int16(),
           "signed": Recipe("signed", (Rule(activations="int8"),)), "asymmetric": Recipe("asymmetric", (Rule(symmetric_weights=False),))}
TOO_WIDE = {("int16", name) for name in ("swish", "attention", "tokens")}     # they multiply two values of 16 bits
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
    names = [name for name in WITHOUT_FLOAT if (recipe, name) not in TOO_WIDE]
    assert_same_codes([case_of(name, RECIPES[recipe]) for name in names], tmp_path)


def test_sums_and_products_beyond_int32_are_refused_by_name() -> None:
    for recipe, name in [("int16", "swish")]:
        with pytest.raises(TargetError, match=r"may reach .*, beyond int32: give its operands fewer bits"):
            _ = case_of(name, RECIPES[recipe]).firmware


@pytest.mark.parametrize("flavour", ["portable", "cortex-m", "x86"])
def test_small_networks_by_shift(flavour: str, tmp_path: Path) -> None:
    """Fast kernels for Cortex-M take ties upward: they leave what is rounded by a shift to the portable ones."""
    powers = recipes.int8().with_rules(Rule(power_of_two=True))
    cases = [case_of(name, powers, f"c:shift,{flavour}") for name in WITHOUT_FLOAT]
    assert_same_codes(cases, tmp_path)
    kernels = {call.kernel for case in cases for call in case.firmware.calls}
    assert kernels > ({"x86_add", "x86_convolve"} if flavour == "x86" else {"add", "convolve", "multiply"})
    assert not {kernel for kernel in kernels if kernel.startswith("cortex_m")}


@pytest.mark.parametrize("recipe", ["int8", "int16", "asymmetric"])
def test_small_networks_rounded_in_float(recipe: str, tmp_path: Path) -> None:
    """As onnxruntime rounds."""
    names = [name for name in WITHOUT_FLOAT if (recipe, name) not in TOO_WIDE]
    assert_same_codes([case_of(name, RECIPES[recipe], "c:float,channels-last") for name in names], tmp_path)


@pytest.mark.parametrize("recipe", ["int8", "signed", "int16"])
def test_transformers_and_softmax(recipe: str, tmp_path: Path) -> None:
    cases = [case_of(name, RECIPES[recipe]) for name in NORMALIZED if (recipe, name) not in TOO_WIDE]
    assert not any(case.program.in_float for case in cases)
    assert_same_codes(cases, tmp_path)


@pytest.mark.parametrize("name", NORMALIZED)
def test_what_needs_float_is_refused_by_name(name: str) -> None:
    case = case_of(name, recipes.int8(), "c:float")
    with pytest.raises(TargetError, match=rf"computes in float.*{NORMALIZED[name]}.*end the network before it"):
        _ = case.firmware


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
