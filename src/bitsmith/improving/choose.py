"""Tries estimators and refinements one after the other, measures each on samples held out, keeps what helps, and says so in the plan."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from time import monotonic

import numpy as np

from bitsmith.errors import BitsmithError
from bitsmith.improving import refinement_named
from bitsmith.improving.draft import Draft, Progress, Refinement
from bitsmith.improving.loss import OutputLoss, read_samples
from bitsmith.loading.data import Data, Source
from bitsmith.loading.draw import draw
from bitsmith.loading.items import Chunk, chunk_length
from bitsmith.planning.make_plan import make_plan
from bitsmith.planning.recipe import Rule
from bitsmith.running.session import Session

USUAL_BUDGET = 60.0     # seconds
LEAST_GAIN = 0.02       # of the loss; less is chance
HELD_OUT = 4            # one of so many neighbouring samples only measures
FEWEST = 8              # samples; of fewer all calibrate and all measure
ESTIMATORS = ("mse", "lp:2.4", "percentile:99.99", "min_max")


class OutOfTimeError(BitsmithError):
    """The budget is spent; the step under way is given up."""


@dataclass(frozen=True)
class Trial:
    """A step: decibels that the outputs' signal to noise grew by (None: given up for lack of time), its seconds, and was it kept?"""

    step: str
    gain_db: float | None
    seconds: float
    kept: bool = False


@dataclass
class Choice:
    """draft     the best so far, as steps take it
    finish    what is done to every draft before it is measured
    finished  the best so far, with that
    lost      what it loses; tried: by what steps it came about. `ends` is when the budget is spent
    """

    draft: Draft
    loss: OutputLoss
    ends: float
    finish: Refinement = field(default=lambda draft, progress: draft)
    lost: float = 0.0
    tried: list[Trial] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.finished = self.draft
        self.lost = self.measure(self.draft)

    def measure(self, draft: Draft) -> float:
        """Squared distance of the outputs from those in float, relative, in the form in which the target runs the network."""
        session = Session(draft.simulated())
        return self.loss.mean(lambda number: list(session.run(self.loss.samples[number]).values()), range(len(self.loss.samples)))

    def begin(self) -> None:
        """As the recipe `int8` does, if that loses less than leaving everything as it is: then all drafts are finished so."""
        before, self.finish = self.finish, refinement_named("correct_bias")
        if not self.stage({"fit_to_curves, correct_bias": refinement_named("fit_to_curves")}, least=0.0):
            self.finish = before

    def stage(self, steps: dict[str, Refinement], least: float = LEAST_GAIN) -> bool:
        """Try each step from the same draft; take the one that loses least, where that gains anything to speak of. Was one taken?"""
        made = {name: found for name, step in steps.items() if (found := self.attempt(name, step)) is not None}
        name = min(made, key=lambda n: made[n][2], default="")
        if not made or made[name][2] >= self.lost * (1 - least):
            return False
        self.draft, self.finished, self.lost = made[name]
        self.tried = [replace(one, kept=one.kept or one.step == name) for one in self.tried]
        return True

    def attempt(self, name: str, step: Refinement) -> tuple[Draft, Draft, float] | None:
        """A step's draft, the same finished, and what that loses; None where the time did not suffice."""
        begun, gained = monotonic(), None
        try:
            self.look_at_clock(0, None)
            draft = step(self.draft, self.look_at_clock)
            finished = self.finish(draft, self.look_at_clock)
            lost = self.measure(finished)
            gained = round(10 * float(np.log10(max(self.lost, 1e-30) / max(lost, 1e-30))), 2)
            return draft, finished, lost
        except OutOfTimeError:
            return None
        finally:
            self.tried.append(Trial(name, gained, round(monotonic() - begun, 2)))

    def look_at_clock(self, done: int, total: int | None) -> None:
        if monotonic() > self.ends:
            raise OutOfTimeError("There is no time left.")


