"""Ternary and binary weights and activations through planning, files, the integer program and C."""

import shutil
from pathlib import Path

import networks
import numpy as np
import onnx
import pytest
from compiled_c import Case, assert_same_codes
from quantizing import MARGIN, Array, Chain, assert_same, plan_for

import bitsmith as bs
from bitsmith.analysis.carried_plan import carried_plan
from bitsmith.analysis.engines import Subject
from bitsmith.graph import constant
from bitsmith.integer.instructions import FIXED_POINT
from bitsmith.loading.from_onnx import load
from bitsmith.lowering import lower
from bitsmith.numerics.signs import BINARY
from bitsmith.planning.recipe import FLOAT, Recipe, Rule
from bitsmith.rewrites.simplify import simplify
from bitsmith.running.session import Session
from bitsmith.targets import TARGETS
from bitsmith.targets.onnx.extract import extract_quantization

SIGNS = ("ternary", "binary")
XNOR = Recipe("xnor", (Rule(match="Sign", activations="binary"), Rule(match="middle*", weights="binary")))


def weights_of(chain: Chain, format: str) -> dict[str, Array]:
    """The numbers that stand in the file."""
    names = [name for name, encoding in chain.plan.encodings.items() if encoding.format.name == format]
    found = {name: constant(chain.written.graph.initializers[name]) for name in names if name in chain.written.graph.initializers}
    return {name: array for name, array in found.items() if array is not None}


@pytest.mark.parametrize("granularity", ["channel", "tensor", "channels:4"])
@pytest.mark.parametrize("target", ["onnxruntime", "onnx"])
@pytest.mark.parametrize("format", SIGNS)
def test_weights_are_integer_arithmetic(format: str, target: str, granularity: str) -> None:
    chain = Chain.of(networks.conv_bn_relu(), Recipe("signs", (Rule(weights=format, granularity=granularity),)), target)
    assert not chain.program.in_float
    assert_same(chain.codes(optimise=True), chain.program.codes(chain.feeds, chain.coded), chain.coded)
    held = weights_of(chain, format)
    assert len(held) >= 3
    for name, codes in held.items():
        assert set(np.unique(codes.astype(int))) == ({-1, 0, 1} if format == "ternary" else {-1, 1})
        assert chain.plan.reasons[name].startswith(f"{format}: mse of the weights, per {granularity}")


@pytest.mark.parametrize("format", SIGNS)
def test_weights_only_in_groups(format: str) -> None:
    chain = Chain.of(networks.mlp(), Recipe("signs", (Rule(weights=format, activations=FLOAT, granularity="group:4"),)))
    np.testing.assert_allclose(chain.program.run(chain.feeds)["output"], chain.results()["output"], atol=MARGIN)
    for name in weights_of(chain, format):
        encoding, real = chain.plan.encodings[name], constant(chain.network.graph.initializers[name])
        assert real is not None
        (long,) = [axis for axis, size in encoding.blocks.sizes.items() if size == 4]
        first = np.abs(real.take(range(4), long).astype(np.float64))
        if format == "binary":          # Rastegari 2016, equation 6
            np.testing.assert_allclose(encoding.scale.take(0, long), first.mean(long), rtol=1e-6)


def xnor_network(*, padded: bool = True) -> onnx.ModelProto:
    """Two convolutions and a product whose inputs and weights are signs."""
    b = networks.Builder(21, seed=5)
    x = b.conv("input", "first", (6, 3, 3, 3))
    for number, (out, channels) in enumerate([(7, 6), (5, 7)]):
        x = b.node("Sign", [x], f"sign{number}")
        x = b.conv(x, f"middle{number}", (out, channels, 3, 3), {"pads": [1] * 4} if padded else None)
    x = b.node("Sign", [x], "sign2")
    x = b.node("Flatten", [x], "flat")
    b.linear(x, "middle2", 5 * (36 if padded else 4), 4)
    return b.model({"input": ("batch", 3, 8, 8)}, {"middle2_out": ("batch", 4)})


