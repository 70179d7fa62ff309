"""One call of one kernel: what a layer becomes. Flavours differ in which calls they make of the same step."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from bitsmith.numerics.formats import Array
from bitsmith.targets.c.stored import Stored

SHORT = {"uint8_t": "u8", "int8_t": "s8", "uint16_t": "u16", "int16_t": "s16", "uint32_t": "u32", "int32_t": "s32", "int64_t": "s64",
         "float": "f32"}


@dataclass(frozen=True, eq=False)
class Table:
    """Numbers that lie in flash, and their C type."""

    numbers: Array
    c_type: str

    @property
    def bytes(self) -> int:
        return self.numbers.size * {"s8": 1, "u8": 1, "s16": 2, "u16": 2}.get(SHORT[self.c_type], 4)


@dataclass(frozen=True, eq=False)
class Fields:
    """Initializers of a struct: numbers, several of them, tables in flash, structs."""

    entries: "Entries"

    def tables(self) -> list[tuple[str, Table]]:
        """(field, table) of all tables, those of inner structs included."""
        found: list[tuple[str, Table]] = []
        for name, entry in self.entries.items():
            if isinstance(entry, Table):
                found.append((name, entry))
            elif isinstance(entry, Fields):
                found += entry.tables()
            elif isinstance(entry, tuple):
                found += [(f"{name}_{i}", table) for i, table in enumerate(entry) if isinstance(table, Table)]
        return found


Entry = int | float | tuple[int, ...] | tuple[float, ...] | tuple[Table, ...] | Table | Fields
Entries = Mapping[str, Entry]


@dataclass(frozen=True, eq=False)
class Call:
    """kernel   file of `kernels/`, which defines a function and a struct of that name
    types    C types of the names that end in _t in it
    parts    what the kernel calls: role -> file of `kernels/`
    fields   its struct
    reads    values, in the order of the arguments
    result   the value that it makes, or a part of it
    leads    value read -> how many bytes the result must begin before it to lie over it; absent: never
    scratch  bytes that it needs beside
    together the values read are handed over as one array
    can_fail the kernel returns a status
    says     what it is, for people
    macs     multiplications with additions
    trails   value read -> how many bytes behind its beginning the result must begin to lie over it when the kernel runs backwards,
             which the field `backwards` tells it; absent: it cannot
    """

    kernel: str
    types: Mapping[str, str]
    fields: Fields
    reads: tuple[str, ...]
    result: str
    says: str
    parts: Mapping[str, str] = field(default_factory=dict)
    leads: Mapping[str, int] = field(default_factory=dict)
    scratch: int = 0
    macs: int = 0
    together: bool = False
    can_fail: bool = False
    trails: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Place:
    """Where a step stands: how all values lie in memory, and how numbers are rounded.

    rounding  'multiplier', 'shift' or 'float'
    """

    stored: Mapping[str, Stored]
    rounding: str = "multiplier"


Describe = Callable[[Any, Place], list[Call]]
