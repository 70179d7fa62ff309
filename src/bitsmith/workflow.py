"""The public functions: each a few calls into the rooms below."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import onnx_ir as ir

from bitsmith import version
from bitsmith.analysis.accumulators import tell_of_pairs
from bitsmith.analysis.compiled import TOLERANCE, beside_program, in_float, is_folder, library_values, open_folder
from bitsmith.analysis.engines import PROGRAMS, Subject
from bitsmith.analysis.evaluate import Evaluation, Metric, Outputs, score
from bitsmith.analysis.fingerprint import fingerprint
from bitsmith.analysis.report_rows import Material, ReportExtras, gather_rows
from bitsmith.analysis.search_points import Search
from bitsmith.analysis.verify import Verification, compare_engines
from bitsmith.calibration import collect
from bitsmith.calibration.channels import MOST_CHANNELS
from bitsmith.calibration.collection import Collection
from bitsmith.errors import DataError, StatisticsError, TargetError
from bitsmith.improving import Draft, check_refinements, refine_draft
from bitsmith.integer.program import Program
from bitsmith.loading import from_onnx
from bitsmith.loading.data import Data, open_data
from bitsmith.lowering import lower
from bitsmith.numerics.formats import Array
from bitsmith.operators.channel_axes import ChannelAxis, channel_axes
from bitsmith.planning import make_plan as planning
from bitsmith.planning.plan import Plan
from bitsmith.planning.recipe import Recipe, load_recipe
from bitsmith.report.rows import Sensitive
from bitsmith.rewrites.fold_constants import fold_constants
from bitsmith.rewrites.simplify import simplify
from bitsmith.targets import target_named
from bitsmith.targets.onnx.read_quants import without_quants

Progress = Callable[[int, int | None], None]
Steps = Callable[[str], AbstractContextManager[Progress | None]]
SAMPLES = 64  # run at a time
MOST_KERNEL_BITS = 8    # of codes that onnxruntime multiplies as integers


def no_steps(title: str) -> AbstractContextManager[Progress | None]:
    """Nobody watches."""
    return nullcontext()


def load(source: Any, example_inputs: Any = None) -> ir.Model:
    """A network in normal form, constants and BatchNorm folded, under the user's own names.

    source          an .onnx file, its bytes, an onnx.ModelProto, an onnx_ir.Model, or a torch.nn.Module (extra `torch`)
    example_inputs  what a torch.nn.Module is traced with

    Raises LoadError, saying what is wrong with which part.
    """
    network = without_quants(from_onnx.load(source, example_inputs))
    if fold_constants(network.graph) and any(value.shape is None for node in network.graph for value in node.outputs):
        network = from_onnx.load(network)       # shapes that follow from numbers which had to be computed first
    simplify(network)
    return network


def calibrate(
    network: ir.Model,
    data: Any,
    *,
    recipe: str | Path | Recipe | None = None,
    target: str = "onnxruntime",
    progress: Progress | None = None,
    per_channel: bool | Sequence[str] = False,
) -> Collection:
    """Count the values that the network computes from data: one pass, memory of constant size.

    data         anything that `open_data` takes
    recipe       count only what this recipe needs on this target; None: all that any recipe may need
    per_channel  True, or names of values: keep statistics of each of their channels, too, as `found.channels[name]`; along which axis they
                 run is said by `channel_axes` in operators/channel_axes.py

    Raises DataError where data do not fit, StatisticsError where a value never was a finite number or there are too many channels.
    """
    values = None if recipe is None else planning.values_to_watch(network.graph, recipe_of(recipe), target_named(target).accepts)
    channels = channels_to_count(network, values, per_channel)
    opened = open_data(data, network)
    found = collect.calibrate(network, inputs_of(opened, network, progress), values=values, channels=channels)
    return replace(found.moved(opened.first), network=fingerprint(network))


def channels_to_count(network: ir.Model, values: Sequence[str] | None, per_channel: bool | Sequence[str]) -> dict[str, ChannelAxis]:
    """Value -> where its channels are. Raises StatisticsError where there are none, or more than memory is meant to hold."""
    if not per_channel:
        return {}
    known = channel_axes(network.graph)
    wanted = [name for name in known if values is None or name in values] if per_channel is True else list(per_channel)
    for name in wanted:
        if name not in known:
            raise StatisticsError(f"Value '{name}' has no channels to count: it needs two axes, and a known number of channels.")
    found = {name: known[name] for name in wanted}
    if (total := sum(along.channels for along in found.values())) > MOST_CHANNELS:
        raise StatisticsError(f"{len(found)} values have {total:,} channels, more than the {MOST_CHANNELS:,} that are counted at once; "
                              "name the values whose channels matter.")
    return found


def make_plan(network: ir.Model, statistics: Collection, *, recipe: str | Path | Recipe = "int8", target: str = "onnxruntime") -> Plan:
    """Decide the encoding of every value.

    recipe  a name, a .toml file or a Recipe

    Raises RecipeError, TargetError and StatisticsError, naming the rule, the layer or the value.
    """
    found = fingerprint(network)
    statistics.check_network(found)
    return plan_as(found, network, statistics, recipe_of(recipe), target)


def plan_as(found: str, network: ir.Model, statistics: Collection, recipe: Recipe, target: str) -> Plan:
    """The plan of a network with a known fingerprint: to take that of gigabytes takes seconds."""
    origin = {"bitsmith": version.VERSION, "network": found}
    return planning.make_plan(network.graph, statistics, recipe, target_named(target).accepts, origin)


def refine(
    network: ir.Model, plan: Plan, statistics: Collection, data: Any = None, *, recipe: str | Path | Recipe = "int8",
    target: str = "onnxruntime",
) -> tuple[ir.Model, Plan]:
    """Apply a recipe's refinements to a network that was just planned: the network with its new numbers, and the plan of that.

    data    what was calibrated with; where it cannot be read again, what needs it is left out, and the plan says so

    Raises RecipeError for refinements that do not exist, DataError where data do not fit.
    """
    asked, opened = recipe_of(recipe), None if data is None else open_data(data, network)
    check_refinements(asked.refine)
    result = refined(Draft(network, network, statistics, plan, opened, asked, target_named(target)), target, no_steps)
    return result.refined, result.plan


def write(network: ir.Model, plan: Plan, path: str | Path, *, target: str = "onnxruntime") -> list[Path]:
    """Write the quantized network and, beside it, its plan. Returns the files. Raises TargetError for what the target cannot store."""
    return target_named(target).write(network, plan, Path(path))


def recipe_of(recipe: str | Path | Recipe) -> Recipe:
    return recipe if isinstance(recipe, Recipe) else load_recipe(recipe)


def batches_of(data: Any, network: ir.Model, progress: Progress | None) -> Iterator[tuple[dict[str, Array], Array | None]]:
    """(inputs, labels) batch after batch; progress counts samples."""
    opened, done = open_data(data, network), 0
    for batch, labels in opened.labelled(SAMPLES):
        yield batch, labels
        done += len(next(iter(batch.values())))
        if progress is not None:
            progress(done, opened.samples)


def inputs_of(data: Any, network: ir.Model, progress: Progress | None) -> Iterator[dict[str, Array]]:
    """Inputs batch after batch."""
    return (batch for batch, _ in batches_of(data, network, progress))


@dataclass(frozen=True)
class Quantized:
    """A network, its plan, and what was measured on the way.

    original    the network in float, in normal form
    refined     what refinements made of it, still in float: what the plan is of
    evaluation, float_evaluation   on the test data, where there were some
    tested      these data
    calibrated  the data that were calibrated with, where they were given as data
    """

    original: ir.Model
    refined: ir.Model
    plan: Plan
    target: str
    statistics: Collection
    evaluation: Evaluation | None = None
    float_evaluation: Evaluation | None = None
    tested: Data | None = None
    calibrated: Data | None = None

    @cached_property
    def network(self) -> ir.Model:
        """The network with Q/DQ, as it is written."""
        return target_named(self.target).build(self.refined, self.plan)

    @property
    def engine(self) -> str:
        """The engine that computes as the target does: onnxruntime, or integers only, where the target has no float arithmetic."""
        target = target_named(self.target)
        if target.accepts.floats:
            return "onnxruntime"
        return next(name for name, arithmetic in PROGRAMS.items() if arithmetic is target.arithmetic)

    @property
    def program(self) -> Program:
        """The integer program."""
        return lower(self.refined, self.plan, arithmetic=target_named(self.target).arithmetic)

    def write(self, path: str | Path) -> list[Path]:
        """Write the network and its plan. Returns the files."""
        return write(self.refined, self.plan, path, target=self.target)

    def evaluate(self, data: Any, *, engine: str = "onnxruntime") -> Evaluation:
        """Measure it on more data, against the float network."""
        return evaluate(self.network, data, against=self.original, engine=engine)

    def report(
        self, path: str | Path, *, title: str | None = None, latency: bool = False, sensitivities: Sequence[Sensitive] = (),
        search: Search | None = None,
    ) -> None:
        """Write one self-contained HTML page that shows everything; layers are compared on the test data, where they can be read again.

        latency        measure how long one sample takes in both networks: some seconds
        sensitivities  of layers, measured before
        search         that this came out of: its sensitivities and all that it tried
        """
        from bitsmith.report.page import write_page

        again = None if self.tested is None or self.tested.once else self.tested
        write_page(gather_rows(Material(
            self.original, Subject(self.network), self.plan, self.statistics, self.float_evaluation, self.evaluation, again,
            title or self.original.graph.name or "network", extras=ReportExtras(self.statistics, latency, sensitivities)
            if search is None else search.extras(self.statistics, latency), calibrated=self.calibrated,
        )), path)

    def verify(self, data: Any, *, progress: Progress | None = None) -> Verification:
        """Do simulation, integer program and onnxruntime agree?"""
        return verify(self.network, data, progress=progress)


def quantize(
    source: Any,
    data: Any = None,
    *,
    test: Any = None,
    recipe: str | Path | Recipe = "int8",
    target: str = "onnxruntime",
    progress: Steps | None = None,
) -> Quantized:
    """Load, calibrate, plan, refine and, with test data, evaluate: the short way.

    source    what `load` takes
    data      what to calibrate with: anything that `open_data` takes, or statistics; recipes without activations need neither
    test      data with labels, or without: then the outputs are compared with the float network's
    progress  title -> context that gives a function (samples done, of how many); the command line shows bars so

    Raises what the steps raise: LoadError, DataError, RecipeError, TargetError, StatisticsError.
    """
    network = source if isinstance(source, ir.Model) else load(source)
    asked, steps = recipe_of(recipe), progress or no_steps
    check_refinements(asked.refine)
    result = refined(first_draft(network, data, asked, target, steps), target, steps)
    if test is None:
        return result
    tested = open_data(test, network)
    with steps("float") as advance:
        before = evaluate(network, tested, progress=advance)
    with steps("quantized") as advance:
        after = evaluate(result.network, tested, against=network, engine=result.engine, progress=advance)
    return replace(result, float_evaluation=before, evaluation=after, tested=tested)


def first_draft(network: ir.Model, data: Any, recipe: Recipe, target: str, steps: Steps) -> Draft:
    """The plan that the recipe gives before any refinement."""
    opened = None if data is None or isinstance(data, Collection) else open_data(data, network)
    if isinstance(data, Collection):
        statistics, plan = data, make_plan(network, data, recipe=recipe, target=target)
    else:
        statistics = calibrate_for(network, opened, recipe, target, steps)
        plan = plan_as(statistics.network, network, statistics, recipe, target)
    return Draft(network, network, statistics, plan, opened, recipe, target_named(target))


def refined(draft: Draft, target: str, steps: Steps) -> Quantized:
    """A draft with its recipe's refinements, as a result."""
    draft = refine_draft(draft, steps)
    plan = tell_of_pairs(draft.network, draft.plan) if draft.target.accepts.saturating_pairs else draft.plan
    if any(name not in draft.network.graph.initializers for name in plan.encodings):
        plan = replace(plan, made_with={**plan.made_with, "requantize": draft.target.arithmetic.words})
    plan = draft.target.explain(draft.network, plan)
    return Quantized(draft.original, draft.network, plan, target, draft.statistics, calibrated=draft.data)


