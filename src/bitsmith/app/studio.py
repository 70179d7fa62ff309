"""Everything that a page shows: the network, its statistics, what is chosen with its effect, and the attempts. Knows no browser."""

import shutil
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import onnx_ir as ir

from bitsmith import workflow
from bitsmith.analysis.cost import float_bytes
from bitsmith.analysis.describe_layers import describe_layers
from bitsmith.analysis.describe_tensors import describe_tensors
from bitsmith.analysis.evaluate import Evaluation
from bitsmith.analysis.fingerprint import fingerprint
from bitsmith.app.attempts import Attempt, evaluation_from, read_attempts
from bitsmith.app.choices import Choices, Role, choices_from, places_of
from bitsmith.app.folder import Folder, pack, read_json, write_json
from bitsmith.app.work import Job, Notice, Work
from bitsmith.calibration.collection import Collection
from bitsmith.calibration.statistics_file import load_statistics, save_statistics
from bitsmith.errors import BitsmithError, LoweringError, RecipeError, StatisticsError, TargetError
from bitsmith.files import write_atomically
from bitsmith.improving import Draft
from bitsmith.loading.data import Data
from bitsmith.planning.make_plan import values_to_watch
from bitsmith.planning.plan import Plan
from bitsmith.planning.recipe import FLOAT, Rule
from bitsmith.report.rows import Layer, Tensor
from bitsmith.targets import target_named
from bitsmith.targets.c import CTarget

T = TypeVar("T")


@dataclass(frozen=True)
class Samples:
    """Data with a name for people and a digest for files."""

    name: str
    digest: str
    data: Data

    def watched(self, job: Job) -> Data:
        """Data that stop coming when the job is cancelled."""
        return job.watch(self.data)


@dataclass(frozen=True)
class Given:
    """What the program was started with: the network and its file, samples to calibrate with and, maybe, to test with."""

    path: Path
    network: ir.Model
    samples: Samples
    test: Samples | None = None

    @property
    def measured(self) -> Samples:
        """The test data; the calibration data where there are none."""
        return self.test or self.samples


@dataclass(frozen=True, eq=False)
class Preview:
    """What choices make of the network, in the rows of a report. Before calibration, `counted` is false, only weights are known.

    obstacle   why the network cannot be written so, where the target is C; '' where it can
    """

    choices: Choices
    plan: Plan
    tensors: tuple[Tensor, ...]
    layers: tuple[Layer, ...]
    counted: bool
    obstacle: str = ""

    @property
    def bytes(self) -> tuple[int, int]:
        """Of weights and constants: in float, and as codes."""
        return sum(x.float_bytes for x in self.layers), sum(x.bytes for x in self.layers)


