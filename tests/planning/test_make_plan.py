"""Which value gets which encoding, and what the plan says of it."""

from typing import Any

import networks
import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from quantizing import Chain, plan_for

from bitsmith.errors import RecipeError, StatisticsError, TargetError
from bitsmith.loading.from_onnx import load
from bitsmith.numerics import Blocks, Integer
from bitsmith.planning import recipes
from bitsmith.planning.existing import KEPT
from bitsmith.planning.make_plan import make_plan, values_to_watch
from bitsmith.planning.plan import Plan
from bitsmith.planning.recipe import Recipe, Rule, usual_estimator
from bitsmith.rewrites.application import end_with
from bitsmith.running.session import Session
from bitsmith.targets import target_named
from bitsmith.targets.onnx import TARGETS

INT8, UINT8 = Integer(8), Integer(8, signed=False)
ACCEPTS = TARGETS["onnxruntime"].accepts


def plan_of(model: onnx.ModelProto, *rules: Rule, recipe: Recipe | None = None, target: str = "onnxruntime") -> Plan:
    return Chain.of(model, (recipe or recipes.int8()).with_rules(*rules), target).plan


def names(plan: Plan) -> dict[str, str]:
    return {name: encoding.format.name for name, encoding in plan.encodings.items()}


def small(channels: int = 2, **weights: Any) -> networks.Builder:
    b = networks.Builder(21, seed=0)
    for name, array in weights.items():
        b.constant(name, array)
    return b


def conv(weight: Any, bias: Any) -> onnx.ModelProto:
    """One Conv of one pixel with these numbers."""
    b = small(weight=np.asarray(weight, np.float32)[..., None, None], bias=bias)
    b.node("Conv", ["input", "weight", "bias"], "output")
    return b.model({"input": ("batch", np.shape(weight)[1], 4, 4)}, {"output": ("batch", len(weight), 4, 4)})


def test_every_encoding_of_a_small_network() -> None:
    plan = plan_of(networks.conv_bn_relu())
    found = names(plan)
    assert {name: f for name, f in found.items() if "weight" not in name and "bias" not in name} == dict.fromkeys(
        ("input", "bn1_out_relu", "bn2_out", "residual_relu", "pooled", "pooled_flat"), "uint8")
    assert all(found[f"{layer}.weight"] == "int8" for layer in ("conv1", "conv2", "fc"))
    assert [name for name, f in found.items() if f == "int32"] == [n for n in found if "bias" in n]
    assert plan.encodings["conv1.weight"].blocks == Blocks.channels(0)
    assert plan.reasons["bn1_out"] == "needs no codes: those of 'bn1_out_relu' saturate as Relu does"
    assert plan.reasons["pooled_flat"] == "shares the encoding of 'pooled'"
    assert plan.reasons["input"].startswith(f"uint8: {usual_estimator(8)} range [")
    assert set(plan.encodings) <= set(plan.reasons)


def test_rules_by_name_type_weight_and_value() -> None:
    by_name = names(plan_of(networks.conv_bn_relu(), Rule("/conv2*", weights=4), Rule("fc.weight", weights=6),
                            Rule("residual*", activations=7), Rule("input", activations=5)))
    assert (by_name["conv1.weight"], by_name["conv2.weight"], by_name["fc.weight"]) == ("int8", "int4", "int6")
    assert (by_name["residual_relu"], by_name["input"], by_name["bn2_out"]) == ("uint7", "uint5", "uint8")
    assert {names(plan_of(networks.mlp(), Rule("Gemm", weights="int3")))[f"fc{i}.weight"] for i in (1, 2, 3)} == {"int3"}


def test_the_ends_keep_more_bits() -> None:
    found = names(plan_of(networks.mlp(), recipe=recipes.int4()))
    assert [found[f"fc{i}.weight"] for i in (1, 2, 3)] == ["int8", "int4", "int8"]
    weights_only = Recipe("mine", (Rule(weights=4, activations="float"),), ends=8)
    assert names(plan_of(networks.mlp(), recipe=weights_only)) == {"fc1.weight": "int8", "fc2.weight": "int4", "fc3.weight": "int8"}


