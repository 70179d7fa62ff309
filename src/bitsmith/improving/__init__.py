"""Refinements: each takes a draft and gives a better one, `(draft, progress) -> draft`, measurable alone and in combination."""

from collections.abc import Iterable
from importlib import import_module

from bitsmith.errors import RecipeError
from bitsmith.improving.draft import Draft, Progress, Refinement

# name -> module of this room that holds the function of that name; in the order in which they are best applied
REFINEMENTS: dict[str, str] = {
    "equalize": "equalize",
    "absorb_bias": "absorb_bias",
    "fit_to_curves": "fit_to_curves",
    "round_weights": "round_weights",
    "learn_rounding": "learn_rounding",
    "correct_bias": "correct_bias",
    "correct_bias_analytically": "correct_bias",
    "search_ranges": "search_ranges",
    "choose": "choose",
}

__all__ = ["REFINEMENTS", "Draft", "Progress", "Refinement", "check_refinements", "refinement_named"]


def check_refinements(names: Iterable[str]) -> None:
    """Raises RecipeError for a name that no refinement has."""
    for name in names:
        if name not in REFINEMENTS:
            raise RecipeError(f"No refinement is called {name!r}; there are {', '.join(REFINEMENTS)}.")


def refinement_named(name: str) -> Refinement:
    """The refinement with this name. Raises RecipeError for a name that none has."""
    check_refinements([name])
    found: Refinement = getattr(import_module(f"{__name__}.{REFINEMENTS[name]}"), name)
    return found
