"""Numbers, arrays and structs as C text."""

from collections.abc import Iterable, Sequence
from math import isinf
from textwrap import wrap

import numpy as np

from bitsmith.numerics.formats import Array
from bitsmith.targets.c.call import Fields, Table

WIDTH = 120


def number(value: float, c_type: str) -> str:
    """A literal that comes back exactly."""
    return f"{float(value).hex()}f" if c_type == "float" else str(int(value))


def numbers(values: Array, c_type: str) -> str:
    """Literals in lines."""
    return "\n".join(wrap(", ".join(number(v, c_type) for v in values.reshape(-1).tolist()), WIDTH - 4, initial_indent="    ",
                          subsequent_indent="    ", break_on_hyphens=False))


def array(name: str, table: Table) -> str:
    """A definition in flash; C has no empty arrays, so that one gets an element that nobody reads."""
    count = max(1, table.numbers.size)
    content = numbers(table.numbers, table.c_type) if table.numbers.size else "    0"
    return f"const {table.c_type} {name}[{count}] = {{\n{content}\n}};\n"


def declaration(name: str, table: Table) -> str:
    return f"extern const {table.c_type} {name}[{max(1, table.numbers.size)}];\n"


def struct(kind: str, name: str, fields: Fields, tables: str) -> str:
    """A constant struct; tables are named after the struct and the field."""
    return f"static const struct {kind} {name} = {{\n{wrapped(entries(fields, tables))}\n}};\n"


def entries(fields: Fields, tables: str) -> Iterable[str]:
    for name, entry in fields.entries.items():
        if isinstance(entry, Fields):
            yield f".{name} = {{{', '.join(entries(entry, tables))}}}"
        elif isinstance(entry, Table):
            yield f".{name} = {tables}_{name}"
        elif isinstance(entry, tuple):
            found = (f"{tables}_{name}_{i}" if isinstance(each, Table) else scalar(each) for i, each in enumerate(entry))
            yield f".{name} = {{{', '.join(found)}}}"
        else:
            yield f".{name} = {scalar(entry)}"


def scalar(value: object) -> str:
    """An integer, or a float; infinities by the name that `math.h` gives them."""
    if not isinstance(value, float):
        return str(value)
    return f"{'-' * (value < 0)}INFINITY" if isinf(value) else number(float(np.float32(value)), "float")


def wrapped(parts: Iterable[str], indent: str = "    ") -> str:
    """Initializers in lines, none of them broken."""
    lines = [indent]
    for part in parts:
        if len(lines[-1]) + len(part) > WIDTH and lines[-1].strip():
            lines.append(indent)
        lines[-1] += part + ", "
    return "\n".join(line.rstrip() for line in lines)


def extent(shape: Sequence[int]) -> str:
    """[3][32][32]; [1] for a single number."""
    return "".join(f"[{length}]" for length in shape) or "[1]"
