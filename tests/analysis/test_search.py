"""Searches over small networks whose best assignment is known."""

import math
import tomllib
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import networks
import numpy as np
import onnx
import onnx_ir as ir
import pytest

import bitsmith as bs
from bitsmith.analysis import search_bench, search_confirm
from bitsmith.analysis.search import search_with_progress
from bitsmith.analysis.search_costs import FLOAT_BITS, costs_of
from bitsmith.analysis.search_points import Loss, Point, load_search
from bitsmith.analysis.search_problem import problem_for
from bitsmith.analysis.search_samples import check_apart, halves
from bitsmith.analysis.sensitivity import choices_for
from bitsmith.errors import BitsmithError, DataError, RecipeError
from bitsmith.loading.draw import spread
from bitsmith.planning.recipe import Rule, load_recipe
from bitsmith.planning.recipe_text import to_toml
from bitsmith.running.session import Session

EVERYTHING = bs.recipes.int8().with_everything()
GOAL = bs.Goal(tolerance=0.03, widths=(8, 4, 2), recipe=EVERYTHING, samples=64)


def two_branches() -> onnx.ModelProto:
    """Two convolutions of one size: `heard` decides, `dead` is multiplied by 0."""
    b = networks.Builder(21, seed=5)
    x = b.relu(b.conv("input", "first", (8, 3, 3, 3), {"pads": [1] * 4}))
    scaled = []
    for name, factor in (("heard", 1.0), ("dead", 0.0)):
        y = b.conv(x, name, (8, 8, 3, 3), {"pads": [1] * 4})
        scaled.append(b.node("Mul", [y, b.constant(f"{name}_factor", factor)], f"{name}_scaled"))
    pooled = b.node("GlobalAveragePool", [b.node("Add", scaled, "sum")], "pooled")
    b.linear(b.node("Flatten", [pooled], "flat"), "last", 8, 5)
    return b.model({"input": ("batch", 3, 6, 6)}, {"last_out": ("batch", 5)})


@cache
def material() -> tuple[ir.Model, np.ndarray, np.ndarray, np.ndarray]:
    """(network, calibration, test, labels): the labels are what the float network answers, but for one in ten."""
    network = bs.load(two_branches())
    random = np.random.default_rng(1)
    x = (random.normal(0, 1, (464, 3, 6, 6)) + random.normal(0, 3, (464, 3, 1, 1))).astype(np.float32)
    labels = Session(network).run({"input": x})["last_out"].argmax(1)
    labels[::10] = (labels[::10] + 1) % 5
    return network, x[:64], x[64:], labels[64:]


@cache
def found() -> bs.Search:
    network, x, test, labels = material()
    return bs.search(network, x, test=(test, labels), goal=GOAL)


def test_what_does_not_matter_gets_the_fewest_bits() -> None:
    best = found().best
    assert best is not None
    assert best.widths["/dead_out"] == {"weights": 2}
    assert best.widths["/heard_out"]["weights"] > 2
    assert found().before is not None
    assert best.costs.bytes < found().before.bytes / 3


def test_what_is_reported_was_measured_on_the_samples_held_out() -> None:
    network, x, test, labels = material()
    best = found().best
    assert best is not None
    assert best.confirmed is not None
    assert best.confirmed.drop <= GOAL.tolerance
    assert best.confirmed.samples == best.searched.samples == 200
    result = bs.quantize(network, x, test=halves(bs.open_data((test, labels), network))[1], recipe=best.recipe)
    assert result.evaluation is not None
    assert result.float_evaluation is not None
    assert result.evaluation.top1 == best.confirmed.top1
    assert result.float_evaluation.top1 == found().float_top1[1]
    assert result.float_evaluation.top1 - result.evaluation.top1 == pytest.approx(best.confirmed.drop)


def test_every_point_can_be_made_again_from_its_recipe(tmp_path: Path) -> None:
    network, x, test, labels = material()
    paths = found().write_recipes(tmp_path / "points")
    assert len(paths) == len(found().shown()) > 1
    for path, point in zip(paths, found().shown(), strict=True):
        recipe = load_recipe(path)
        assert recipe == point.recipe
        result = bs.quantize(network, x, test=halves(bs.open_data((test, labels), network))[0], recipe=recipe)
        assert result.evaluation is not None
        assert result.evaluation.top1 == point.searched.top1
        assert costs_of(network.graph, result.plan) == point.costs


def test_the_same_search_finds_the_same() -> None:
    network, x, test, labels = material()
    again = bs.search(network, x, test=(test, labels), goal=GOAL)
    assert again == found()


class KilledError(Exception):
    """In the middle of the work."""


def killing_after(count: int) -> Any:
    @contextmanager
    def steps(title: str) -> Any:
        def advance(done: int, total: int | None) -> None:
            if title == "measuring" and done >= count:
                raise KilledError

        yield advance

    return steps


