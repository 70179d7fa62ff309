"""Recipes may ask for refinements; unknown ones are refused before any work, and those without data say so."""

import pytest

import bitsmith as bs
from bitsmith.calibration.collection import Collection
from bitsmith.errors import GoneError, RecipeError
from bitsmith.improving import REFINEMENTS, check_refinements, refinement_named
from bitsmith.planning.recipe import Recipe, from_mapping, load_recipe, to_mapping
from bitsmith.targets import target_named
from bitsmith.workflow import Draft, first_draft
from tests.networks import conv_bn_relu, feeds


def draft(recipe: Recipe | None = None) -> Draft:
    from contextlib import nullcontext

    model = conv_bn_relu()
    return first_draft(bs.load(model), feeds(model, 40), recipe or load_recipe("int8"), "onnxruntime", lambda title: nullcontext())


def test_a_recipe_keeps_its_refinements_through_plain_data() -> None:
    recipe = load_recipe("int8").with_refinements("equalize", "correct_bias")
    assert from_mapping(to_mapping(recipe), "int8") == recipe
    assert "refine" not in to_mapping(recipe.with_refinements())


@pytest.mark.parametrize("refine", ["equalize", [3]])
def test_refine_needs_names(refine: object) -> None:
    with pytest.raises(RecipeError, match="list of names"):
        from_mapping({"refine": refine}, "mine")


def test_unknown_refinements_are_refused_before_any_work() -> None:
    with pytest.raises(RecipeError, match="polish"):
        bs.quantize(conv_bn_relu(), object(), recipe=load_recipe("int8").with_refinements("polish"))


def test_every_refinement_is_found_by_its_name() -> None:
    check_refinements(REFINEMENTS)
    for name in REFINEMENTS:
        assert callable(refinement_named(name))


def test_a_draft_without_readable_data_says_so() -> None:
    one = draft()
    without = Draft(one.original, one.network, Collection({}), one.plan, None, one.recipe, target_named("onnxruntime"))
    with pytest.raises(GoneError, match="'equalize'"):
        without.samples("equalize")


def test_planning_again_gives_the_same_plan_for_the_same_network() -> None:
    one = draft()
    again = one.replanned(one.network, "equalize")
    assert again.plan.to_json() == one.plan.to_json()
    assert again.statistics.network == one.statistics.network


def test_refinements_are_left_out_aloud_where_data_cannot_be_read_again() -> None:
    model = conv_bn_relu()
    recipe = load_recipe("int8").with_refinements("round_weights")
    given = feeds(model, 8)
    once = ({name: array[i:i + 1] for name, array in given.items()} for i in range(8))
    for data in (once, bs.calibrate(bs.load(model), given)):
        result = bs.quantize(model, data, recipe=recipe)
        assert "round_weights" in result.plan.made_with["left_out"]
        assert "read again" in result.plan.made_with["left_out"]["round_weights"]