def calibrate_for(network: ir.Model, data: Any, recipe: Recipe, target: str, steps: Steps) -> Collection:
    """Statistics of just the values that this recipe needs on this target; of none where it needs none."""
    values = planning.values_to_watch(network.graph, recipe, target_named(target).accepts)
    if not values:
        if data is not None:
            open_data(data, network)        # not needed, but what was given must be what it is taken for
        return Collection({}, fingerprint(network))
    if data is None:
        raise DataError(f"Recipe '{recipe.name}' needs the ranges of {len(values)} values; give calibration data or statistics.")
    with steps("calibrating") as advance:
        found = collect.calibrate(network, inputs_of(data, network, advance), values=values)
    return replace(found, network=fingerprint(network))


def subject_of(network: Any) -> Subject:
    """A file, a network or a result, as something to run."""
    if isinstance(network, Quantized):
        return Subject(network.network)
    return Subject(Path(network) if isinstance(network, str) else network)


def evaluate(
    network: Any,
    data: Any,
    *,
    against: Any = None,
    engine: str = "onnxruntime",
    metrics: Mapping[str, Metric] | None = None,
    progress: Progress | None = None,
) -> Evaluation:
    """Accuracy on data with labels, and distance from another network.

    network  a file, which is run just as it is written, a network, or the result of `quantize`
    against  a network with the same inputs and outputs, usually the float one; it is run by onnxruntime
    engine   'onnxruntime' (its optimiser on), 'simulated' (off: Q/DQ in float), 'program' (the integer program, requantized as
             onnxruntime does), 'program-fixed-point' (by integer multiplier and shift, as gemmlowp does) or 'program-shift' (by
             shift alone where scales are powers of two)
    metrics  name -> callable(outputs by name, labels or None) -> number, called once with everything

    Raises DataError where data do not fit or are empty, LoweringError where the program has no meaning for the network.
    """
    subject, other = subject_of(network), None if against is None else subject_of(against)
    run, reference = subject.engine(engine), None if other is None else other.engine("onnxruntime")

    def results() -> Iterator[tuple[Outputs, Array | None, Outputs | None]]:
        for batch, labels in batches_of(data, subject.normal, progress):
            yield run(batch), labels, None if reference is None else reference(batch)

    return score(results(), engine, against=None if other is None else other.name, metrics=metrics)