def test_a_killed_search_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network, x, test, labels = material()
    path, given = tmp_path / "net.search.json", ((test, labels), None)
    with pytest.raises(KilledError):
        search_with_progress(network, x, given, GOAL, path, killing_after(3))
    assert len(load_search(path).points) == 3
    measured = []
    original = search_bench.Bench.measure
    monkeypatch.setattr(search_bench.Bench, "measure", lambda self, a: measured.append(a) or original(self, a))
    monkeypatch.setattr("bitsmith.analysis.sensitivity.measure_layer", None)       # all layers are known
    again = search_with_progress(network, x, given, GOAL, path)
    assert again == found()
    assert len(measured) == len(again.points) - 3
    assert load_search(path).best is not None
    with pytest.raises(BitsmithError, match="other samples and searched"):
        search_with_progress(network, x, ((test[:300], labels[:300]), None), GOAL, path)


def test_an_impossible_tolerance_tells_the_best_there_is() -> None:
    network, x, test, labels = material()
    found = bs.search(network, x, test=(test, labels), goal=replace(GOAL, tolerance=0.0, widths=(2,)))
    assert found.best is None
    assert found.points
    assert "nothing keeps the tolerance of 0 points; the best that was measured loses" in found.notes[-1]


def test_where_a_point_fails_on_other_samples_the_next_has_much_less_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    network, x, test, labels = material()
    looked: list[float] = []

    def confirm(self: search_bench.Bench, point: Point, draft: Any) -> Point:
        looked.append(point.costs.weight_bits)
        return replace(point, confirmed=Loss(200, 0.5, 0.9, 0.5 if point.costs.weight_bits < 6 else 0.0, 0.001))

    monkeypatch.setattr(search_bench.Bench, "confirm", confirm)
    found = bs.search(network, x, test=(test, labels), goal=replace(GOAL, widths=(16, 8, 7, 6, 5, 4, 3, 2)))
    kept = [bits for bits in looked if bits >= 6]
    until = looked.index(kept[0]) + 1
    assert looked[:until] == sorted(looked[:until])
    assert 1 < until <= len(looked) <= search_confirm.MOST_CONFIRMED + 1
    assert kept == sorted(kept, reverse=True), "half way back only to what is cheaper"
    assert found.best is not None
    assert found.best.costs.weight_bits == kept[-1] < 8


@pytest.mark.parametrize(("margin", "noise", "expected"), [
    (1, math.inf, 0), (2, math.inf, 1), (4, math.inf, 2), (1, 0.02, 2), (8, math.inf, 3), (1, 0.0, 3)])
def test_the_cheapest_point_by_a_margin_and_without_one_the_quietest(margin: float, noise: float, expected: int) -> None:
    drops, errors, noises = (0.005, 0.003, -0.001, 0.0), (0.004, 0.003, 0.002, 0.003), (0.3, 0.1, 0.01, 0.001)
    points = [SimpleNamespace(searched=Loss(400, 0.5, 0.9, drop, error), confirmed=None, number=number, assignment=lambda: None)
              for number, (drop, error) in enumerate(zip(drops, errors, strict=True))]
    goal = bs.Goal(tolerance=0.01)
    hunt: Any = SimpleNamespace(found=SimpleNamespace(points=points), goal=goal, noise=lambda point: noises[point.number],
                                cost=lambda point: float(point.number), problem=SimpleNamespace(limits=[]),
                                within=lambda point: point.searched.at_most(1) <= goal.tolerance)
    assert search_confirm.cheapest_within(hunt, noise, margin) == expected


@pytest.mark.parametrize(("drop", "error", "advised"), [(0.0125, 0.0075, True), (0.0125, 0.001, False), (0.005, 0.0075, False)])
def test_a_loss_that_may_be_chance_asks_for_more_samples(drop: float, error: float, advised: bool) -> None:
    point = SimpleNamespace(searched=Loss(400, 0.5, 0.9, drop, error), confirmed=None)
    hunt: Any = SimpleNamespace(found=SimpleNamespace(points=[point]), goal=bs.Goal(tolerance=0.01), late=False, cost=lambda point: 1.0)
    assert ("give more test samples" in " ".join(search_confirm.last_words(hunt, None))) == advised


def test_limits_hold_and_impossible_ones_say_what_is_possible() -> None:
    network, x, test, labels = material()
    dear = bs.search(network, x, test=(test, labels), goal=replace(GOAL, tolerance=0.5, cost="bitops", max_bytes=1500))
    assert dear.best is not None
    assert dear.best.costs.bytes <= 1500
    assert {role for widths in dear.best.widths.values() for role in widths} == {"weights", "activations"}
    with pytest.raises(BitsmithError, match="is the least that these widths allow"):
        bs.search(network, x, test=(test, labels), goal=replace(GOAL, max_bytes=100))


def test_without_labels_answers_are_compared() -> None:
    network, x, test, _ = material()
    found = bs.search(network, x, test=test, goal=replace(GOAL, fast=True))
    assert found.best is not None
    assert found.best.confirmed is not None
    assert found.best.confirmed.top1 is None
    assert found.best.confirmed.drop == pytest.approx(1 - found.best.confirmed.agreement)
    assert "no labels" in found.notes[0]