class Studio:
    """`revision` grows with every change, of whatever kind. Methods may be called from any thread.

    Raises BitsmithError where files in the folder cannot be read.
    """

    def __init__(self, given: Given, folder: Folder) -> None:
        self.given, self.folder = given, folder
        self.revision = 0
        self._lock = threading.RLock()
        self.work = Work(self.touch)
        self.places = places_of(given.network.graph)
        self.attempts, complaints = read_attempts(folder)
        self.statistics = kept(folder.statistics(given.samples.digest), self.read_statistics, complaints)
        self.before = kept(folder.float_evaluation(given.measured.digest), lambda p: evaluation_from(read_json(p)), complaints)
        self.preview = self.first_look(complaints)
        if complaints:
            self.work.notice = Notice("look", " ".join(complaints))

    @property
    def choices(self) -> Choices:
        """The present ones."""
        return self.preview.choices

    def first_look(self, complaints: list[str]) -> Preview:
        """What was chosen last; the usual recipe where that cannot be any more."""
        try:
            return self.look_ahead(kept(self.folder.choices, lambda p: choices_from(read_json(p)), complaints) or Choices())
        except BitsmithError as problem:
            complaints.append(f"What was chosen last does not work any more: {problem}")
            return self.look_ahead(Choices())

    def touch(self) -> None:
        """Something has changed."""
        with self._lock:
            self.revision += 1

    def read_statistics(self, path: Path) -> Collection:
        return load_statistics(path, fingerprint(self.given.network))

    def look_ahead(self, choices: Choices) -> Preview:
        """What these choices would make of the network; before calibration, of its weights. Raises BitsmithError where they cannot be."""
        network, recipe = self.given.network, choices.as_recipe(self.places)
        statistics = self.statistics
        if statistics is None:
            statistics, recipe = Collection({}), recipe.with_rules(Rule(activations=FLOAT))
        plan = workflow.make_plan(network, statistics, recipe=recipe, target=choices.target)
        tensors = tuple(describe_tensors(network.graph, plan, statistics, {}))
        counted = self.statistics is not None
        obstacle = obstacle_to(network, plan, choices.target) if counted else ""
        return Preview(choices, plan, tensors, tuple(describe_layers(network, plan, tensors)), counted, obstacle)

    def choose(self, choices: Choices) -> None:
        """Make these the present choices. Raises BitsmithError, and changes nothing, where they cannot be."""
        with self._lock:
            preview = self.look_ahead(choices)
            write_json(self.folder.choices, choices.to_dict())
            self.preview = preview
            self.touch()

    def change(self, how: Callable[[Choices], Choices]) -> None:
        """Make something else of the present choices, whatever they are by then. Raises BitsmithError as `choose` does."""
        with self._lock:
            self.choose(how(self.choices))

    def choose_format(self, key: str, role: Role, format: str) -> None:
        """Another format for the weights or the results of one place. Raises BitsmithError where there is no such place."""
        if key not in self.places:
            raise RecipeError(f"The network has no layer {key[:200]!r}.")
        self.change(lambda now: now.with_format(self.places[key], role, format))

    def choose_again(self, number: int) -> None:
        """The choices of an attempt. Raises BitsmithError for one that is not there."""
        self.choose(self.attempt(number).choices)

    def attempt(self, number: int) -> Attempt:
        for attempt in self.attempts:
            if attempt.number == number:
                return attempt
        raise MissingError(f"There is no attempt {number}.")

    def calibrate(self) -> None:
        """Begin to count the values of the network. Raises BusyError."""
        self.work.start("Calibrating", self._calibrate)

    def _calibrate(self, job: Job) -> Notice:
        samples = self.given.samples
        with job.step("counting the values of every layer") as advance:
            found = workflow.calibrate(self.given.network, samples.data, progress=advance)
        save_statistics(found, self.folder.statistics(samples.digest))
        with self._lock:
            self.statistics = found
            self.preview = self.look_ahead(self.choices)
        seen = max((s.samples for s in found.values()), default=0)
        return Notice("good", f"Calibrated: {len(found):,} values counted over {seen:,} samples.")

    def validate(self) -> None:
        """Begin to quantize as chosen, and to measure. Raises BusyError, and StatisticsError where calibration is still to be done."""
        choices, recipe = self.choices, self.choices.as_recipe(self.places)
        if self.statistics is None and values_to_watch(self.given.network.graph, recipe, target_named(choices.target).accepts):
            raise StatisticsError("Calibrate first: these formats need the ranges of the network's values.")
        if self.preview.obstacle:
            raise TargetError(self.preview.obstacle)
        self.work.start("Quantizing and validating", lambda job: self._validate(job, choices))

    def _validate(self, job: Job, choices: Choices) -> Notice:
        before = self.before or self._measure_float(job)
        with self.folder.new_attempt() as made:
            attempt = self._attempt(job, made, choices, before)
            write_json(made / "attempt.json", attempt.to_dict())
            job.look()
            self.folder.keep(made, attempt.number)
        with self._lock:
            self.attempts = [*self.attempts, attempt]
        return Notice(attempt.mood, f"Attempt {attempt.number} is there: {attempt.verdict}.")

    def _measure_float(self, job: Job) -> Evaluation:
        measured = self.given.measured
        with job.step("running the float network") as advance:
            found = workflow.evaluate(self.given.network, measured.watched(job), progress=advance)
        write_json(self.folder.float_evaluation(measured.digest), found.to_dict())
        self.before = found
        return found

    def _attempt(self, job: Job, made: Path, choices: Choices, before: Evaluation) -> Attempt:
        """Fill a folder: the network, its plan, the report."""
        given, recipe, target = self.given, choices.as_recipe(self.places), target_named(choices.target)
        statistics, number = self.statistics or Collection({}), self.folder.next_number()
        with job.step("making the plan"):
            plan = workflow.make_plan(given.network, statistics, recipe=recipe, target=choices.target)
        draft = Draft(given.network, given.network, statistics, plan, given.samples.watched(job), recipe, target)
        result = workflow.refined(draft, choices.target, job.step)
        path, plan_path, extra = write_whole(result, made, f"{given.path.stem}.{choices.recipe}-{number}")
        subject = path if path.suffix == ".onnx" else result
        with job.step("running the quantized network") as advance:
            after = workflow.evaluate(subject, given.measured.watched(job), against=given.network, engine=result.engine, progress=advance)
        result = replace(result, float_evaluation=before, evaluation=after, tested=given.measured.watched(job))
        with job.step("comparing layers and answers"):
            result.report(path.with_suffix(".html"), title=path.name)
        return Attempt(
            number, datetime.now(UTC).isoformat(timespec="seconds"), choices, before, after, given.measured.digest, given.samples.digest,
            (float_bytes(given.network.graph), sum(x.bytes for x in describe_layers(result.refined, result.plan, ()))),
            (given.path.stat().st_size, sum(file.stat().st_size for file in (path, *extra))),
            {"network": path.name, "plan": plan_path.name, "report": path.with_suffix(".html").name}, tuple(file.name for file in extra),
        )

    def file_of(self, number: int, kind: str) -> Path:
        """A file of an attempt. Raises MissingError where there is none of this kind."""
        files = self.attempt(number).files
        if kind not in files:
            raise MissingError(f"An attempt has no {kind!r}.")
        return self.folder.attempt(number) / files[kind]

    def export(self, number: int) -> list[Path]:
        """Copy an attempt's files into the folder `exported`. Returns the copies. Raises BitsmithError where that cannot be."""
        attempt, target = self.attempt(number), self.folder.exported
        try:
            target.mkdir(exist_ok=True)
            copies = [target / name for name in (*attempt.files.values(), *attempt.extra)]
            for copy in copies:
                write_atomically(copy, (self.folder.attempt(number) / copy.name).read_bytes())
        except OSError as problem:
            raise BitsmithError(f"Attempt {number} cannot be copied into '{target}': {problem.strerror or problem}.") from problem
        self.say(Notice("good", f"Attempt {number} was copied into '{target}': {', '.join(copy.name for copy in copies)}."))
        return copies

    def remove(self, number: int) -> None:
        """Take an attempt away for good; what was exported stays. Raises BitsmithError where there is none of this number."""
        with self._lock:
            gone = self.attempt(number)
            try:
                self.folder.remove(number)
            except OSError as problem:
                raise BitsmithError(f"Attempt {number} cannot be removed: {problem.strerror or problem}.") from problem
            self.attempts = [attempt for attempt in self.attempts if attempt is not gone]
            self.say(Notice("good", f"Attempt {number} was removed."))

    def close(self, seconds: float) -> None:
        """Cancel what runs, give it so long to end, and leave the folder to others."""
        self.work.cancel()
        self.work.wait(seconds)
        self.folder.close()

    def say(self, notice: Notice) -> None:
        self.work.notice = notice
        self.touch()


