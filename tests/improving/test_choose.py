"""What helps is kept, what does not is not, all of it is said, and the budget is kept."""

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import onnx
import pytest

import bitsmith as bs
from bitsmith.display import told_of_choice
from bitsmith.errors import RecipeError
from bitsmith.improving import choose as room
from bitsmith.improving import refine_draft
from bitsmith.improving.choose import FEWEST, Choice, OutOfTimeError, Watched, choose, split, stages_for
from bitsmith.improving.draft import Draft
from bitsmith.improving.loss import OutputLoss
from bitsmith.loading.data import Data
from bitsmith.planning.recipe import Recipe, Rule, from_mapping, load_recipe, to_mapping
from bitsmith.workflow import first_draft
from tests.improving.test_draft import draft
from tests.networks import conv_bn_relu, feeds, swish

NARROW = Recipe("narrow", (Rule(weights=4, activations=4),), everything=True)


def lost(one: Draft, on: Data) -> float:
    """Squared distance of the outputs from those in float, over all samples at once."""
    return Choice(one, OutputLoss(one.original, [dict(batch) for batch in on], None), float("inf")).lost


def recalibrated(one: Draft) -> tuple[Draft, Data]:
    """The draft as choosing begins with it, and the samples held out."""
    fitted, held = split(one.samples("test"))
    return replace(one, data=fitted).replanned(one.network, "test"), held


def test_the_choice_never_loses_more_than_the_draft_that_it_began_with() -> None:
    before, held = recalibrated(draft(NARROW))
    after = choose(draft(NARROW))
    tried = after.plan.made_with["tried"]
    assert {one["step"] for one in tried} >= {"equalize", "ranges by mse", "round_weights", "fit_to_curves, correct_bias", "search_ranges"}
    gained = sum(one["gain_db"] for one in tried if one["kept"])
    assert gained > 0
    assert 10 * np.log10(lost(before, held) / lost(after, held)) == pytest.approx(gained, abs=0.05)


@pytest.mark.parametrize("model", [swish, conv_bn_relu])
def test_the_choice_never_loses_more_than_the_usual_recipe(model: Callable[[], onnx.ModelProto]) -> None:
    network = bs.load(model())
    recipe = load_recipe("int8").with_everything()
    one = first_draft(network, feeds(model(), 40), recipe, "onnxruntime", lambda title: nullcontext())
    usual, held = recalibrated(one)
    assert lost(choose(one), held) <= lost(refine_draft(usual, lambda title: nullcontext(None)), held)


def test_samples_that_measure_never_calibrate() -> None:
    one = draft(NARROW)
    fitted, held = (np.concatenate([batch["input"] for batch in part]) for part in split(one.samples("test")))
    together = np.concatenate([fitted, held])
    assert (len(fitted), len(held)) == (30, 10)
    every = np.concatenate([batch["input"] for batch in one.samples("test")])
    np.testing.assert_array_equal(np.unique(together, axis=0), np.unique(every, axis=0))
    after = choose(replace(one, recipe=NARROW.with_budget(1e-9)))
    assert {statistics.samples for statistics in after.statistics.values()} == {30}
    assert after.plan.made_with["chosen_on"]["samples"] == 10
    assert after.data is one.data


def test_few_samples_calibrate_and_measure_all() -> None:
    network = bs.load(conv_bn_relu())
    one = first_draft(network, feeds(conv_bn_relu(), FEWEST - 1), NARROW.with_budget(1e-9), "onnxruntime", lambda title: nullcontext())
    told = choose(one).plan.made_with["chosen_on"]
    assert (told["samples"], told["held_out"]) == (FEWEST - 1, False)


def test_reading_data_looks_at_the_clock() -> None:
    one, seen = draft(NARROW).samples("test"), list[int]()

    def look(done: int, total: int | None) -> None:
        seen.append(done)
        if len(seen) == 3:
            raise OutOfTimeError("There is no time left.")

    with pytest.raises(OutOfTimeError):
        list(replace(one, source=Watched(one.source, look)).batches(8))
    assert seen == [8, 8, 8]


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
    assert "10 samples held out from calibration" in told_of_choice(result.plan)
    assert result.verify(feeds(model, 8)).exact


def test_recipes_keep_their_budget_and_refuse_none() -> None:
    recipe = load_recipe("best").with_budget(5.5)
    assert from_mapping(to_mapping(recipe), "x") == recipe
    for budget in (0, -1, "long", True):
        with pytest.raises(RecipeError, match="budget"):
            from_mapping({"budget": budget}, "mine")
