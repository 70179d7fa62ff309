"""Linear resizing as a call of the portable kernel."""

from math import prod

import numpy as np

from bitsmith.integer.blending import SHORT, Neighbours
from bitsmith.integer.instructions import Blend
from bitsmith.targets.c.call import Call, Entries, Fields, Place, Table
from bitsmith.targets.c.stored import Stored

ALONE = Neighbours(*(np.zeros(1, np.int64) for _ in range(3)))


def describe_blend(step: Blend, place: Place) -> list[Call]:
    """Memory's order as outer axes, rows, middle ones, columns, inner ones; a single axis is that of the columns."""
    source, result = place.stored[step.inputs[0]], place.stored[step.output]
    places = sorted(source.order.index(axis - 1) for axis in step.between)
    row, column = places if len(places) > 1 else (places[0], places[0])
    entries: Entries = {
        "outer": prod(source.sizes[:row]), "middle": prod(source.sizes[row + 1:column]), "inner": prod(source.sizes[column + 1:]),
        "outer_step": prod(source.sizes[row:]), "middle_step": prod(source.sizes[column:]),
        "row_bits": step.bits if row != column else 0, "column_bits": step.bits,
        **line(step, source, row if row != column else None, ("rows", "up", "down", "row_weight")),
        **line(step, source, column, ("columns", "left", "right", "column_weight")),
    }
    types = {"sum_t": "int32_t" if step.bits == SHORT else "int64_t", "source_t": source.c_type, "result_t": result.c_type}
    return [Call("blend", types, Fields(entries), step.inputs, step.output, f"linear resizing, {result.count} elements",
                 macs=result.count * 2 ** len(places))]


def line(step: Blend, source: Stored, at: int | None, names: tuple[str, str, str, str]) -> Entries:
    """Count and tables along one place of memory's order; of a line of one element for None."""
    between = ALONE if at is None else step.between[source.order[at] + 1]
    run = 0 if at is None else prod(source.sizes[at + 1:])
    return {names[0]: len(between.left), names[1]: Table(between.left * run, "int32_t"), names[2]: Table(between.right * run, "int32_t"),
            names[3]: Table(between.weight, "int32_t")}
