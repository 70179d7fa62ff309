"""Rules: which of them speak of a node, and which of two that speak wins."""

from pathlib import Path

import networks
import onnx_ir as ir
import pytest
from quantizing import Chain

from bitsmith.errors import RecipeError
from bitsmith.planning import recipes
from bitsmith.planning.recipe import EVERYTHING, Recipe, Rule, from_mapping, load_recipe, to_mapping


@pytest.fixture(scope="module")
def conv() -> ir.Node:
    return next(node for node in Chain.of(networks.conv_bn_relu()).network.graph if node.op_type == "Conv")


@pytest.mark.parametrize("match", ["*", "Conv", "C?nv", "/conv1_out", "/conv1*", "conv1.weight", "*.bias", "bn1_out"])
def test_a_glob_may_fit_name_type_weight_or_result(conv: ir.Node, match: str) -> None:
    assert Rule(match).fits(conv)


@pytest.mark.parametrize("match", ["conv", "Con", "conv1", "input", "CONV", "", "conv2.weight"])
def test_a_glob_fits_nothing_else(conv: ir.Node, match: str) -> None:
    assert not Rule(match).fits(conv)


def test_later_rules_win_and_silent_ones_leave_things_alone(conv: ir.Node) -> None:
    recipe = Recipe("mine", (
        Rule(weights=4, activations=16), Rule("Conv", weights="int3"), Rule("Gemm", weights=2), Rule("/conv1*", activations=9),
    ))  # fmt: skip
    asked = recipe.settings([conv])
    assert (asked.weights, asked.activations, asked.granularity, asked.estimator) == ("int3", 9, None, EVERYTHING.estimator)
    assert recipe.with_rules(Rule(estimator="percentile:99")).settings([conv]).estimator == "percentile:99"
    assert recipe.settings([], "input").activations == 16
    assert recipe.with_rules(Rule("inp*", activations=5)).settings([], "input").activations == 5


@pytest.mark.parametrize("name", recipes.__all__)
def test_recipes_by_name_and_as_plain_data(name: str) -> None:
    recipe = load_recipe(name)
    assert recipe.name == name
    assert from_mapping(to_mapping(recipe), "else") == recipe
    assert load_recipe(recipe) is recipe


def test_a_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('ends = 8\neverything = true\n[[rules]]\nmatch = "Conv"\nweights = "int4"\ngranularity = "channels:4"\n')
    assert load_recipe(path) == Recipe("mine", (Rule("Conv", weights="int4", granularity="channels:4"),), 8, True)


@pytest.mark.parametrize(("text", "message"), [
    ('rulez = 1', "a recipe has no key 'rulez'"),
    ('[[rules]]\nweigths = 8', "rule 1 has no key 'weigths'"),
    ('[[rules]]\nweights = "int99"', "not 99"),
    ('[[rules]]\nweights = true', "'weights' needs a width such as 8"),
    ('[[rules]]\nweights = "dynamic"', "No format is called 'dynamic'"),
    ('[[rules]]\ngranularity = "group"', "Granularity 'group' is unknown"),
    ('[[rules]]\ngranularity = "channel:2"', "Granularity 'channel:2' is unknown"),
    ('[[rules]]\ngranularity = "group:0"', "Granularity 'group:0' is unknown"),
    ('[[rules]]\nestimator = "mean"', "No range estimator is called 'mean'"),
    ('rules = 3', "'rules' needs tables"),
    ('ends = 99', "not 99"),
    ('[[rules]', "cannot be read as TOML"),
])  # fmt: skip
def test_what_a_recipe_cannot_ask(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "bad.toml"
    path.write_text(text)
    with pytest.raises(RecipeError, match=message) as caught:
        load_recipe(path)
    assert str(path) in str(caught.value)


def test_recipes_that_do_not_exist() -> None:
    with pytest.raises(RecipeError, match="No recipe is called 'int7'"):
        load_recipe("int7")
    with pytest.raises(RecipeError, match="No recipe is called"):
        load_recipe("nowhere/mine.toml")


def test_weights_is_one_more_rule() -> None:
    assert load_recipe("int4").with_weights("2").rules[-1] == Rule(weights=2)
    assert load_recipe("int4").with_weights("binary").rules[-1] == Rule(weights="binary")
    with pytest.raises(RecipeError, match="No format is called 'trinary'"):
        load_recipe("int4").with_weights("trinary")
