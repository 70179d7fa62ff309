"""A user's own metrics, by the name of their function."""

import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from bitsmith.analysis.evaluate import Metric
from bitsmith.errors import BitsmithError


def find_metrics(names: Sequence[str]) -> dict[str, Metric]:
    """MODULE:FUNCTION -> the function; modules are also looked for in the current folder. Raises BitsmithError where there is none."""
    return {name: find_metric(name) for name in names}


def find_metric(name: str) -> Metric:
    module_name, colon, function = name.partition(":")
    if not colon or not function:
        raise BitsmithError(f"Metric {name!r} needs the form MODULE:FUNCTION, for instance my_metrics:mean_average_precision.")
    if (here := str(Path.cwd())) not in sys.path:
        sys.path.insert(0, here)
    try:
        found: Metric | None = getattr(import_module(module_name), function, None)
    except ImportError as problem:
        raise BitsmithError(f"Metric {name!r}: {problem}.") from problem
    if not callable(found):
        raise BitsmithError(f"Metric {name!r}: module '{module_name}' has no function '{function}'.")
    return found
