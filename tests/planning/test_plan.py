"""Plans as files, good and bad, and what two plans differ in."""

import json
from pathlib import Path
from typing import Any

import networks
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from quantizing import Chain

from bitsmith.errors import PlanError
from bitsmith.numerics import Blocks, Encoding, Integer
from bitsmith.planning import recipes
from bitsmith.planning.plan import Plan, compare_plans, describe, load_plan


@pytest.fixture(scope="module")
def plan() -> Plan:
    return Chain.of(networks.conv_bn_relu()).plan


def same(first: Plan, second: Plan) -> bool:
    return all(getattr(first, part) == getattr(second, part) for part in ("encodings", "reasons", "dynamic", "in_float", "made_with"))


@pytest.mark.parametrize("recipe", [recipes.int8(), recipes.weights_int4(), recipes.dynamic_int8()], ids=lambda r: r.name)
def test_saved_and_read_again(recipe: Any, tmp_path: Path) -> None:
    plan = Chain.of(networks.two_in_two_out(), recipe).plan
    plan.save(tmp_path / "a.plan.json")
    found = load_plan(tmp_path / "a.plan.json")
    assert same(found, plan)
    assert list(found.encodings) == list(plan.encodings)
    found.save(tmp_path / "b.plan.json")
    assert (tmp_path / "a.plan.json").read_bytes() == (tmp_path / "b.plan.json").read_bytes()


def test_the_plan_says_how_it_was_made(plan: Plan) -> None:
    asked = {"name": "int8", "rules": [], "everything": True, "refine": ["fit_to_curves", "correct_bias"]}
    assert plan.made_with == {"recipe": asked, "target": "onnxruntime"}


EMPTY: dict[str, Any] = {"bitsmith_plan": 1, "encodings": {}, "reasons": {}, "dynamic": [], "in_float": [], "made_with": {}}
CHANGES: list[dict[str, Any]] = [{"encodings": 3}, {"encodings": {"x": 1}}, {"reasons": []}, {"dynamic": [[]]}, {"dynamic": "xy"},
                                 {"in_float": [1]}, {"made_with": []}, {"bitsmith_plan": 99}]


@pytest.mark.parametrize("text", ["", "[]", "3", "null", "{}", '{"bitsmith_plan": 1}', "\x00", "[" * 100_000,
                                  *(json.dumps(EMPTY | change) for change in CHANGES)], ids=range(8 + len(CHANGES)))
def test_files_that_are_no_plans(text: str, tmp_path: Path) -> None:
    (tmp_path / "bad.plan.json").write_text(text)
    with pytest.raises(PlanError, match=r"bad\.plan\.json"):
        load_plan(tmp_path / "bad.plan.json")


def test_files_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match="There is no file"):
        load_plan(tmp_path / "nothing.plan.json")


JUNK = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.lists(st.integers(), max_size=3)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_files_are_plan_errors_or_plans(data: st.DataObject, plan: Plan, tmp_path: Path) -> None:
    path = tmp_path / "damaged.plan.json"
    plan.save(path)
    whole = path.read_bytes()
    if data.draw(st.booleans()):
        path.write_bytes(whole[: data.draw(st.integers(0, len(whole)))])
    else:
        damaged = json.loads(whole)
        place, key = damaged, data.draw(st.sampled_from(list(damaged)))
        while isinstance(place[key], dict) and place[key] and data.draw(st.booleans()):
            place = place[key]
            key = data.draw(st.sampled_from(list(place)))
        place[key] = data.draw(JUNK)
        path.write_text(json.dumps(damaged))
    try:
        found: Plan | PlanError = load_plan(path)
    except PlanError as problem:
        found = problem
    assert isinstance(found, Plan) or "damaged.plan.json" in str(found)


def test_an_empty_plan_is_one(tmp_path: Path) -> None:
    (tmp_path / "empty.plan.json").write_text(json.dumps(EMPTY))
    assert same(load_plan(tmp_path / "empty.plan.json"), Plan({}))


def test_comparing(plan: Plan) -> None:
    assert compare_plans(plan, plan) == []
    other = Chain.of(networks.conv_bn_relu(), recipes.weights_int8()).plan
    found = {d.name: (d.first, d.second) for d in compare_plans(plan, other)}
    assert found["input"][0].startswith("uint8 [-")
    assert found["input"][1] == "float"
    assert "conv1.weight" not in found
    dynamic = Plan({}, dynamic=frozenset({"input"}))
    assert {d.name: d.second for d in compare_plans(plan, dynamic)}["input"] == "dynamic"
    assert [d.name for d in compare_plans(dynamic, Plan({}))] == ["input"]


def test_describing() -> None:
    rows = Encoding(Integer(4), np.float32([[0.5], [1.0]]), np.int32(0), Blocks.channels(0))
    assert describe(rows) == "int4 x 2 [-8, 7]"
    assert describe(None) == "float"


@pytest.mark.parametrize("made_with", [
    {"tried": [{"step": "equalize"}]}, {"tried": [{"step": "a", "gain_db": "much", "seconds": 1, "kept": True}]}, {"tried": 3},
    {"left_out": ["x"]}, {"recipe": "int8"}, {"chosen_on": {"seconds": "few"}}, {"chosen_on": 3},
])
def test_a_plan_that_tells_nonsense_of_its_making_is_none(made_with: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "net.plan.json"
    Plan({}, made_with=made_with).save(path)
    with pytest.raises(PlanError):
        load_plan(path)