@pytest.mark.parametrize("padded", [True, False])
def test_networks_of_signs(padded: bool, tmp_path: Path) -> None:
    """What Sign makes are binary codes, by a table. Every engine gives the same codes."""
    chain = Chain.of(xnor_network(padded=padded), XNOR, "onnx")
    assert [chain.plan.encodings[f"sign{i}"].format for i in range(3)] == [BINARY] * 3
    assert not chain.program.in_float
    codes = chain.program.codes(chain.feeds, chain.coded)
    assert_same(chain.codes(optimise=False), codes, chain.coded)
    assert all(set(np.unique(codes[f"sign{i}"])) == {-1, 1} for i in range(3))
    found = extract_quantization(chain.written)
    assert all(found.plan.encodings[f"sign{i}"] == chain.plan.encodings[f"sign{i}"] for i in range(3))
    assert_same(lower(found.network, found.plan).codes(chain.feeds, chain.coded), codes, chain.coded)


def test_a_product_that_ends_in_binary_codes_gives_the_sign_of_its_sum() -> None:
    chain = Chain.of(networks.conv_bn_relu(), Recipe("b", (Rule(match="conv1*", activations="binary"),)), "onnx")
    (name,) = [n for n, e in chain.plan.encodings.items() if e.format == BINARY]
    exact = Session(chain.network, [name], optimise=False).run(chain.feeds)[name]
    for program in (chain.program, lower(chain.network, chain.plan, arithmetic=FIXED_POINT)):
        codes = program.codes(chain.feeds, [name])[name]
        assert set(np.unique(codes)) <= {-1, 1}
        assert (codes == np.where(exact < 0, -1, 1)).mean() > 0.95
    assert_same(chain.codes(optimise=False), chain.program.codes(chain.feeds, chain.coded), chain.coded)


def test_sums_that_end_in_binary_codes_are_computed_in_float_and_say_why() -> None:
    b = networks.Builder(21, seed=1)
    left, right = b.conv("input", "left", (4, 3, 1, 1)), b.conv("input", "right", (4, 3, 1, 1))
    b.conv(b.node("Add", [left, right], "sum"), "last", (2, 4, 1, 1))
    model = b.model({"input": ("batch", 3, 4, 4)}, {"last_out": ("batch", 2, 4, 4)})
    chain = Chain.of(model, Recipe("b", (Rule(match="Add", activations="binary"),)), "onnx")
    (reason,) = chain.program.in_float.values()
    assert reason == "Add '/sum' has no integer arithmetic that ends in binary codes: products and tables have."
    assert set(np.unique(chain.program.codes(chain.feeds, ["sum"])["sum"])) == {-1, 1}
    assert_same(chain.codes(optimise=False), chain.program.codes(chain.feeds, chain.coded), chain.coded)


@pytest.mark.parametrize("format", SIGNS)
def test_files_are_read_back(format: str, tmp_path: Path) -> None:
    quantized = bs.quantize(networks.conv_bn_relu(), {"input": networks.feeds(networks.conv_bn_relu(), 16)["input"]}, recipe=format,
                            target="onnx")
    path, *_ = quantized.write(tmp_path / "net.onnx")
    plan = bs.load_plan(path.with_suffix(".plan.json"))
    assert plan.encodings == quantized.plan.encodings
    assert format in {e.format.name for e in plan.encodings.values()}
    carried = carried_plan(Subject(path)).encodings
    for name, encoding in quantized.plan.encodings.items():
        np.testing.assert_array_equal(carried[name].scale, encoding.scale)


@pytest.mark.skipif(shutil.which("gcc") is None, reason="needs gcc")
def test_as_c(tmp_path: Path) -> None:
    """Weights ternary, binary, and whole networks of signs: code for code what the program computes."""
    cases = []
    for model, recipe in [(networks.conv_bn_relu(), Recipe("t", (Rule(weights="ternary"),))), (xnor_network(), XNOR),
                          (networks.depthwise(), Recipe("b", (Rule(weights="binary"),))), (xnor_network(padded=False), XNOR)]:
        network = load(model.SerializeToString())
        simplify(network)
        feeds = networks.feeds(model, 4)
        program = lower(network, plan_for(network, feeds, recipe, TARGETS["c"].accepts), arithmetic=FIXED_POINT)
        codes = {n: e.quantize(feeds[n]) for n, e in program.inputs.items() if e is not None}
        cases.append(Case(program, codes))
    assert_same_codes(cases, tmp_path)
