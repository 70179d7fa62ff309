"""Recipes as TOML that people read and change."""

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from bitsmith.planning.recipe import Recipe, to_mapping


def to_toml(recipe: Recipe, comments: Iterable[str] = ()) -> str:
    """The recipe as a .toml file holds it, comments first. `load_recipe` reads the same recipe back."""
    data = to_mapping(recipe)
    lines = [f"# {one_line(comment)}".rstrip() for comment in comments]
    lines += [*lines_of({key: value for key, value in data.items() if key != "rules"})]
    for rule in data["rules"]:
        lines += ["", "[[rules]]", *lines_of(rule)]
    return "\n".join(lines) + "\n"


def lines_of(table: Mapping[str, Any]) -> Iterator[str]:
    return (f"{key} = {value_of(value)}" for key, value in table.items())


def value_of(value: Any) -> str:
    """Strings, lists of strings, whole numbers and truths: JSON writes these as TOML does, but for one control character."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def one_line(text: str) -> str:
    return "".join(c if c.isprintable() else " " for c in text)