def obstacle_to(network: ir.Model, plan: Plan, target: str) -> str:
    """Why a network cannot be C with this plan; '' where it can, and for other targets."""
    found = target_named(target)
    if not isinstance(found, CTarget):
        return ""
    try:
        found.translate(network, plan)
    except (LoweringError, TargetError) as problem:
        return str(problem)
    return ""


def write_whole(result: workflow.Quantized, made: Path, name: str) -> tuple[Path, Path, list[Path]]:
    """(the network as one file, its plan, what it needs beside): an .onnx, or a folder of C packed into a .zip."""
    if not isinstance(target_named(result.target), CTarget):
        path, *more = result.write(made / f"{name}.onnx")
        plan_path = path.with_suffix(".plan.json")
        return path, plan_path, [file for file in more if file != plan_path]
    folder, path, plan_path = made / "c", made / f"{name}.zip", made / f"{name}.plan.json"
    plans = [file for file in result.write(folder) if file.name.endswith(".plan.json")]
    pack(folder, path)
    plans[0].rename(plan_path)
    shutil.rmtree(folder)
    return path, plan_path, []


class MissingError(BitsmithError):
    """Something was asked for that is not there."""


def kept(path: Path, read: Callable[[Path], T], complaints: list[str]) -> T | None:
    """What an earlier start left; None, with a complaint, where it cannot be read."""
    try:
        return read(path) if path.exists() else None
    except (BitsmithError, TypeError, ValueError, KeyError) as problem:
        complaints.append(f"'{path}' is left out: {problem}")
        return None
