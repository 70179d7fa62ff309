"""Preprocessing and normalization from words: ['size=256', 'crop=224', 'mean=0.485,0.456,0.406']."""

from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from bitsmith.errors import DataError
from bitsmith.loading.images import Preprocessing

WORDS = ("layout", "colours")
WHOLE = ("size", "crop")


def read_preprocessing(options: Sequence[str]) -> Preprocessing | None:
    """None where there are no options. Raises DataError for keys and values that do not exist."""
    known = [f.name for f in fields(Preprocessing)]
    found: dict[str, Any] = {}
    for option in options:
        key, equals, value = option.partition("=")
        if not equals or key not in known:
            raise DataError(f"Images have no option {option!r}; write KEY=VALUE with one of {', '.join(known)}.")
        found[key] = value if key in WORDS else read_numbers(key, value)
    return Preprocessing(**found) if found else None


def read_normalization(options: Sequence[str]) -> dict[str, Any]:
    """scale, mean and std from words; what is not said changes nothing. Raises DataError for keys and values that do not exist."""
    found: dict[str, Any] = {"scale": 1.0, "mean": 0.0, "std": 1.0}
    for option in options:
        key, equals, value = option.partition("=")
        if not equals or key not in found:
            raise DataError(f"There is no normalization {option!r}; write KEY=VALUE with one of {', '.join(found)}.")
        found[key] = read_numbers(key, value)
    return found


def read_numbers(key: str, value: str) -> Any:
    """One number, or several between commas. Fractions such as 1/255 are numbers too."""
    try:
        numbers = tuple(int(part) if key in WHOLE else read_fraction(part) for part in value.split(","))
    except (ValueError, ZeroDivisionError) as problem:
        raise DataError(f"The option '{key}' needs numbers between commas, not {value!r}.") from problem
    return numbers[0] if len(numbers) == 1 else numbers


def read_fraction(text: str) -> float:
    top, slash, bottom = text.partition("/")
    return float(top) / float(bottom) if slash else float(top)
