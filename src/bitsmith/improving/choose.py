"""Tries estimators and refinements one after the other, measures each, keeps what helps, and says so in the plan."""

from dataclasses import asdict, dataclass, field, replace
from time import monotonic

import numpy as np

from bitsmith.errors import BitsmithError
from bitsmith.improving import refinement_named
from bitsmith.improving.draft import Draft, Progress, Refinement
from bitsmith.improving.loss import OutputLoss, read_samples
from bitsmith.planning.make_plan import make_plan
from bitsmith.planning.recipe import Rule
from bitsmith.running.session import Session

USUAL_BUDGET = 60.0     # seconds
LEAST_GAIN = 0.02       # of the loss; less is chance
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
    """The best draft so far, what it loses, and what was tried. `ends` is when the budget is spent."""

    draft: Draft
    loss: OutputLoss
    ends: float
    lost: float = 0.0
    tried: list[Trial] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.lost = self.measure(self.draft)

    def measure(self, draft: Draft) -> float:
        """Squared distance of the outputs from those in float, relative, in the form in which the target runs the network."""
        session = Session(draft.simulated())
        return self.loss.mean(lambda batch: list(session.run(batch).values()), range(len(self.loss.samples)))

    def stage(self, steps: dict[str, Refinement]) -> None:
        """Try each step from the same draft; take the one that loses least, where that is less than without any."""
        made = {name: found for name, step in steps.items() if (found := self.attempt(name, step)) is not None}
        if not made:
            return
        name = min(made, key=lambda n: made[n][1])
        if made[name][1] < self.lost * (1 - LEAST_GAIN):
            self.draft, self.lost = made[name]
            self.tried = [replace(one, kept=one.kept or one.step == name) for one in self.tried]

    def attempt(self, name: str, step: Refinement) -> tuple[Draft, float] | None:
        """A step's draft and loss; None where the time did not suffice."""
        begun, gained = monotonic(), None
        try:
            self.look_at_clock(0, None)
            draft = step(self.draft, self.look_at_clock)
            lost = self.measure(draft)
            gained = round(10 * float(np.log10(max(self.lost, 1e-30) / max(lost, 1e-30))), 2)
            return draft, lost
        except OutOfTimeError:
            return None
        finally:
            self.tried.append(Trial(name, gained, round(monotonic() - begun, 2)))

    def look_at_clock(self, done: int, total: int | None) -> None:
        if monotonic() > self.ends:
            raise OutOfTimeError("There is no time left.")


def choose(draft: Draft, progress: Progress | None = None) -> Draft:
    """The draft that loses least on calibration data, of those that a fixed order of steps leads to within the recipe's `budget`.

    Of the steps of one stage the best is kept, where it helps; a step that is under way when the time is spent is given up. The plan's
    `made_with` says under "tried" what was tried and what it gained.

    progress   stages done, of how many. Raises GoneError where the data cannot be read again.
    """
    ends = monotonic() + (draft.recipe.budget or USUAL_BUDGET)
    samples, _ = read_samples(draft.samples("choose"))
    choice = Choice(draft, OutputLoss(draft.original, samples, None), ends)
    stages = stages_for(draft)
    for done, stage in enumerate(stages, 1):
        choice.stage(stage)
        if progress is not None:
            progress(done, len(stages))
    plan = choice.draft.plan
    return replace(choice.draft, plan=replace(plan, made_with={**plan.made_with, "tried": [asdict(one) for one in choice.tried]}))


def stages_for(draft: Draft) -> list[dict[str, Refinement]]:
    """In an order in which none undoes another: scales of channels, ranges, codes of the weights, biases, all ranges together.

    Learned rounding is not among them: it takes minutes, for hundredths of what rounding by second-order information gains.
    """
    stages: list[dict[str, Refinement]] = [
        {"equalize": refinement_named("equalize")},
        {f"ranges by {name}": planned_with(Rule(estimator=name)) for name in ESTIMATORS},
        {f"weights' ranges by {name}": planned_with(Rule(weight_estimator=name)) for name in ("mse", "min_max")},
        {"round_weights": refinement_named("round_weights")},
        {"correct_bias": refinement_named("correct_bias")},
        {"search_ranges": refinement_named("search_ranges")},
    ]
    return stages if draft.statistics else stages[:1] + stages[2:]


def planned_with(rule: Rule) -> Refinement:
    """A step that asks one thing more of every layer."""

    def plan_again(draft: Draft, progress: Progress | None = None) -> Draft:
        recipe = draft.recipe.with_rules(rule)
        plan = make_plan(draft.network.graph, draft.statistics, recipe, draft.target.accepts, draft.plan.made_with)
        return replace(draft, recipe=recipe, plan=plan)

    return plan_again
