"""How much time something may take, as people write it."""

import re

from bitsmith.errors import RecipeError

BUDGET = re.compile(r"(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s?)?")


def read_budget(text: str) -> float:
    """'10m', '90s', '1h30m' or a number of seconds. Raises RecipeError for anything else."""
    found = BUDGET.fullmatch(text.strip())
    if not text.strip() or found is None or not any(found.groups()):
        raise RecipeError(f"A time is written as 10m, 90s or 1h30m, not {text!r}.")
    hours, minutes, seconds = (float(part or 0) for part in found.groups())
    return 3600 * hours + 60 * minutes + seconds
