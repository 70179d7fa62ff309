"""What is asked: ordered rules. Each rule says some things of some nodes; of two that speak, the later wins."""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import onnx_ir as ir

from bitsmith.calibration.ranges import parse_estimator
from bitsmith.errors import RecipeError
from bitsmith.numerics import Format, Signs, parse_format

FLOAT = "float"
DYNAMIC = "dynamic"
LIMIT = "limit_accumulators"
ROLES = ("weights", "activations")


@dataclass(frozen=True)
class Rule:
    """Asks something of every node that `match` fits; what is None is left to other rules.

    match        glob over the node's name, its operator type and the names of its inputs and outputs
    weights      a format's name ('int4'), a width (8: whichever sign the target prefers) or 'float'
    activations  the same for the node's output, or 'dynamic': ranges found while the network runs
    granularity  of weights: 'tensor', 'channel', 'channels:4' (groups of four), 'group:32' (32 inputs of one channel);
                 unsaid: 'channel', or 'tensor' for products that the target runs faster so
    symmetric_weights, symmetric_activations   zero point 0 (or the middle of unsigned codes)
    estimator    how activation ranges are found: 'min_max', 'mse', 'percentile:99.99' ...; unsaid: as suits the width
    weight_estimator   the same for every block of weights
    power_of_two scales are powers of two
    """

    match: str = "*"
    weights: str | int | None = None
    activations: str | int | None = None
    granularity: str | None = None
    symmetric_weights: bool | None = None
    symmetric_activations: bool | None = None
    estimator: str | None = None
    power_of_two: bool | None = None
    weight_estimator: str | None = None

    def __post_init__(self) -> None:
        for role in ROLES:
            check_choice(getattr(self, role), role)
        if self.granularity is not None:
            parse_granularity(self.granularity)
        for estimator in (self.estimator, self.weight_estimator):
            if estimator is not None:
                parse_estimator(estimator)

    def fits(self, node: ir.Node) -> bool:
        """True where the glob matches the node's name, operator type, an output or a weight."""
        weights = (v for v in node.inputs if v is not None and v.const_value is not None)
        names = (node.name, node.op_type, *(v.name for v in (*node.outputs, *weights)))
        return any(fnmatchcase(name, self.match) for name in names if name)


@dataclass(frozen=True)
class Recipe:
    """rules       in order
    ends        a format for the first and last layers with weights, where the rest gets fewer bits
    everything  quantize also what the target runs faster in float
    refine      names of refinements, applied in this order once there is a plan
    budget      seconds that the refinement `choose` may take; None: its usual minute
    accumulator bits that the refinement `limit_accumulators` makes hold every sum; None: 16
    """

    name: str
    rules: tuple[Rule, ...] = ()
    ends: str | int | None = None
    everything: bool = False
    refine: tuple[str, ...] = ()
    budget: float | None = None
    accumulator: int | None = None

    def __post_init__(self) -> None:
        check_choice(self.ends, "ends")
        if self.budget is not None and (isinstance(self.budget, bool) or not isinstance(self.budget, int | float) or self.budget <= 0):
            raise RecipeError(f"A recipe's budget is a number of seconds above 0, not {self.budget!r}.")
        if self.accumulator is not None and (type(self.accumulator) is not int or not 8 <= self.accumulator <= 32):
            raise RecipeError(f"A recipe's accumulator has 8 to 32 bits, not {self.accumulator!r}.")

    def settings(self, nodes: Sequence[ir.Node], value: str = "") -> Rule:
        """What all rules together ask of a node with the clamps behind it, or of a network's input.

        What depends on the format or the target may stay None: granularity and estimators.
        """
        said: dict[str, Any] = {}
        for rule in (EVERYTHING, *self.rules):
            if any(rule.fits(node) for node in nodes) or fnmatchcase(value, rule.match):
                said |= {f.name: v for f in fields(Rule) if (v := getattr(rule, f.name)) is not None}
        return Rule(**said)

    def with_rules(self, *rules: Rule) -> "Recipe":
        """The same recipe with more rules behind its own."""
        return replace(self, rules=(*self.rules, *rules))

    def with_ends(self, choice: str | int) -> "Recipe":
        """The same recipe with this format for the first and last layers; digits are a width."""
        return replace(self, ends=int(choice) if str(choice).isdecimal() else choice)

    def with_weights(self, choice: str | int) -> "Recipe":
        """The same recipe with one more rule: this format for all weights, but for those of its `ends`.

        Digits are a width, 'float32' leaves weights as they are.
        """
        return self.with_rules(Rule(weights=int(choice) if str(choice).isdecimal() else FLOAT if choice == "float32" else choice))

    def with_everything(self) -> "Recipe":
        """The same recipe, whatever the target advises."""
        return replace(self, everything=True)

    def with_refinements(self, *names: str) -> "Recipe":
        """The same recipe with these refinements instead of its own."""
        return replace(self, refine=names)

    def with_budget(self, seconds: float) -> "Recipe":
        """The same recipe with so much time for choosing."""
        return replace(self, budget=seconds)

    def with_accumulator(self, bits: int) -> "Recipe":
        """The same recipe, with weights rounded at last so that so many bits hold every sum."""
        return replace(self, accumulator=bits, refine=(*(name for name in self.refine if name != LIMIT), LIMIT))