@pytest.mark.parametrize(("granularity", "blocks"), [
    ("tensor", Blocks()), ("channel", Blocks.channels(0)), ("channels:4", Blocks({0: 4})), ("group:2", Blocks({0: 1, 1: 2})),
])  # fmt: skip
def test_granularity(granularity: str, blocks: Blocks) -> None:
    plan = plan_of(networks.conv_bn_relu(), Rule("conv2.weight", granularity=granularity))
    assert plan.encodings["conv2.weight"].blocks == blocks
    assert plan.reasons["conv2.weight"] == f"int8: min_max of the weights, per {granularity}"
    said = plan.reasons.get("/conv2_out", "")
    assert said == ("float arithmetic, narrow weights: weights in group:2 have several scales in one sum" if "group" in granularity else "")


def test_layers_kept_in_float_by_rule() -> None:
    plan = plan_of(networks.conv_bn_relu(), Rule("/conv2*", weights="float"))
    assert "conv2.weight" not in plan.encodings
    assert plan.reasons["/conv2_out"] == "float: the recipe keeps its weights in float"
    plan = plan_of(networks.conv_bn_relu(), Rule("/conv2*", activations="float"))
    assert names(plan)["conv2.weight"] == "int8"
    assert plan.reasons["/conv2_out"] == "float arithmetic, narrow weights: the recipe keeps its activations in float"


def test_sixteen_bits_on_one_layer() -> None:
    chain = Chain.of(networks.conv_bn_relu(), recipes.int8().with_rules(Rule("bn1*", activations=16)))
    assert (names(chain.plan)["bn1_out_relu"], names(chain.plan)["bn2_out"]) == ("uint16", "uint8")
    program, simulated = chain.program.run(chain.feeds), chain.results(optimise=False)
    np.testing.assert_allclose(program["output"], simulated["output"], atol=0.02)


def test_narrow_weights_run_on_int8_kernels(tmp_path: Any) -> None:
    chain = Chain.of(networks.conv_bn_relu(), recipes.int8().with_rules(Rule(weights=4)))
    (held,) = [v for name, v in chain.written.graph.initializers.items() if name == "conv2.weight"]
    assert held.const_value is not None
    codes = held.const_value.numpy()
    assert (codes.dtype, codes.min() >= -8, codes.max() <= 7) == (np.int8, True, True)
    assert np.abs(codes).max() >= 7
    assert chain.kernels(tmp_path / "optimised.onnx").count("QLinearConv") == 2


def test_weights_only_and_dynamic() -> None:
    plan = plan_of(networks.mlp(), recipe=recipes.weights_int4())
    assert set(names(plan).values()) == {"int4"}
    assert plan.encodings["fc1.weight"].blocks == Blocks({0: 1, 1: 32})
    plan = plan_of(networks.mlp(), recipe=recipes.dynamic_int8())
    assert plan.dynamic == {"input", "fc1_out_relu", "hidden"}
    assert plan.reasons["input"] == "its range is found while the network runs"
    assert set(names(plan).values()) == {"int8"}


def joined(first: str, second: str) -> onnx.ModelProto:
    """Two convolutions, each with its clamp, joined and read by a third."""
    b, parts = networks.Builder(21, seed=0), []
    for i, clamp in enumerate((first, second)):
        x = b.conv("input", f"part{i}", (2, 3, 1, 1))
        parts.append({"": lambda x=x: x, "Relu": lambda x=x: b.relu(x), "Clip": lambda x=x: b.clip(x, 0, 6)}[clamp]())
    b.conv(b.node("Concat", parts, "joined", {"axis": 1}), "after", (2, 4, 1, 1))
    return b.model({"input": ("batch", 3, 4, 4)}, {"after_out": ("batch", 2, 4, 4)})


