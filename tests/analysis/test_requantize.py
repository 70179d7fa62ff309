"""Which way accumulators became codes is said, and what the other way would change is counted."""

import networks
import numpy as np
import pytest

import bitsmith as bs
from bitsmith.analysis.engines import Subject
from bitsmith.analysis.report_rows import Material, gather_rows
from bitsmith.analysis.requantize import compare_requantization
from bitsmith.loading.data import open_data
from bitsmith.planning.recipe import Rule

RECIPE = bs.recipes.int8().with_everything().with_refinements()


def quantized(target: str, recipe: bs.Recipe = RECIPE) -> tuple[bs.Quantized, bs.Data]:
    model = networks.mlp()
    feeds = networks.feeds(model, samples=40)
    result = bs.quantize(model, feeds, recipe=recipe, target=target)
    return result, open_data((feeds, np.zeros(40, np.int64)), result.original)


@pytest.mark.parametrize(("target", "words"), [
    ("onnxruntime", "float scale"), ("c", "integer multiplier of 31 bits and shift"), ("c:float", "float scale"),
    ("c:shift", "shift alone")])
def test_the_plan_names_the_way(target: str, words: str) -> None:
    recipe = RECIPE.with_rules(Rule(power_of_two=True)) if target == "c:shift" else RECIPE
    assert quantized(target, recipe)[0].plan.made_with["requantize"].startswith(words)


def test_differing_answers_are_counted() -> None:
    result, data = quantized("c")
    subject = Subject(result.network)
    outputs = [next(iter(subject.engine(name)(batch).values())).argmax(1) for batch in data.batches(64)
               for name in ("program", "program-fixed-point")]
    apart, zeros = int((outputs[0] != outputs[1]).sum()), 100 * (outputs[0] == 0).mean()
    said = compare_requantization(subject, data)
    assert said.startswith(f"between a float scale and integers alone, {apart} of 40 answers differ; top-1 {zeros:.2f} % and")


@pytest.mark.parametrize("target", ["c", "onnxruntime"])
def test_a_report_has_a_row(target: str) -> None:
    result, data = quantized(target)
    made = gather_rows(Material(result.original, Subject(result.network), result.plan, data=data)).made
    assert made["requantization"].startswith(result.plan.made_with["requantize"])
    assert ("40 answers differ" in made["requantization"]) == (target == "c")
