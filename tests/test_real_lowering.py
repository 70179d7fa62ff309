"""From networks to programs of float32 numbers: near onnxruntime's results; what has no instruction is refused by name."""

from collections.abc import Callable

import networks
import numpy as np
import onnx
import onnx_ir as ir
import pytest

import bitsmith as bs
from bitsmith.errors import LoweringError, TargetError
from bitsmith.integer.instructions import ArgMax
from bitsmith.planning.recipe import Rule
from bitsmith.real.instructions import RealCast, RealClamp
from bitsmith.real_lowering import check_node, lower_to_reals
from bitsmith.rewrites.application import end_with, take_raw_input
from bitsmith.running.session import Session
from bitsmith.targets import target_named


def quantized(model: onnx.ModelProto, weights: str) -> bs.Quantized:
    return bs.quantize(model, recipe=bs.recipes.weights_int8().with_rules(Rule(weights=weights)), target="c:compute-float")


@pytest.mark.parametrize("weights", ["float", "int8", "int4"])
@pytest.mark.parametrize("name", networks.NETWORKS)
def test_near_onnxruntime(name: str, weights: str) -> None:
    """Which rounds in another order, and multiplies and adds at once."""
    model = networks.NETWORKS[name]()
    made, feeds = quantized(model, weights), networks.feeds(model, 5)
    found = lower_to_reals(made.refined, made.plan).run(feeds)
    for output, expected in Session(made.network, optimise=False).run(feeds).items():
        assert np.abs(found[output] - expected).max() <= 1e-5 * np.abs(expected).max()


@pytest.mark.parametrize("kind", ["uint8", "int16"])
def test_pixels_in_and_a_class_out(kind: str) -> None:
    """The sensor's own numbers are the program's inputs, and the class's number is no float."""
    network = bs.load(networks.conv_bn_relu())
    raw = np.random.default_rng(0).integers(0, 256, (9, 3, 8, 8)).astype(kind)
    whole = end_with(take_raw_input(network, kind, scale=1 / 255, mean=[0.5, 0.4, 0.3]), "arg-max")
    made = bs.quantize(whole, target="c:compute-float", recipe=bs.recipes.weights_int8())
    program = lower_to_reals(made.refined, made.plan)
    assert [type(i) for i in (program.instructions[0], program.instructions[-1])] == [RealCast, ArgMax]
    (name,) = program.outputs
    found = program.run({"input": raw})[name]
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, Session(made.network, optimise=False).run({"input": raw})[name])
    assert name not in program.encodings
    assert program.inputs["input"].format.name == kind  # type: ignore[union-attr]


def test_clamps_join_what_stands_before_them() -> None:
    for name in ("conv_bn_relu", "depthwise"):
        made = quantized(networks.NETWORKS[name](), "int8")
        assert not any(isinstance(i, RealClamp) for i in lower_to_reals(made.refined, made.plan).instructions)


def test_weights_stay_codes() -> None:
    made = quantized(networks.conv_bn_relu(), "int4")
    first = lower_to_reals(made.refined, made.plan).instructions[0]
    assert np.abs(first.weights.steps).max() <= 8  # type: ignore[union-attr]
    assert first.weights.scale.shape == (6,)  # type: ignore[union-attr]


def one_node(build: Callable[[networks.Builder], object], shape: tuple[int | str, ...] = ("batch", 3, 4)) -> bs.Quantized:
    b = networks.Builder(21, 0)
    build(b)
    return quantized(b.model({"input": shape}, {"output": shape}), "int8")


@pytest.mark.parametrize(("build", "message"), [
    (lambda b: b.node("Softmax", ["input"], "output", {"axis": 0}), "runs along the samples"),
    (lambda b: b.node("Cast", [b.node("ArgMax", ["input"], "place", {"axis": 0})], "output", {"to": 1}), "arg-max over axis 0"),
    (lambda b: b.node("Cast", [b.node("Cast", ["input"], "whole", {"to": 6})], "output", {"to": 1}),
     "makes int32 of float; .* makes float of integers"),
    (lambda b: b.node("LayerNormalization", ["input", b.constant("g", 1.0)], "output", {"axis": 0}), "normalizes over the samples"),
    (lambda b: b.node("LayerNormalization", ["input", b.node("Relu", ["input"], "gain")], "output"), "'gain' is computed while"),
    (lambda b: b.node("Pow", ["input", b.node("Relu", ["input"], "exponent")], "output"), "needs one constant exponent"),
    (lambda b: b.node("Pow", ["input", b.constant("e", [1.0, 2, 3, 4])], "output"), "needs one constant exponent"),
    (lambda b: b.node("Cos", ["input"], "output"), "Cos '/output' has no instruction in float"),
    (lambda b: b.node("MatMul", [b.weight("w", 3, 3), "input"], "output"), "weights that are no matrix on the right"),
])
def test_refusals(build: Callable[[networks.Builder], object], message: str) -> None:
    made = one_node(build)
    with pytest.raises(LoweringError, match=message):
        lower_to_reals(made.refined, made.plan)