@pytest.mark.parametrize(("first", "second", "shared"), [
    ("Relu", "Relu", True), ("", "", True), ("Relu", "", False), ("Relu", "Clip", False),
])  # fmt: skip
def test_what_is_joined_shares_unless_clamps_differ(first: str, second: str, shared: bool) -> None:
    """One range for a Relu and what is not clamped would undo the saturation that does the Relu's work."""
    plan = plan_of(joined(first, second))
    ends = {"": "", "Relu": "_relu", "Clip": "_clip"}
    encodings = [plan.encodings[name] for name in (f"part0_out{ends[first]}", f"part1_out{ends[second]}", "joined")]
    assert (encodings[0] == encodings[1] == encodings[2]) is shared
    assert encodings[2].highest >= max(e.highest for e in encodings[:2]) * 0.99


def test_clamps_are_done_by_the_encoding_before_them() -> None:
    b = networks.Builder(21, seed=0)
    x = b.node("MaxPool", [b.conv("input", "conv", (3, 3, 1, 1))], "pooled", {"kernel_shape": [2, 2]})
    b.conv(b.clip(x, 0, 0.5), "after", (3, 3, 1, 1))
    plan = plan_of(b.model({"input": ("batch", 3, 4, 4)}, {"after_out": ("batch", 3, 3, 3)}))
    assert plan.encodings["conv_out"] == plan.encodings["pooled"] == plan.encodings["pooled_clip"]
    assert plan.encodings["conv_out"].lowest == 0
    assert plan.encodings["conv_out"].highest == np.float32(0.5)


def test_constant_operands_have_codes_of_their_own() -> None:
    """Behind a product of two values, so that no table can take the constant in."""
    b = networks.Builder(21, seed=0)
    x = b.node("Mul", [b.conv("input", "conv", (3, 3, 1, 1)), b.conv("input", "gate", (3, 3, 1, 1))], "gated")
    b.conv(b.node("Sum", [x, b.constant("shift", np.linspace(-1, 3, 16).reshape(4, 4)), "conv_out"], "shifted"), "after", (3, 3, 1, 1))
    chain = Chain.of(b.model({"input": ("batch", 3, 4, 4)}, {"after_out": ("batch", 3, 4, 4)}))
    encoding = chain.plan.encodings["shift"]
    np.testing.assert_allclose([encoding.lowest, encoding.highest], [-1, 3], atol=0.01)
    assert not chain.program.in_float
    found, simulated = chain.program.codes(chain.feeds, ["shifted"])["shifted"], chain.codes(optimise=False)["shifted"]
    assert np.abs(found.astype(int) - simulated.astype(int)).max() <= 1


BIG, LARGEST = 1e4, 2**30 * (1 + 2**-20)       # 2**30, and the roundings of float32


def test_biases_that_do_not_fit_widen_the_weights() -> None:
    """|bias| / (input scale * weight scale) must stay within 2**30."""
    chain = Chain.of(conv([[1e-8, 2e-8], [0.5, -0.25]], [BIG, 1.0]))
    plan = chain.plan
    assert plan.reasons["bias"] == "int32 at the scale input * weight; 1 of 2 weight scales were widened so that it fits"
    assert np.abs(plan.encodings["bias"].quantize(np.float32([BIG, 1]))).max() <= LARGEST
    found, exact = chain.program.run(chain.feeds)["output"], Session(chain.network).run(chain.feeds)["output"]
    np.testing.assert_allclose(found[:, 0], exact[:, 0], rtol=0.01)
    np.testing.assert_allclose(found[:, 1], exact[:, 1], atol=float(plan.encodings["output"].scale))


def test_widened_scales_stay_powers_of_two() -> None:
    plan = plan_of(conv([[1e-8, 2e-8], [0.0, 0.0]], [BIG, 3.0]), Rule(power_of_two=True))
    for encoding in plan.encodings.values():
        assert (np.frexp(encoding.scale)[0] == 0.5).all()
    bias = plan.encodings["bias"].quantize(np.float32([BIG, 3.0]))
    assert np.abs(bias).max() <= LARGEST
    np.testing.assert_allclose(plan.encodings["bias"].dequantize(bias), [BIG, 3.0], rtol=1e-3)


