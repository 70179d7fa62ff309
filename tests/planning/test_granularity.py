"""Where a recipe leaves the granularity of weights open."""

import networks
import numpy as np
import onnx_ir as ir
import pytest

import bitsmith as bs


@pytest.mark.parametrize(("granularity", "spread"), [(None, [False, True, True]), ("channel", [True, True, True])])
def test_hidden_gemms_have_one_scale_on_onnxruntime_unless_the_recipe_speaks(granularity: str | None, spread: list[bool]) -> None:
    """One scale is faster there; products that end in float (before the Tanh, and the last) keep their channels."""
    model = networks.mlp()
    recipe = bs.Recipe("x", (bs.Rule(granularity=granularity),)).with_everything()
    plan = bs.quantize(model, networks.feeds(model, 4), recipe=recipe).plan
    weights = [n.input[1] for n in model.graph.node if n.op_type == "Gemm"]
    assert [plan.encodings[name].scale.size > 1 for name in weights] == spread


def test_convolutions_keep_a_scale_for_each_channel() -> None:
    model = networks.conv_bn_relu()
    plan = bs.quantize(model, networks.feeds(model, 4), recipe=bs.recipes.int8().with_everything()).plan
    weights = [n.input[1] for n in model.graph.node if n.op_type == "Conv"]
    assert all(plan.encodings[name].scale.size > 1 for name in weights)


def test_a_product_of_scales_beyond_float32_names_the_layer() -> None:
    network = bs.load(networks.mlp())
    weight = next(v for v in network.graph.initializers.values() if v.name == "fc1.weight")
    assert weight.const_value is not None
    outlier = np.where(np.arange(12) == 0, np.float32(1e30), weight.const_value.numpy())
    weight.const_value = ir.tensor(outlier.astype(np.float32), name=weight.name)
    data = {"input": np.where(np.arange(12) == 0, 0, np.full((4, 12), 1e15)).astype(np.float32)}       # nothing meets the outlier
    with pytest.raises(bs.BitsmithError, match=r"Gemm '/fc1_out'.*beyond float32"):
        bs.quantize(network, data, recipe=bs.recipes.int8().with_everything())


def test_narrow_weights_in_whole_bytes_are_told() -> None:
    plan = bs.quantize(networks.mlp(), networks.feeds(networks.mlp(), 4), recipe=bs.recipes.int4().with_everything()).plan
    assert any("whole byte" in reason for reason in plan.reasons.values())
    blocked = bs.quantize(networks.mlp(), recipe="weights_int4").plan
    assert not any("whole byte" in reason for reason in blocked.reasons.values())