def normalized(b: networks.Builder, kind: str) -> None:
    """A value's last axis of 4, as exporters write it."""
    gain, bias, axes = b.vector("gain", 4), b.vector("bias", 4), {"axes": [-1]}
    if kind == "RMSNormalization":
        b.node(kind, ["input", gain], "output", {"axis": -1})
    elif kind == "LayerNormalization":
        b.node(kind, ["input", b.constant("gains", np.arange(1, 13).reshape(3, 4) / 4), bias], "output", {"axis": -2, "epsilon": 0.1})
    else:
        mean = b.node("ReduceMean", ["input"], "mean", axes)
        apart = b.node("Sub", ["input", mean], "apart") if kind == "by parts" else "input"
        squares = b.node("ReduceMean", [b.node("Pow", [apart, b.constant("two", 2.0)], "squared")], "squares", axes)
        moved = b.node("Add", [squares, b.constant("epsilon", 1e-5)], "moved")
        root = b.node("Sqrt", [moved], "root") if kind == "by parts" else b.node("Pow", [moved, b.constant("half", 0.5)], "root")
        b.node("Add", [b.node("Mul", [b.node("Div", [apart, root], "one"), gain], "scaled"), bias], "output")


@pytest.mark.parametrize("kind", ["LayerNormalization", "RMSNormalization", "by parts", "root mean square by parts"])
def test_normalization_of_layers(kind: str) -> None:
    b = networks.Builder(23 if kind == "RMSNormalization" else 21 if kind == "LayerNormalization" else 17, 0)
    normalized(b, kind)
    check(quantized(b.model({"input": ("batch", 3, 4)}, {"output": ("batch", 3, 4)}), "int8"))


@pytest.mark.parametrize("node", [
    ("Gelu", {}), ("Gelu", {"approximate": "tanh"}), ("Erf", {}), ("Pow", {}),
])
def test_functions(node: tuple[str, dict[str, object]]) -> None:
    kind, attributes = node
    check(one_node(lambda b: b.node(kind, ["input", b.constant("e", 3.0)] if kind == "Pow" else ["input"], "output", attributes)))


def check(made: bs.Quantized) -> None:
    """Near onnxruntime."""
    x = np.random.default_rng(1).normal(0, 2, (5, 3, 4)).astype(np.float32)
    found, expected = (run({"input": x})["output"] for run in (
        lower_to_reals(made.refined, made.plan).run, Session(made.network, optimise=False).run))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_other_domains_are_no_operators_of_ours() -> None:
    node = ir.Node("com.example", "Relu", [ir.Value(name="x")], name="ours", outputs=[ir.Value(name="y")])
    with pytest.raises(LoweringError, match="Relu 'ours' has no instruction in float"):
        check_node(node, one_node(lambda b: b.node("Relu", ["input"], "output")).plan)


def test_several_operands_and_a_clamp_behind_them() -> None:
    def build(b: networks.Builder) -> None:
        b.node("Relu", [b.node("Sum", ["input", b.vector("c", 4), "input"], "sum")], "output")

    made, x = one_node(build), np.random.default_rng(0).normal(0, 1, (2, 3, 4)).astype(np.float32)
    found = lower_to_reals(made.refined, made.plan).run({"input": x})["output"]
    constant = next(v.const_value.numpy() for v in made.refined.graph.initializers.values() if v.name == "c")  # type: ignore[union-attr]
    np.testing.assert_array_equal(found, np.maximum((x + constant) + x, 0))


def test_codes_of_activations_are_refused() -> None:
    model = networks.mlp()
    feeds = networks.feeds(model, 8)
    coded = bs.quantize(model, feeds, target="c")
    with pytest.raises(LoweringError, match=r"'input' has codes.*activations = \"float\""):
        lower_to_reals(coded.refined, coded.plan)
    with pytest.raises(TargetError, match="has no 8 bits activations; it takes float"):
        bs.quantize(model, feeds, target="c:compute-float", recipe=bs.recipes.int8().with_everything())
    assert target_named("c:x86,compute-float").name == "c:x86,compute-float"  # type: ignore[attr-defined]
