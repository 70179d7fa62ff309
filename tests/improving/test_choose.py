"""What helps is kept, what does not is not, all of it is said, and the budget is kept."""

import numpy as np
import pytest

import bitsmith as bs
from bitsmith.errors import RecipeError
from bitsmith.improving import choose as room
from bitsmith.improving.choose import Choice, choose, stages_for
from bitsmith.improving.draft import Draft
from bitsmith.improving.loss import OutputLoss
from bitsmith.planning.recipe import Recipe, Rule, from_mapping, load_recipe, to_mapping
from tests.improving.test_draft import draft
from tests.networks import conv_bn_relu, feeds

NARROW = Recipe("narrow", (Rule(weights=4, activations=4),), everything=True)


def relative_loss(one: Draft) -> float:
    """Squared distance of the outputs from those in float, over all samples at once."""
    assert one.data is not None
    loss = OutputLoss(one.original, [dict(batch) for batch in one.data], None)
    return Choice(one, loss, float("inf")).lost


def test_the_choice_never_loses_more_than_the_draft_that_it_began_with() -> None:
    before = draft(NARROW)
    after = choose(before)
    tried = after.plan.made_with["tried"]
    assert relative_loss(after) <= relative_loss(before)
    assert {one["step"] for one in tried} >= {"equalize", "ranges by mse", "round_weights", "correct_bias", "search_ranges"}
    gained = sum(one["gain_db"] for one in tried if one["kept"])
    assert 10 * np.log10(relative_loss(before) / relative_loss(after)) == pytest.approx(gained, abs=0.05)
    assert any(one["kept"] for one in tried)


def test_of_a_stage_the_best_is_kept_and_nothing_that_does_not_help() -> None:
    one = draft(NARROW)
    assert one.data is not None
    loss = OutputLoss(one.original, [dict(batch) for batch in one.data], None)
    choice = Choice(one, loss, float("inf"))
    worse, same = room.planned_with(Rule(activations=2)), room.planned_with(Rule())
    choice.stage({"worse": worse, "same": same})
    assert [(t.step, t.kept) for t in choice.tried] == [("worse", False), ("same", False)]
    assert choice.tried[0].gain_db is not None
    assert choice.tried[0].gain_db < 0 == choice.tried[1].gain_db
    choice.stage({"wider": room.planned_with(Rule(activations=6)), "widest": room.planned_with(Rule(activations=8))})
    wider = choice.tried[2:]
    assert [t.step for t in choice.tried if t.kept] == [max(wider, key=lambda t: t.gain_db or 0.0).step]


def test_a_step_that_takes_too_long_is_given_up_and_the_others_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(0, 10**6, 10))
    monkeypatch.setattr(room, "monotonic", lambda: float(next(clock)))
    one = draft(NARROW.with_budget(35))
    tried = choose(one).plan.made_with["tried"]
    assert tried
    late = [t for t in tried if t["gain_db"] is None]
    assert late == tried[len(tried) - len(late):]
    assert late
    assert not any(t["kept"] for t in late)


def test_progress_counts_stages() -> None:
    seen: list[tuple[int, int | None]] = []
    one = draft(NARROW)
    choose(one, lambda done, total: seen.append((done, total)))
    count = len(stages_for(one))
    assert seen == [(n, count) for n in range(1, count + 1)]


def test_what_was_chosen_is_what_is_written_and_told() -> None:
    model = conv_bn_relu()
    result = bs.quantize(model, feeds(model, 40), recipe=load_recipe("best").with_budget(20).with_everything())
    assert result.plan.made_with["recipe"]["name"] == "best"
    assert result.verify(feeds(model, 8)).exact


def test_recipes_keep_their_budget_and_refuse_none() -> None:
    recipe = load_recipe("best").with_budget(5.5)
    assert from_mapping(to_mapping(recipe), "x") == recipe
    for budget in (0, -1, "long", True):
        with pytest.raises(RecipeError, match="budget"):
            from_mapping({"budget": budget}, "mine")