@dataclass(frozen=True)
class Watched:
    """A source that looks at the clock whenever something is read."""

    source: Source
    look: Progress

    def chunks(self, size: int, step: int) -> Iterator[Chunk]:
        for chunk in self.source.chunks(size, step):
            self.look(chunk_length(chunk), None)
            yield chunk


def choose(draft: Draft, progress: Progress | None = None) -> Draft:
    """The draft that loses least on calibration samples held out, of those that a fixed order of steps leads to within the `budget`.

    One of four samples only measures, the others calibrate. Ranges are fitted to curves and biases corrected before anything is measured,
    as the recipe `int8` does, if that helps.
    Of the steps of one stage the best is kept, where it helps; a step that is under way when the time is spent is given up. The plan's
    `made_with` says under "tried" what was tried and what it gained, under "chosen_on" with how many samples and in what time.

    progress   stages done, of how many. Raises GoneError where the data cannot be read again.
    """
    begun, budget, data = monotonic(), draft.recipe.budget or USUAL_BUDGET, draft.samples("choose")
    fitted, held = split(data)
    samples, _ = read_samples(held)
    if fitted is not held:
        draft = replace(draft, data=fitted).replanned(draft.network, "choose")
    choice = Choice(draft, OutputLoss(draft.original, samples, None), begun + budget)
    choice.draft = replace(draft, data=replace(fitted, source=Watched(fitted.source, choice.look_at_clock)))
    choice.begin()
    stages = stages_for(draft)
    for done, stage in enumerate(stages, 1):
        if done == len(stages):
            choice.draft = choice.finished      # ranges are searched about means that are right
        choice.stage(stage)
        if progress is not None:
            progress(done, len(stages))
    told = {"samples": sum(chunk_length((batch, None)) for batch in samples), "held_out": fitted is not held,
            "seconds": round(monotonic() - begun, 1), "budget": budget}
    made_with = {**choice.finished.plan.made_with, "tried": [asdict(one) for one in choice.tried], "chosen_on": told}
    return replace(choice.finished, data=data, plan=replace(choice.finished.plan, made_with=made_with))


def split(data: Data) -> tuple[Data, Data]:
    """What calibrates, and what measures; both all data, where they are few."""
    if chunk_length((next(data.batches(FEWEST)), None)) < FEWEST:
        return data, data
    return draw(data, HELD_OUT, rest=True), draw(data, HELD_OUT)


def stages_for(draft: Draft) -> list[dict[str, Refinement]]:
    """In an order in which none undoes another: scales of channels, ranges, codes of the weights, all ranges together.

    Learned rounding is not among them: it takes minutes, for hundredths of what rounding by second-order information gains.
    """
    stages: list[dict[str, Refinement]] = [
        {"equalize": fitting(refinement_named("equalize"))},
        {f"ranges by {name}": planned_with(Rule(estimator=name)) for name in ESTIMATORS},
        {f"weights' ranges by {name}": planned_with(Rule(weight_estimator=name)) for name in ("mse", "min_max")},
        {"round_weights": refinement_named("round_weights")},
        {"search_ranges": refinement_named("search_ranges")},
    ]
    return stages if draft.statistics else stages[:1] + stages[2:]


def fitting(step: Refinement) -> Refinement:
    """The step, which plans again, and then ranges fitted to curves."""
    fit = refinement_named("fit_to_curves")
    return lambda draft, progress: fit(step(draft, progress), progress)


def planned_with(rule: Rule) -> Refinement:
    """A step that asks one thing more of every layer."""

    def plan_again(draft: Draft, progress: Progress | None = None) -> Draft:
        recipe = draft.recipe.with_rules(rule)
        plan = make_plan(draft.network.graph, draft.statistics, recipe, draft.target.accepts, draft.plan.made_with)
        return replace(draft, recipe=recipe, plan=plan)

    return fitting(plan_again)
