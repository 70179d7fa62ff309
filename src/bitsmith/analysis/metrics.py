"""A user's own metrics, by the name of their function."""

import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path

from bitsmith.analysis.evaluate import Metric, Outputs
from bitsmith.errors import BitsmithError
from bitsmith.numerics.formats import Array

# What goes wrong in somebody's own code; it is theirs to mend, and told in one line.
WRONG = (ArithmeticError, AssertionError, AttributeError, BufferError, EOFError, ImportError, LookupError, NameError, OSError, RuntimeError,
         SyntaxError, TypeError, ValueError)


def find_metrics(names: Sequence[str]) -> dict[str, Metric]:
    """MODULE:FUNCTION -> the function; modules are also looked for in the current folder. Raises BitsmithError where there is none."""
    return {name: find_metric(name) for name in names}


def find_metric(name: str) -> Metric:
    module_name, colon, function = name.partition(":")
    if not colon or not function or not all(part.isidentifier() for part in module_name.split(".")):
        raise BitsmithError(f"Metric {name!r} needs the form MODULE:FUNCTION, for instance my_metrics:mean_average_precision.")
    if (here := str(Path.cwd())) not in sys.path:
        sys.path.insert(0, here)
    with blamed_on(name):
        found: Metric | None = getattr(import_module(module_name), function, None)
    if not callable(found):
        raise BitsmithError(f"Metric {name!r}: module '{module_name}' has no function '{function}'.")
    metric = found

    def measure(outputs: Outputs, labels: Array | None) -> float:
        with blamed_on(name):
            return float(metric(outputs, labels))

    return measure


@contextmanager
def blamed_on(name: str) -> Iterator[None]:
    """What goes wrong within the block is told as the metric's. Raises BitsmithError with the place."""
    try:
        yield
    except BitsmithError:
        raise
    except WRONG as problem:
        place = [frame for frame in traceback.extract_tb(problem.__traceback__) if frame.filename != __file__]
        where = f" ({Path(place[-1].filename).name}, line {place[-1].lineno})" if place and "importlib" not in place[-1].filename else ""
        raise BitsmithError(f"Metric {name!r}: {type(problem).__name__}: {problem}{where}.") from problem
