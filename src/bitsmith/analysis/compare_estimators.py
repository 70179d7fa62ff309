"""All range estimators on one network, from one calibration pass: which finds the ranges that suit it?"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Any

import onnx_ir as ir

from bitsmith.analysis.engines import Engine, Subject
from bitsmith.analysis.evaluate import Evaluation, Outputs, score
from bitsmith.analysis.fingerprint import fingerprint
from bitsmith.analysis.lost_shares import lost_of_counted
from bitsmith.calibration import collect
from bitsmith.calibration.collection import Collection
from bitsmith.calibration.ranges import estimator_names
from bitsmith.errors import DataError, RecipeError
from bitsmith.loading.data import Data, open_data
from bitsmith.loading.from_onnx import load
from bitsmith.numerics.formats import Array
from bitsmith.planning.make_plan import make_plan, values_to_watch
from bitsmith.planning.plan import Plan
from bitsmith.planning.recipe import Recipe, Rule, load_recipe
from bitsmith.report.estimator_rows import Estimated, EstimatorComparison
from bitsmith.rewrites.simplify import simplify
from bitsmith.targets import Target, target_named

__all__ = ["Estimated", "EstimatorComparison", "EstimatorSettings", "compare_estimators", "usual_estimators"]

SAMPLES = 64        # run at a time
# With which options those are compared that live from them; the others as they are.
OPTIONS = {"percentile": ("99.9999", "99.99", "99.9"), "lp": ("2.4", "3"), "mean_std": ("3", "5"), "aciq": ("fit", "gauss", "laplace")}
Progress = Callable[[int, int | None], None]
Steps = Callable[[str], AbstractContextManager[Progress | None]]


@dataclass(frozen=True)
class EstimatorSettings:
    """recipe      all that is asked but for the estimators of activations, which are overruled
    target      where it will run
    estimators  as in recipes: 'min_max', 'percentile:99.9' ...; None: all there are, some with several options
    """

    recipe: str | Recipe = "int8"
    target: str = "onnxruntime"
    estimators: Sequence[str] | None = None

    def names(self) -> list[str]:
        """Each estimator once. Raises RecipeError where there is none."""
        found = list(dict.fromkeys(usual_estimators() if self.estimators is None else self.estimators))
        if not found:
            raise RecipeError(f"There is no estimator to compare; give some of {', '.join(usual_estimators())}, or None for all.")
        return found


def usual_estimators() -> list[str]:
    """Every estimator there is, some with several options."""
    return [f"{name}:{option}" if option else name for name in estimator_names() for option in OPTIONS.get(name, ("",))]


def compare_estimators(
    network: Any, data: Any, test: Any, *, settings: EstimatorSettings | None = None, progress: Steps | None = None
) -> EstimatorComparison:
    """Plan the network with each estimator for its activations, and measure each plan.

    network     a network in normal form, or an .onnx file
    data        to calibrate with, or statistics; read once
    test        to measure with, read several times, best with labels; other samples than `data`

    Raises DataError where data do not fit or cannot be read again, RecipeError for names that do not exist or none at all.
    """
    wanted, steps = settings or EstimatorSettings(), progress or (lambda title: nullcontext())
    found, asked, backend = opened(network), load_recipe(wanted.recipe), target_named(wanted.target)
    recipes = {name: asked.with_rules(Rule(estimator=name)) for name in wanted.names()}
    tested = open_data(test, found)
    if tested.once:
        raise DataError("The test data can be read only once, and every estimator needs them; give a file, arrays or a function.")
    statistics, seconds = counted(found, data, asked, backend, steps)
    reference = Subject(found).engine("onnxruntime")
    with steps("float") as advance:
        before = measure(reference, None, tested, advance)
    rows = []
    for name, one in recipes.items():
        with steps(name) as advance:
            rows.append(estimated(name, Candidate(found, one, backend, statistics), reference, tested, advance))
    return EstimatorComparison(asked.name, wanted.target, before.samples, before.top1, seconds, tuple(rows))


def opened(network: Any) -> ir.Model:
    if isinstance(network, ir.Model):
        return network
    found = load(network)
    simplify(found)
    return found


def counted(network: ir.Model, data: Any, recipe: Recipe, target: Target, steps: Steps) -> tuple[Collection, float | None]:
    """The statistics, and the seconds that they took."""
    if isinstance(data, Collection):
        data.check_network(fingerprint(network))
        return data, None
    opened_data, started = open_data(data, network), perf_counter()
    with steps("calibrating") as advance:
        batches = (batch for batch, _ in labelled(opened_data, advance))
        found = collect.calibrate(network, batches, values=values_to_watch(network.graph, recipe, target.accepts))
    return replace(found, network=fingerprint(network)), perf_counter() - started


def labelled(data: Data, advance: Progress | None) -> Iterator[tuple[dict[str, Array], Array | None]]:
    done = 0
    for batch, labels in data.labelled(SAMPLES):
        yield batch, labels
        done += len(next(iter(batch.values())))
        if advance is not None:
            advance(done, data.samples)


@dataclass(frozen=True)
class Candidate:
    """All that a plan is made of."""

    network: ir.Model
    recipe: Recipe
    target: Target
    statistics: Collection

    def plan(self) -> Plan:
        return make_plan(self.network.graph, self.statistics, self.recipe, self.target.accepts)


def estimated(name: str, candidate: Candidate, reference: Engine, tested: Data, advance: Progress | None) -> Estimated:
    """Plan, build, run."""
    started = perf_counter()
    plan = candidate.plan()
    seconds = perf_counter() - started
    run = Subject(candidate.target.build(candidate.network, plan)).engine("onnxruntime")
    found = measure(run, reference, tested, advance)
    return Estimated(name, found.top1, found.agreement, found.snr_db, clipped_share(plan, candidate.statistics), seconds)


def measure(run: Engine, reference: Engine | None, tested: Data, advance: Progress | None) -> Evaluation:
    def results() -> Iterator[tuple[Outputs, Array | None, Outputs | None]]:
        for batch, labels in labelled(tested, advance):
            yield run(batch), labels, None if reference is None else reference(batch)

    return score(results(), "onnxruntime", against=None if reference is None else "the float network")


def clipped_share(plan: Plan, statistics: Mapping[str, Any]) -> float:
    """Over all numbers of all values that have codes."""
    both = [(statistics[name], encoding) for name, encoding in plan.encodings.items() if name in statistics and encoding.scale.size == 1]
    total = sum(counts.count for counts, _ in both)
    return sum(lost_of_counted(counts, encoding)[0] * counts.count for counts, encoding in both) / total if total else 0.0
