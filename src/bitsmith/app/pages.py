"""Draws the page in parts, and knows which part changed when: a browser gets just what is new."""

import threading
from collections.abc import Callable
from functools import cache
from importlib.resources import files

from jinja2 import Environment
from markupsafe import Markup

from bitsmith.app.attempts import Attempt
from bitsmith.app.choices import PLACES_TO_RUN, WIDTHS
from bitsmith.app.rows import foreseen, groups_of, in_float, row_of
from bitsmith.app.studio import MissingError, Preview, Studio
from bitsmith.improving import REFINEMENTS
from bitsmith.planning import recipes
from bitsmith.report import confusion, pictures
from bitsmith.report.page import make_environment
from bitsmith.report.page import read as read_of_report
from bitsmith.report.rows import Figure, Report

NEVER = -1


def read(name: str) -> str | None:
    """A template of the app, or of the report."""
    own = files("bitsmith.app").joinpath("templates", name)
    return own.read_text("utf-8") if own.is_file() else read_of_report(name)


@cache
def environment() -> Environment:
    return make_environment(read)


def draw(template: str, values: dict[str, object]) -> str:
    return environment().get_template(template).render(values)


def draw_style() -> str:
    """The report's colours and style, and the app's own."""
    return draw("colours.css", {}) + read_of_report("page.css") + (read("app.css") or "")


class Board:
    """The parts of the page as they were last drawn, each with the number of the drawing in which it changed.

    Safe for several threads.
    """

    def __init__(self, studio: Studio) -> None:
        self.studio = studio
        self.drawn = NEVER
        self.parts: dict[str, tuple[str, int]] = {}
        self._preview: Preview | None = None
        self._lock = threading.Lock()

    def changes(self, seen: int) -> tuple[int, dict[str, str]]:
        """(the number of this drawing, the parts that changed since the one that was seen)."""
        with self._lock:
            now = self.studio.revision
            if now != self.drawn:
                for name, html in self.draw_parts().items():
                    if name not in self.parts or self.parts[name][0] != html:
                        self.parts[name] = html, now
                self.drawn = now
            since = seen if seen <= now else NEVER
            return now, {name: html for name, (html, when) in self.parts.items() if when > since}

    def draw_parts(self) -> dict[str, str]:
        """Everything that may have changed; layers only where they are of another preview."""
        found = {name: draw(f"{name}.html", self.values()) for name in ("job", "samples", "recipe", "foreseen", "validate", "attempts")}
        preview = self.studio.preview
        if preview is not self._preview:
            found |= self.draw_layers(preview)
            self._preview = preview
        return found

    def draw_layers(self, preview: Preview) -> dict[str, str]:
        columns = pictures.columns_of(t.bits for t in preview.tensors)
        found = {"axis": str(pictures.heat_axis(columns))}
        for index, group in enumerate(groups_of(self.studio, preview)):
            found[f"g{index}"] = draw("group.html", {"group": group, "columns": columns, "index": index})
        return found

    def values(self) -> dict[str, object]:
        studio = self.studio
        job = studio.work.job
        return {
            "studio": studio, "given": studio.given, "job": job, "cancelling": job is not None and job.unwanted.is_set(),
            "notice": studio.work.notice, "choices": studio.choices, "report": Report("", foreseen(studio.preview)),
            "recipes": {name: told(getattr(recipes, name)) for name in recipes.__all__}, "targets": PLACES_TO_RUN, "widths": WIDTHS,
            "refinements": list(REFINEMENTS), "counted": studio.statistics, "attempts": studio.attempts, "percent": percent,
            "in_float": in_float(studio.preview), "change": lambda before, after: Figure("", before, after, "share"),
        }

    def page(self) -> str:
        """The whole page."""
        number, _ = self.changes(NEVER)
        parts = {name: Markup(html) for name, (html, _) in self.parts.items()}
        return draw("app.html", {"number": number, "parts": parts, "given": self.studio.given, "places": len(self.studio.places)})


def told(recipe: Callable[[], object]) -> str:
    """What a recipe is good for, in its own words."""
    return (recipe.__doc__ or "").strip().splitlines()[0].rstrip(".")


def percent(done: int, total: int | None) -> str:
    return f"{done:,}" if not total else f"{done:,} of {total:,}"


def draw_tensor(studio: Studio, name: str) -> str:
    """One tensor in full, with its format to choose. Raises MissingError where there is none of this name."""
    row = row_of(studio, name)
    if row is None:
        raise MissingError(f"The network has no tensor {name[:200]!r}, or it was not counted yet.")
    return draw("panel.html", {"row": row, "t": row.tensor})


def draw_attempt(studio: Studio, number: int) -> str:
    """One attempt beside the float network. Raises MissingError where there is none of this number."""
    attempt: Attempt = studio.attempt(number)
    answers = attempt.answers(tuple(studio.given.measured.data.classes))
    report = Report(attempt.choices.title, tuple(attempt.figures()), answers=answers)
    return draw("attempt.html", {
        "attempt": attempt, "report": report, "matrices": confusion.matrices(answers), "pairs": confusion.changed_pairs(answers),
        "studio": studio,
    })
