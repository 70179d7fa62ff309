"""What limit_accumulators promises is what the integer program proves, for every layer with weights."""

import networks
import numpy as np
import pytest

import bitsmith as bs
from bitsmith.errors import RecipeError
from bitsmith.improving import check_refinements
from bitsmith.planning.recipe import Recipe, Rule, from_mapping, to_mapping

EVERY = Recipe("every", everything=True)


def limited(name: str, bits: int, recipe: Recipe = EVERY, target: str = "onnxruntime") -> bs.Quantized:
    model = networks.NETWORKS[name]()
    return bs.quantize(model, networks.feeds(model, samples=64), recipe=recipe.with_accumulator(bits), target=target)


@pytest.mark.parametrize("target", ["onnxruntime", "c"])
@pytest.mark.parametrize(("name", "bits"), [("conv_bn_relu", 16), ("conv_bn_relu", 13), ("depthwise", 14), ("mlp", 15), ("mlp", 12)])
def test_every_accumulator_is_proven_to_fit(name: str, bits: int, target: str) -> None:
    result = limited(name, bits, target=target)
    found = bs.accumulators(result.refined, result.plan)
    assert found.layers
    assert all(layer.sums.bits <= bits for layer in found.layers)
    assert sum("hold every sum" in reason for reason in result.plan.reasons.values()) == len(found.layers)
    assert result.plan.made_with["recipe"]["accumulator"] == bits


@pytest.mark.parametrize("rule", [Rule(granularity="tensor"), Rule(power_of_two=True), Rule(weights=4), Rule(activations=5)])
def test_whatever_the_codes_are(rule: Rule) -> None:
    result = limited("conv_bn_relu", 14, EVERY.with_rules(rule))
    assert all(layer.sums.bits <= 14 for layer in bs.accumulators(result.refined, result.plan).layers)
    if rule.power_of_two:
        scales = np.concatenate([e.scale.ravel() for e in result.plan.encodings.values() if e.format.bits == 8])
        assert (np.frexp(scales)[0] == 0.5).all()


def test_without_it_they_do_not_fit_and_with_room_little_changes() -> None:
    model = networks.conv_bn_relu()
    feeds = networks.feeds(model, samples=64)
    plain = bs.quantize(model, feeds, recipe=EVERY)
    assert max(layer.sums.bits for layer in bs.accumulators(plain.refined, plain.plan).layers) > 16
    wide, narrow = limited("conv_bn_relu", 32), limited("conv_bn_relu", 12)
    noise = [bs.evaluate(r.network, feeds, against=r.original).snr_db or 0 for r in (plain, wide, narrow)]
    assert noise[1] > noise[0] - 1
    assert noise[2] < noise[1]


def test_layers_in_float_say_that_they_are_not_limited() -> None:
    result = limited("mlp", 16, Recipe("floats", (Rule(activations="float"),)))
    assert any("not limited" in reason for reason in result.plan.reasons.values())


def test_it_comes_last() -> None:
    with pytest.raises(RecipeError, match="put 'limit_accumulators' last"):
        check_refinements(["limit_accumulators", "correct_bias"])
    assert bs.recipes.int8().with_accumulator(16).refine[-1] == "limit_accumulators"
    assert bs.recipes.int8().with_accumulator(16).with_accumulator(20).refine.count("limit_accumulators") == 1


def test_a_recipe_keeps_the_width_and_refuses_others() -> None:
    recipe = EVERY.with_accumulator(18)
    assert from_mapping(to_mapping(recipe), "again") == recipe
    for wrong in (7, 33, 16.0, True, "16"):
        with pytest.raises(RecipeError, match="8 to 32 bits"):
            from_mapping({"accumulator": wrong}, "wrong")


def test_data_that_are_gone_are_left_out_aloud() -> None:
    model = networks.mlp()
    batches = iter([networks.feeds(model, samples=32)])
    result = bs.quantize(model, batches, recipe=EVERY.with_accumulator(16))
    assert "limit_accumulators" in result.plan.made_with["left_out"]
