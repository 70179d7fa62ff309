"""Refinements: each takes a draft and gives a better one, `(draft, progress) -> draft`, measurable alone and in combination."""

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import replace
from importlib import import_module

from bitsmith.errors import GoneError, RecipeError
from bitsmith.improving.draft import Draft, Progress, Refinement
from bitsmith.planning.recipe import LIMIT

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
    "limit_accumulators": "limit_accumulators",
}
__all__ = ["REFINEMENTS", "Draft", "Progress", "Refinement", "check_refinements", "refine_draft", "refinement_named"]


def check_refinements(names: Iterable[str]) -> None:
    """Raises RecipeError for a name that no refinement has, and for what would undo the proof of the refinement before it."""
    before = ""
    for name in names:
        if name not in REFINEMENTS:
            raise RecipeError(f"No refinement is called {name!r}; there are {', '.join(REFINEMENTS)}.")
        if before == LIMIT:
            raise RecipeError(f"Refinement '{name}' could undo what '{LIMIT}' proves; put '{LIMIT}' last.")
        before = name


def refinement_named(name: str) -> Refinement:
    """The refinement with this name. Raises RecipeError for a name that none has."""
    check_refinements([name])
    found: Refinement = getattr(import_module(f"{__name__}.{REFINEMENTS[name]}"), name)
    return found


def refine_draft(draft: Draft, steps: Callable[[str], AbstractContextManager[Progress | None]]) -> Draft:
    """Apply the recipe's refinements in their order; those that need data which cannot be read again are left out, and the plan says so.

    steps  title -> context that gives a function (done, of how many) or None
    """
    for name in draft.recipe.refine:
        try:
            with steps(name.replace("_", " ")) as advance:
                draft = refinement_named(name)(draft, advance)
        except GoneError as problem:
            told = {**draft.plan.made_with, "left_out": {**draft.plan.made_with.get("left_out", {}), name: str(problem)}}
            draft = replace(draft, plan=replace(draft.plan, made_with=told))
    return draft
