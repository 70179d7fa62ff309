"""A network on its way to integers: what every refinement takes and gives."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import onnx_ir as ir

from bitsmith.calibration.collect import calibrate
from bitsmith.calibration.collection import Collection
from bitsmith.errors import GoneError
from bitsmith.loading.data import Data
from bitsmith.planning.make_plan import make_plan, values_to_watch
from bitsmith.planning.plan import Plan
from bitsmith.planning.recipe import Recipe
from bitsmith.targets.target import Target

Progress = Callable[[int, int | None], None]


@dataclass(frozen=True, eq=False)
class Draft:
    """original    as the user gave it, in normal form; nobody changes it
    network     computes what the original does, but for what refinements did to its weights and biases
    statistics  of this network
    plan        of this network
    data        to calibrate with, readable again; None where only statistics were given
    recipe, target   what is asked and for whom
    exact       the network before its numbers were rounded or corrected, by its values' names; None: the network is that itself
    """

    original: ir.Model
    network: ir.Model
    statistics: Collection
    plan: Plan
    data: Data | None
    recipe: Recipe
    target: Target
    exact: ir.Model | None = None

    @property
    def reference(self) -> ir.Model:
        """What the network's values ought to be: each computed by the original, but for the scales of channels."""
        return self.network if self.exact is None else self.exact

    def samples(self, refinement: str) -> Data:
        """The calibration data. Raises GoneError, in the refinement's name, where they cannot be read again."""
        if self.data is None or self.data.once:
            raise GoneError(
                f"Refinement '{refinement}' runs the network on calibration data; give data that can be read again "
                "(a file, arrays, or a function that makes a generator)."
            )
        return self.data

    def simulated(self) -> ir.Model:
        """The network with Q/DQ as the plan says, for onnxruntime to run."""
        return self.target.build(self.network, self.plan)

    def replanned(self, network: ir.Model, refinement: str) -> "Draft":
        """The draft with an equal network whose values have other ranges: counted and planned again."""
        accepts = self.target.accepts
        values = values_to_watch(network.graph, self.recipe, accepts)
        found = calibrate(network, self.samples(refinement), values=values) if values else Collection({})
        found = replace(found, network=self.statistics.network)
        plan = make_plan(network.graph, found, self.recipe, accepts, self.plan.made_with)
        return replace(self, network=network, statistics=found, plan=plan, exact=None)


Refinement = Callable[[Draft, Progress | None], Draft]


def with_reasons(plan: Plan, said: Mapping[str, str]) -> Plan:
    """What was said before stays in front."""
    joined = {name: f"{plan.reasons[name]}; {text}" if name in plan.reasons else text for name, text in said.items()}
    return replace(plan, reasons={**plan.reasons, **joined})
