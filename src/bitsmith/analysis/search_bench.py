"""Measures assignments of widths: plan, refine, build, run on samples that calibration never saw."""

from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, replace

import numpy as np
import onnx_ir as ir

from bitsmith.analysis.evaluate import answers_of
from bitsmith.analysis.pareto import Assignment
from bitsmith.analysis.search_costs import costs_of
from bitsmith.analysis.search_points import Loss, Point, widths_of
from bitsmith.analysis.sensitivity import float_accuracy
from bitsmith.analysis.sensitivity_layers import Choices
from bitsmith.analysis.sensitivity_samples import Samples
from bitsmith.calibration.collection import Collection
from bitsmith.errors import DataError
from bitsmith.improving import refine_draft
from bitsmith.improving.draft import Draft
from bitsmith.loading.data import Data
from bitsmith.numerics.formats import Array
from bitsmith.planning.make_plan import make_plan
from bitsmith.planning.recipe import Recipe, Rule
from bitsmith.running.session import Session
from bitsmith.targets.target import Target


@dataclass(frozen=True, eq=False)
class Bench:
    """A network whose layers await their widths, and the samples to measure with.

    data      to calibrate with, for refinements; None where there are only statistics
    searched  samples for searching
    confirmed samples held out
    origin    what plans say that they were made with
    """

    network: ir.Model
    choices: Choices
    target: Target
    data: Data | None
    searched: Samples
    confirmed: Samples
    origin: Mapping[str, str]

    def float_top1(self) -> tuple[float | None, float | None]:
        """The float network's accuracy on the samples for searching and on those held out; None without labels."""
        return float_accuracy(self.searched), float_accuracy(self.confirmed)

    def recipe(self, assignment: Assignment) -> Recipe:
        """The recipe that gives every layer its width: rules behind those that were asked."""
        rules = {match: rule for layer in self.choices.layers for (name, role), bits in assignment.items() if name == layer.name
                 for rule in layer.rules(role, bits) for match in [(rule.match, role)]}
        return replace(self.choices.recipe, name="searched", rules=(*self.choices.recipe.rules, *merged(rules)))

    def draft(self, recipe: Recipe) -> Draft:
        """The plan with the recipe's refinements."""
        choices = self.choices
        statistics = choices.statistics if isinstance(choices.statistics, Collection) else Collection(choices.statistics)
        plan = make_plan(self.network.graph, statistics, recipe, choices.accepts, self.origin)
        draft = Draft(self.network, self.network, statistics, plan, self.data, recipe, self.target)
        return refine_draft(draft, lambda title: nullcontext())

    def measure(self, assignment: Assignment) -> tuple[Point, Draft]:
        """One assignment on the samples for searching, and the network that was measured."""
        recipe = self.recipe(assignment)
        draft = self.draft(recipe)
        return Point(widths_of(assignment), recipe, costs_of(draft.network.graph, draft.plan), loss(draft, self.searched)), draft

    def confirm(self, point: Point, draft: Draft | None) -> Point:
        """The same point on the samples held out; made again where its network is not at hand."""
        return replace(point, confirmed=loss(draft or self.draft(point.recipe), self.confirmed))


def merged(rules: Mapping[tuple[str, str], Rule]) -> Iterator[Rule]:
    """One rule for each match."""
    for match in dict.fromkeys(match for match, _ in rules):
        found = [rule for (own, _), rule in rules.items() if own == match]
        yield Rule(match, **{role: bits for rule in found for role in ("weights", "activations")
                             if (bits := getattr(rule, role)) is not None})


def loss(draft: Draft, samples: Samples) -> Loss:
    """What the quantized network loses, run by onnxruntime as it is written."""
    session = Session(draft.simulated())
    before, after, same = list[Array](), list[Array](), list[Array]()
    for batch, labels, reference in samples:
        answers, expected = first_answers(session.run(batch)), first_answers(reference)
        same.append(answers == expected)
        if samples.labelled and labels is not None:
            truth = np.asarray(labels).reshape(-1)
            if truth.shape != answers.shape:
                raise DataError(f"Labels of shape {np.shape(labels)} do not fit {len(answers)} answers; give one class number for each.")
            before.append(expected == truth)
            after.append(answers == truth)
    agreement = np.concatenate(same)
    right, wrong = (np.concatenate(before), np.concatenate(after)) if before else (np.ones_like(agreement), agreement)
    apart = right.astype(np.float64) - wrong
    return Loss(samples.count, float(wrong.mean()) if before else None, float(agreement.mean()), float(apart.mean()),
                float(apart.std() / np.sqrt(len(apart))))


def first_answers(outputs: Mapping[str, Array]) -> Array:
    """Class numbers: of the first output."""
    return answers_of(next(iter(outputs.values()))).reshape(-1)