def test_channels_without_weights_keep_their_bias() -> None:
    chain = Chain.of(conv([[0.0, 0.0], [0.5, -0.25]], [0.3, 0.1]))
    program = chain.program.run(chain.feeds)["output"]
    np.testing.assert_allclose(program[:, 0], 0.3, atol=float(chain.plan.encodings["output"].scale))
    np.testing.assert_array_equal(program, chain.results()["output"])


@pytest.mark.parametrize("weight", [[[0.0, 0.0]], [[1e30, -1e30]], [[1e-40, 1e-42]], [[1e-45, 1e30]]])
@pytest.mark.parametrize("bias", [[0.0], [1e30], [1e-41], [-5.0]])
@pytest.mark.parametrize("granularity", ["tensor", "channel"])
def test_numbers_of_any_size(weight: Any, bias: Any, granularity: str) -> None:
    plan = plan_of(conv(weight, bias), Rule(granularity=granularity))
    for encoding in plan.encodings.values():
        assert np.isfinite(encoding.scale).all()
    assert np.abs(plan.encodings["bias"].quantize(np.float32(bias))).max() <= LARGEST


def test_constants_of_no_size() -> None:
    b = small()
    b.node("MatMul", ["input", b.constant("none", np.zeros((3, 0)))], "product")
    plan = plan_of(b.model({"input": ("batch", 3)}, {"product": ("batch", 0)}), recipe=recipes.weights_int8())
    assert plan.encodings["none"].scale.shape == (1, 0)


def test_a_weight_of_several_layers_suits_them_all() -> None:
    """Each has a bias of its own, and one of them does not fit unless the scale is widened: then it is for both."""
    b = small(weight=np.full((2, 2, 1, 1), 1e-6), small_bias=[1e-6, 1e-6], large_bias=[1e4, 1e4])
    b.node("Conv", ["input", "weight", "small_bias"], "first")
    b.node("Conv", ["first", "weight", "large_bias"], "second")
    plan = plan_of(b.model({"input": ("batch", 2, 3, 3)}, {"second": ("batch", 2, 3, 3)}))
    for source, bias in (("input", "small_bias"), ("first", "large_bias")):
        expected = np.float32(plan.encodings[source].scale) * plan.encodings["weight"].scale.ravel()
        np.testing.assert_array_equal(plan.encodings[bias].scale, expected)
    several = plan_of(b.model({"input": ("batch", 2, 3, 3)}, {"second": ("batch", 2, 3, 3)}), Rule("/first", weights=4))
    assert several.encodings["weight"].format == INT8


def test_a_bias_of_several_layers_keeps_them_in_float_unless_it_is_unshared() -> None:
    b = small(w1=np.ones((2, 2, 1, 1)), w2=np.ones((2, 2, 1, 1)), bias=[1.0, 2.0])
    b.node("Conv", [b.node("Conv", ["input", "w1", "bias"], "first"), "w2", "bias"], "second")
    model = b.model({"input": ("batch", 2, 3, 3)}, {"second": ("batch", 2, 3, 3)})
    plan = plan_for(load(model.SerializeToString()), networks.feeds(model), recipes.int8().with_everything(), ACCEPTS)
    assert plan.reasons["/first"].endswith("its bias 'bias' serves several nodes and can have one scale only")
    assert {"first", "second"} <= plan_of(model).encodings.keys()


@pytest.mark.parametrize(("rule", "message"), [
    (Rule("conv2.weight", weights="uint8"), r"Weight 'conv2.weight': target 'tensorrt' has no uint8 weights; it takes int8, int4"),
    (Rule("conv2.weight", weights=5), r"Weight 'conv2.weight': target 'tensorrt' has no 5 bits weights"),
    (Rule("input", activations=16), r"Value 'input': target 'tensorrt' has no 16 bits activations; it takes int8"),
])  # fmt: skip
def test_formats_that_the_target_does_not_take(rule: Rule, message: str) -> None:
    with pytest.raises(TargetError, match=message):
        plan_of(networks.conv_bn_relu(), rule, target="tensorrt")


