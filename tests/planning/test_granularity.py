"""Where a recipe leaves the granularity of weights open."""

import networks
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
