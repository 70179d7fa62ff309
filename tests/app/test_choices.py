"""What is chosen becomes the rules of a recipe, each for one place of the network."""

import networks
import pytest
from studios import NET, STEM

from bitsmith.app.choices import PLACES_TO_RUN, Choices, as_choice, choices_from, formats_for, places_of
from bitsmith.errors import BitsmithError, RecipeError
from bitsmith.graph import is_float
from bitsmith.planning.placement import end_layers
from bitsmith.targets import target_named
from bitsmith.workflow import load

NETWORK = load(NET)
PLACES = places_of(NETWORK.graph)


def test_every_float_value_belongs_to_one_place() -> None:
    values = [v for place in PLACES.values() for v in place.values]
    made = [v.name for node in NETWORK.graph for v in node.outputs if is_float(v)] + [v.name for v in NETWORK.graph.inputs]
    assert sorted(values) == sorted(made)


def test_clamps_belong_to_what_they_follow() -> None:
    assert PLACES[STEM].operator == "Conv + Relu"
    assert PLACES[STEM].roles == ("weights", "activations")


def test_a_rule_speaks_of_its_place_alone() -> None:
    recipe = Choices().with_format(PLACES[STEM], "weights", "4").as_recipe(PLACES)
    fours = [node.name for node in NETWORK.graph if recipe.settings([node]).weights == 4]
    assert fours == ["/stem/Conv"]


def test_names_that_are_globs_fit_only_themselves() -> None:
    b = networks.Builder(21, seed=0)
    x = b.conv("input", "a[0]*", (3, 3, 1, 1))
    b.conv(x, "a0b", (3, 3, 1, 1))
    network = load(b.model({"input": ("batch", 3, 4, 4)}, {"a0b_out": ("batch", 3, 4, 4)}).SerializeToString())
    places = places_of(network.graph)
    first = next(p for p in places.values() if "a[0]*" in p.name or "a[0]*" in p.key)
    recipe = Choices().with_format(first, "weights", "4").as_recipe(places)
    assert [recipe.settings([node]).weights for node in network.graph if node.op_type == "Conv"] == [4, 8]


def test_what_the_user_says_of_an_end_outranks_the_ends_of_the_recipe() -> None:
    recipe = Choices(recipe="int4").with_format(PLACES[STEM], "weights", "4").as_recipe(PLACES)
    first, last = sorted(end_layers(NETWORK.graph), key=list(NETWORK.graph).index)
    assert recipe.ends is None
    assert recipe.settings([first]).weights == 4
    assert recipe.settings([last]).weights == 8
    assert Choices(recipe="int4").as_recipe(PLACES).ends == 8


def test_the_format_of_the_recipe_takes_a_choice_back() -> None:
    chosen = Choices().with_format(PLACES[STEM], "weights", "4")
    assert chosen.changed == 1
    assert chosen.with_format(PLACES[STEM], "weights", "") == Choices()


def test_choices_survive_being_written() -> None:
    chosen = Choices("int16", "onnx", "8", True, ()).with_format(PLACES[STEM], "activations", "float")
    assert choices_from(chosen.to_dict()) == chosen


@pytest.mark.parametrize("data", [None, [], 5, {}, {"recipe": "int8"}, Choices().to_dict() | {"recipe": "finest"},
                                  Choices().to_dict() | {"target": 5}, Choices().to_dict() | {"weights": {"a": "nothing"}},
                                  Choices().to_dict() | {"weights": 5}, Choices().to_dict() | {"refine": ["magic"]},
                                  Choices().to_dict() | {"ends": "99"}])
def test_anything_else_is_refused(data: object) -> None:
    with pytest.raises(BitsmithError):
        choices_from(data)


def test_what_cannot_be_chosen_is_refused() -> None:
    pool = next(p for p in PLACES.values() if p.operator == "MaxPool")
    with pytest.raises(RecipeError, match="no weights to choose"):
        Choices().with_format(pool, "weights", "4")


@pytest.mark.parametrize("target", PLACES_TO_RUN)
def test_only_what_the_target_takes_is_offered(target: str) -> None:
    accepts = target_named(target).accepts
    for role in ("weights", "activations"):
        for value, _ in formats_for(PLACES[STEM], role, accepts):
            chosen = as_choice(value)
            assert chosen in (None, "float") or accepts.choose(chosen, role, "")
    offered = [v for v, _ in formats_for(PLACES[STEM], "weights", target_named("onnxruntime").accepts)]
    assert offered[:4] == ["", "16", "8", "4"]
    assert {"float16", "float8_e4m3", "pow2_4", "float"} <= set(offered)
    in_c = [v for v, _ in formats_for(PLACES[STEM], "weights", target_named("c:cortex-m").accepts)]
    assert in_c[:3] == ["", "8", "4"]
    assert not {"16", "float8_e4m3", "float"} & set(in_c)
    assert [v for v, _ in formats_for(PLACES[STEM], "activations", target_named("tensorrt").accepts)] == ["", "8", "float"]