def test_a_third_set_confirms_where_there_is_one() -> None:
    network, x, test, labels = material()
    found = bs.search(network, x, test=(test[:150], labels[:150]), confirm=(test[150:], labels[150:]), goal=replace(GOAL, fast=True))
    assert found.best is not None
    assert found.best.confirmed is not None
    assert (found.best.searched.samples, found.best.confirmed.samples) == (150, 250)


def test_no_time_still_gives_a_measured_answer() -> None:
    network, x, test, labels = material()
    found = bs.search(network, x, test=(test, labels), goal=replace(GOAL, seconds=1e-3))
    assert found.best is not None
    assert found.best.confirmed is not None
    assert "time was over" in found.notes[-1]


def test_calibration_samples_are_no_test_samples() -> None:
    network, x, test, _ = material()
    with pytest.raises(DataError, match="calibration samples, too"):
        bs.search(network, x, test=x, goal=GOAL)
    mixed = np.concatenate([x[:5], test[:100]])
    assert check_apart(bs.open_data(x, network), bs.open_data(mixed, network)) == "5 of 105 test samples are calibration samples, too"


@pytest.mark.parametrize("step", [1, 3])
@pytest.mark.parametrize("count", [40, 83])
def test_halves_are_apart_and_together_everything(count: int, step: int) -> None:
    network = material()[0]
    x = np.arange(count * 108, dtype=np.float32).reshape(count, 3, 6, 6)
    whole = bs.open_data((x, np.arange(count)), network)
    for data, expected in ((whole, count), (whole.limit(41), min(41, count)), (whole.every(2).limit(40), min(40, -(-count // 2)))):
        picked = [read(half) for half in halves(data)] if expected >= 40 else []
        assert not picked or sorted([*picked[0], *picked[1]]) == read(data)
        for half, all_of_it in zip(halves(data) if picked else (), picked, strict=True):
            assert read(half.every(step)) == all_of_it[::step]
            assert half.samples == len(all_of_it)
            assert half.every(step).samples == len(all_of_it[::step])


def read(data: bs.Data) -> list[int]:
    """The numbers of the samples, which are their labels, by odd batches; the inputs must be those of the labels."""
    parts = list(data.labelled(7))
    assert all((batch["input"][:, 0, 0, 0] == 108 * labels).all() for batch, labels in parts)
    return [int(label) for _, labels in parts for label in labels]


@pytest.mark.parametrize("period", [2, 10])
def test_sets_that_go_round_the_classes_stay_balanced(period: int) -> None:
    network = material()[0]
    data = bs.open_data((np.zeros((1000, 3, 6, 6), np.float32), np.arange(1000) % period), network)
    for drawn in (*halves(data), spread(data, 100), spread(halves(data)[0], 100)):
        counts = np.bincount(drawn.labels, minlength=period)
        assert counts.sum() == drawn.samples
        assert counts.min() > 0.3 * counts.mean()


def test_predicted_costs_are_those_of_the_plan() -> None:
    network, x, _, _ = material()
    settings = replace(GOAL, cost="bitops").settings
    choices = choices_for(network, x, settings, lambda title: contextmanager(lambda: iter([None]))())
    measured = bs.sensitivity(network, x, settings=replace(settings, fast=True))
    chosen = {(e.layer, e.role): (8, 4, 2)[i % 3] for i, e in enumerate(measured.effects[::3])}
    asked = choices.recipe.with_rules(*(rule for layer in choices.layers for (name, role), bits in chosen.items() if name == layer.name
                                        for rule in layer.rules(role, bits)))
    costs = costs_of(network.graph, bs.make_plan(network, bs.calibrate(network, x), recipe=asked))
    for cost in ("bytes", "bitops", "energy"):
        assert problem_for(choices, measured, cost).cost.total(chosen) == pytest.approx(costs.of(cost), rel=0.02)
    assert costs_of(network.graph, bs.Plan({})).weight_bits == FLOAT_BITS


def test_wrong_goals() -> None:
    for wrong in ({"tolerance": 1.5}, {"cost": "beauty"}, {"seconds": 0}):
        with pytest.raises(RecipeError):
            bs.Goal(**wrong)
    with pytest.raises(DataError, match="at least 40"):
        halves(bs.open_data(material()[1][:39], material()[0]))


def test_recipes_as_text_come_back(tmp_path: Path) -> None:
    odd = bs.Recipe("it's \"odd\" \\ ü\n", (Rule("a[*]/\t\x7f", weights=4), Rule(activations="uint8", power_of_two=True)), 8, True, ("x",))
    path = tmp_path / "odd.toml"
    path.write_text(to_toml(odd, ["two\nlines"]), encoding="utf-8")
    assert load_recipe(path) == odd
    assert tomllib.loads(path.read_text())["ends"] == 8
    assert path.read_text().startswith("# two lines\n")