def verify(network: Any, data: Any, *, on: str = "host", progress: Progress | None = None) -> Verification:
    """Do simulation, integer program and onnxruntime give the same codes for every value of a quantized file?

    Of a folder that the target `c` wrote: is its C, compiled and run, the integer program, code for code? Where it computes in float: is
    every step what that step means in numpy, bit for bit, and are outputs within a tolerance of onnxruntime's?

    on  where that C runs: 'host', or 'cortex-m7', an emulated one that counts its instructions (needs arm-none-eabi-gcc and QEMU)

    Raises PlanError where the network has no Q/DQ that bitsmith reads, TargetError where the C cannot be compiled.
    """
    if is_folder(network):
        return verify_folder(network, data, on, progress)
    if on != "host":
        raise TargetError(f"On {on} runs C only; '{network}' is no folder that the target 'c' wrote.")
    subject = subject_of(network)
    engines, values = subject.codes_engines()
    batches = inputs_of(data, subject.normal, progress)
    found = compare_engines(({name: run(batch) for name, run in engines.items()} for batch in batches), values)
    return replace(found, wide=sum(subject.extraction.plan.encodings[name].format.bits > MOST_KERNEL_BITS for name in values))


def verify_folder(folder: str | Path, data: Any, on: str, progress: Progress | None) -> Verification:
    """The program and the C; onnxruntime as well, where the C computes in float."""
    with closing(open_folder(folder, on)) as compiled:
        run, values = beside_program(compiled)
        found = compare_engines((run(batch) for batch in inputs_of(data, compiled.folder.network, progress)), values)
        return replace(found, measured=compiled.measured, tolerance=TOLERANCE if in_float(compiled) else None,
                       library=library_values(compiled))
