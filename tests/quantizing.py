"""The whole chain in a few words, for tests: calibrate, plan, write, run in every engine."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import networks
import numpy as np
import numpy.typing as npt
import onnx
import onnx_ir as ir

from bitsmith.calibration.statistics import Statistics
from bitsmith.integer.program import Program
from bitsmith.loading.from_onnx import load
from bitsmith.lowering import lower
from bitsmith.planning import recipes
from bitsmith.planning.accepts import Accepts
from bitsmith.planning.make_plan import make_plan, values_to_watch
from bitsmith.planning.plan import Plan
from bitsmith.planning.recipe import Recipe, Rule
from bitsmith.rewrites.simplify import simplify
from bitsmith.running.session import Session
from bitsmith.targets.onnx import TARGETS

Array = npt.NDArray[Any]
Feeds = Mapping[str, Array]
POWERS = recipes.int8().with_rules(Rule(power_of_two=True))
MARGIN = 1e-6       # float results of equal codes may differ in their last digits


def plan_for(network: ir.Model, feeds: Feeds, recipe: Recipe, accepts: Accepts) -> Plan:
    """Calibrate on these samples and plan."""
    watched = values_to_watch(network.graph, recipe, accepts)
    statistics = {name: Statistics() for name in watched}
    for name, values in Session(network, watched, optimise=False).run(feeds).items():
        statistics[name].observe(values)
    return make_plan(network.graph, statistics, recipe, accepts)


@dataclass(frozen=True)
class Chain:
    """A network, quantized for a target by a recipe, and what each engine makes of the feeds.

    `of` asks for codes everywhere, however small the layers are.
    """

    network: ir.Model
    feeds: Feeds
    recipe: Recipe
    target: str = "onnxruntime"

    @classmethod
    def of(cls, model: onnx.ModelProto, recipe: Recipe | None = None, target: str = "onnxruntime", samples: int = 16) -> "Chain":
        network = load(model.SerializeToString())
        simplify(network)
        return cls(network, networks.feeds(model, samples), (recipe or recipes.int8()).with_everything(), target)

    @cached_property
    def plan(self) -> Plan:
        return plan_for(self.network, self.feeds, self.recipe, TARGETS[self.target].accepts)

    @cached_property
    def written(self) -> ir.Model:
        return TARGETS[self.target].build(self.network, self.plan)

    @cached_property
    def program(self) -> Program:
        return lower(self.network, self.plan)

    @property
    def coded(self) -> list[str]:
        """Computed values that are codes both in the program and in the written file."""
        made = {name for i in self.program.instructions for name in (*i.inputs, getattr(i, "output", ""))} | set(self.program.inputs)
        held = {v.name for node in self.written.graph for v in node.outputs}
        return [name for name in self.plan.encodings if name in made and f"{name}_quantized" in held]

    def codes(self, *, optimise: bool) -> dict[str, Array]:
        """Codes from onnxruntime, by the names of the values that they stand for."""
        found = Session(self.written, [f"{name}_quantized" for name in self.coded], optimise=optimise).run(self.feeds)
        return {name.removesuffix("_quantized"): codes for name, codes in found.items()}

    def results(self, *, optimise: bool = True) -> dict[str, Array]:
        return Session(self.written, optimise=optimise).run(self.feeds)

    def kernels(self, path: Any) -> list[str]:
        """The operators that onnxruntime makes of the file."""
        return optimised_kernels(ir.to_proto(self.written), path)


def optimised_kernels(model: onnx.ModelProto, path: Any) -> list[str]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.optimized_model_filepath = str(path)
    onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return [node.op_type for node in onnx.load(path).graph.node]


def apart(first: Array, second: Array) -> Array:
    return np.abs(first.astype(np.int64) - second.astype(np.int64))


def assert_same(found: Mapping[str, Array], expected: Mapping[str, Array], names: Any) -> None:
    """Bit for bit, of every value named."""
    for name in names:
        np.testing.assert_array_equal(found[name], expected[name], err_msg=name)


def between(kind: str, shape: Sequence[int], *, operands: Sequence[Any] = (), attributes: dict[str, Any] | None = None,
            image: Sequence[Any] = ("batch", 4, 6, 6)) -> onnx.ModelProto:
    """Conv, the node, Conv of one pixel: the node stands between codes."""
    b = networks.Builder(21, seed=3)
    channels = int(image[1])
    x = b.conv("input", "before", (channels, channels, *[1] * (len(image) - 2)))
    constants = [b.constant(f"operand{i}", a, np.asarray(a).dtype) for i, a in enumerate(operands)]
    x = b.node(kind, [x, *constants], "middle", attributes)
    b.conv(x, "after", (2, shape[0], *[1] * (len(shape) - 1)))
    return b.model({"input": image}, {"after_out": ("batch", 2, *shape[1:])})
