"""Range estimators: one function in one module of the same name here, found by looking, never registered.

    estimate: RangeEstimator = parse_estimator("percentile:99.9")
    low, high = estimate(statistics, Placing(format))

A module may offer OPTIONS, the keyword-only options of its function: {name: reader of a text that raises ValueError}.
"""

import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, partial
from importlib import import_module
from typing import Any, NamedTuple

from bitsmith.calibration.statistics import Statistics
from bitsmith.errors import RecipeError
from bitsmith.numerics.encoding import Blocks, Encoding, spanning
from bitsmith.numerics.formats import Array, Format


class Range(NamedTuple):
    """What an encoding must reach: low <= high, real numbers."""

    low: float
    high: float


@dataclass(frozen=True)
class Placing:
    """What will become of a range: the codes of a format, placed so. An estimator that measures errors measures those of these codes."""

    format: Format
    symmetric: bool = False
    power_of_two: bool = False

    def span(self, low: Array, high: Array) -> Encoding:
        """The encodings of many ranges [n], as `spanning` makes them: one block for each."""
        return spanning(low, high, self.format, symmetric=self.symmetric, power_of_two=self.power_of_two, blocks=Blocks.channels(0))


RangeEstimator = Callable[[Statistics, Placing], Range]
Options = Mapping[str, Callable[[str], Any]]


def estimator_names() -> list[str]:
    """Every estimator there is, in alphabetical order."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


@cache
def parse_estimator(text: str) -> RangeEstimator:
    """The estimator called `min_max`, `percentile`, `percentile:99.9` or `percentile:percent=99.9`; options are split by commas.

    Raises RecipeError for names, options and numbers that do not exist.
    """
    name, _, rest = text.partition(":")
    if name not in estimator_names():
        raise RecipeError(f"No range estimator is called {name!r}; there are {', '.join(estimator_names())}.")
    module = import_module(f"{__name__}.{name}")
    estimate: RangeEstimator = getattr(module, name)
    options = read_options(rest, getattr(module, "OPTIONS", {}), name)
    return partial(estimate, **options) if options else estimate


def read_options(text: str, known: Options, estimator: str) -> dict[str, Any]:
    """'percent=99.9', or '99.9' for the first of the known options, as keyword arguments."""
    found: dict[str, Any] = {}
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        key, equals, value = part.partition("=")
        if not equals:
            key, value = next(iter(known), ""), part
        if key not in known or key in found:
            raise RecipeError(f"Range estimator {estimator!r} cannot take {part!r}; {describe(known)}.")
        try:
            found[key] = known[key](value)
        except ValueError as problem:
            raise RecipeError(f"Range estimator '{estimator}:{text}': {key} {problem}.") from problem
    return found


def describe(known: Options) -> str:
    return f"it has the option {' and '.join(known)}, each once" if known else "it has no options"
