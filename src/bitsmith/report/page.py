"""Puts rows and pictures into the page. All text is escaped, and the page's own policy forbids every request and foreign script."""

import base64
import hashlib
import re
from collections.abc import Callable
from functools import cache
from importlib.resources import files
from pathlib import Path

from jinja2 import Environment, FunctionLoader, StrictUndefined, Template
from markupsafe import Markup

from bitsmith.files import write_atomically
from bitsmith.report import channel_map, confusion, fronts, losses, pictures, words
from bitsmith.report.rows import Layer, Report, Tensor

PIECES = re.compile(r"[^._/:]*[._/:]|[^._/:]+$")
STATES = {"codes": "codes", "inside": "within the next", "float": "float", "other": "not numbers"}


def write_page(report: Report, path: str | Path) -> None:
    """Write one HTML file beside, then rename. Raises BitsmithError where the folder cannot be written."""
    write_atomically(Path(path), draw_page(report).encode())


def draw_page(report: Report) -> str:
    """The page; the same rows give the same text."""
    script = read("page.js")
    columns = pictures.columns_of(t.bits for t in report.tensors)
    return page_template().render(
        report=report, columns=columns, style=Markup(read("page.css")), script=Markup(script), script_hash=hash_of(script),
        matrices=confusion.matrices(report.answers), pairs=confusion.changed_pairs(report.answers),
        worst=worst_layers(report.layers), sums=[x.sums for x in report.layers if x.sums is not None],
        sensitive=any(x.sensitivity is not None for x in report.layers),
        labelled=any(f.kind == "share" and f.before is not None for f in report.figures),
        channel_rows=channel_map.rows_for(report.tensors), most=losses.MOST,
        by_drop=losses.drops_known(report.sensitive), largest=losses.largest_loss(report.sensitive),
    )


@cache
def page_template() -> Template:
    return make_environment(read).get_template("page.html")


def make_environment(load: Callable[[str], str | None]) -> Environment:
    """What templates are drawn with, those that `load` finds by their names."""
    names = Environment(autoescape=True, loader=FunctionLoader(load), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    names.filters |= {
        "share": words.share, "decibels": words.decibels, "number": words.number, "show": words.show, "change": words.change,
        "bytes": words.in_bytes, "count": words.count, "breakable": breakable, "base64": in_base64,
        "points": words.points, "loss_key": losses.loss_key, "loss_text": losses.loss_text,
    }
    names.globals |= {
        "draw_front": fronts.draw_front, "cost_text": fronts.cost_text,
        "heat_strip": pictures.heat_strip, "heat_axis": pictures.heat_axis, "draw_bits": pictures.draw_bits,
        "draw_distribution": pictures.draw_distribution, "draw_errors": pictures.draw_errors, "draw_channels": pictures.draw_channels,
        "draw_channel_bits": channel_map.draw_channel_bits, "rows_together": channel_map.rows_together,
        "class_name": confusion.class_name, "STATES": STATES, "sortable": sortable, "draw_loss": losses.draw_loss, "in_text": in_text,
    }
    return names


def read(name: str) -> str:
    """A file of the folder `templates`."""
    return files("bitsmith.report").joinpath("templates", name).read_text("utf-8")


def hash_of(script: str) -> str:
    """By which the page's policy knows its own script."""
    return "sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def in_base64(content: bytes) -> str:
    return base64.b64encode(content).decode()


def breakable(name: str) -> Markup:
    """A user's name, escaped, that may be broken behind its points, slashes and underscores."""
    return Markup("<wbr>").join(Markup.escape(piece) for piece in PIECES.findall(name))


def sortable(value: float | None) -> str:
    """A number for the page's script to sort by; what is unknown comes last."""
    return "" if value is None else f"{value:.9g}"


def in_text(tensor: Tensor) -> str:
    """A tensor's format in words."""
    if not tensor.format:
        return "float"
    return tensor.format + (f" × {tensor.blocks}" if tensor.blocks > 1 else "")


def worst_layers(layers: tuple[Layer, ...]) -> float:
    """The signal-to-noise ratio from which a layer's is drawn as full."""
    known = [x.snr_db for x in layers if x.snr_db is not None and abs(x.snr_db) != float("inf")]
    return max(known, default=0.0)