def check_choice(choice: str | int | None, role: str) -> None:
    """A width, a format's name or 'float' ('dynamic' for activations)."""
    if choice is None or choice == FLOAT or (choice == DYNAMIC and role == "activations"):
        return
    if isinstance(choice, bool) or not isinstance(choice, (str, int)):
        raise RecipeError(f"'{role}' needs a width such as 8, a format such as 'int8', or 'float'; got {choice!r}.")
    parse_format(f"int{choice}" if isinstance(choice, int) else choice)


def parse_granularity(granularity: str) -> tuple[str, int]:
    """'group:32' -> ('group', 32); 'tensor' and 'channel' have size 1."""
    kind, _, size = granularity.partition(":")
    if (kind in ("tensor", "channel") and not size) or (kind in ("channels", "group") and size.isdecimal() and int(size) > 0):
        return kind, int(size or 1)
    raise RecipeError(f"Granularity {granularity!r} is unknown; choose 'tensor', 'channel', 'channels:4' or 'group:32' (any number).")


EVERYTHING = Rule(weights=8, activations=8, symmetric_weights=True, symmetric_activations=False, power_of_two=False)


def usual_estimator(bits: int) -> str:
    """How activation ranges are found for codes of a width, where the recipe leaves it open."""
    return "percentile:99.9999" if bits > 7 else "mse"


def usual_weight_estimator(format: Format, granularity: str | None = None) -> str:
    """The same for weights: one scale for a whole tensor has few codes for most of them, unless the largest are clipped."""
    if isinstance(format, Signs):
        return "mse"
    bits = format.bits
    return "lp:3" if bits < 3 or (bits < 5 and granularity == "tensor") else "min_max"


def load_recipe(source: "str | Path | Recipe") -> Recipe:
    """A recipe by its name (`int8`), as it is, or from a TOML file:

        name = "mine"
        ends = 8
        [[rules]]
        match = "Conv"
        weights = "int4"

    Raises RecipeError for unknown names, keys and values.
    """
    from bitsmith.planning import recipes

    if isinstance(source, Recipe):
        return source
    if isinstance(source, str) and source in recipes.__all__:
        recipe: Recipe = getattr(recipes, source)()
        return recipe
    path = Path(source)
    if path.suffix != ".toml" or not path.is_file():
        raise RecipeError(f"No recipe is called {str(source)!r} and no such .toml file exists; there are {', '.join(recipes.__all__)}.")
    try:
        return from_mapping(tomllib.loads(path.read_text(encoding="utf-8")), path.stem)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as problem:
        raise RecipeError(f"Recipe '{path}' cannot be read as TOML: {problem}.") from problem
    except RecipeError as problem:
        raise RecipeError(f"Recipe '{path}': {problem}") from problem


def from_mapping(data: Mapping[str, Any], name: str) -> Recipe:
    """A recipe from plain data, as TOML gives it."""
    rules = data.get("rules", [])
    if not isinstance(rules, Sequence) or not all(isinstance(r, Mapping) for r in rules):
        raise RecipeError("'rules' needs tables, each under its own [[rules]].")
    check_keys(data, {"name", "rules", "ends", "everything", "refine", "budget", "accumulator"}, "a recipe")
    refine = data.get("refine", [])
    if not isinstance(refine, Sequence) or isinstance(refine, str) or not all(isinstance(name, str) for name in refine):
        raise RecipeError("'refine' needs a list of names of refinements.")
    for number, rule in enumerate(rules, 1):
        check_keys(rule, {f.name for f in fields(Rule)}, f"rule {number}")
    return Recipe(
        str(data.get("name", name)), tuple(Rule(**rule) for rule in rules), data.get("ends"), data.get("everything") is True,
        tuple(refine), data.get("budget"), data.get("accumulator"),
    )


def check_keys(data: Mapping[str, Any], known: set[str], owner: str) -> None:
    if unknown := set(data) - known:
        raise RecipeError(f"{owner} has no key {sorted(unknown)[0]!r}; it may have {', '.join(sorted(known))}.")


def to_mapping(recipe: Recipe) -> dict[str, Any]:
    """As plain data, the inverse of `from_mapping`."""
    rules = [{f.name: v for f in fields(Rule) if (v := getattr(r, f.name)) is not None} for r in recipe.rules]
    said = {"ends": recipe.ends, "everything": recipe.everything or None, "refine": list(recipe.refine) or None,
            "budget": recipe.budget, "accumulator": recipe.accumulator}
    return {"name": recipe.name, "rules": rules, **{key: value for key, value in said.items() if value is not None}}