def test_missing_statistics_are_named() -> None:
    with pytest.raises(StatisticsError, match="There are no statistics for 'input'"):
        make_plan(Chain.of(networks.mlp()).network.graph, {}, recipes.int8().with_everything(), ACCEPTS)


def test_a_target_with_zero_points_at_zero() -> None:
    plan = plan_of(networks.conv_bn_relu(), target="tensorrt")
    assert all(not e.zero_point.any() for e in plan.encodings.values())


def test_what_the_file_has_quantized_stays_as_it_is() -> None:
    """The first convolution's operand and result have Q/DQ of the file's own; only the rest gets more."""
    chain = Chain.of(networks.depthwise(), recipes.int8().with_rules(Rule("/pw*", activations="float", weights="float"),
                                                                     Rule("/dilated*", activations="float", weights="float")))
    once = chain.written
    before = [n.op_type for n in once.graph].count("QuantizeLinear")
    plan = plan_for(once, chain.feeds, recipes.int8().with_everything(), ACCEPTS)
    assert plan.reasons["/dw_out"] == KEPT == "kept: the file has its own quantization here"
    assert not {"input", "input_dequantized", "dw_bn_out_clip", "dw.weight"} & plan.encodings.keys()
    assert "dilated.weight" in plan.encodings
    twice = TARGETS["onnxruntime"].build(once, plan)
    quantized = [n.inputs[0].name for n in twice.graph if n.op_type == "QuantizeLinear" and n.inputs[0] is not None]
    assert len(quantized) == len(set(quantized)) > before
    for node in twice.graph:
        source = node.inputs[0].producer() if node.inputs and node.inputs[0] is not None else None
        assert not (node.op_type == "QuantizeLinear" and source is not None and source.op_type == "DequantizeLinear")


def test_a_file_that_is_quantized_all_over_gets_nothing_more() -> None:
    chain = Chain.of(networks.conv_bn_relu())
    plan = plan_for(chain.written, chain.feeds, recipes.int8().with_everything(), ACCEPTS)
    assert not plan.encodings
    assert set(plan.reasons.values()) == {KEPT}


WORDS = st.sampled_from(["*", "Conv", "Gemm", "MatMul", "Relu", "Add", "Concat", "/conv2*", "input", "*weight", "*out*", "Reshape"])
RULES = st.builds(Rule, WORDS, weights=st.sampled_from([None, 8, 4, "float", "int6"]),
                  activations=st.sampled_from([None, 8, 16, 5, "float", "dynamic"]),
                  granularity=st.sampled_from([None, "tensor", "channel", "group:4", "channels:2"]), power_of_two=st.booleans())


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(name=st.sampled_from(list(networks.NETWORKS)), rules=st.lists(RULES, max_size=4), ends=st.sampled_from([None, 8]))
def test_any_recipe_gives_a_plan_that_can_be_written_and_run(name: str, rules: list[Rule], ends: int | None) -> None:
    chain = Chain.of(networks.NETWORKS[name](), Recipe("any", tuple(rules), ends), samples=2)
    assert set(chain.plan.encodings) <= set(chain.plan.reasons)
    for values in chain.results().values():
        assert np.isfinite(values).all()
    if not chain.plan.dynamic:
        assert chain.program.run(chain.feeds).keys() == chain.results().keys()


def test_rules_are_checked_when_they_are_made() -> None:
    with pytest.raises(RecipeError, match="No format is called 'int4x'"):
        Rule(weights="int4x")


def test_an_arg_max_asks_for_codes_where_there_is_no_float_unless_the_recipe_keeps_float() -> None:
    b = small()
    b.node("Sigmoid", [b.conv("input", "conv", (4, 2, 1, 1))], "scores")
    model = b.model({"input": ("batch", 2, 3, 3)}, {"scores": ("batch", 4, 3, 3)})
    network = end_with(load(model.SerializeToString()), "arg-max")
    accepts = target_named("c").accepts
    assert "scores" in values_to_watch(network.graph, recipes.int8(), accepts)
    assert not values_to_watch(network.graph, recipes.weights_int8(), accepts)
