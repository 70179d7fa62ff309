"""Codes that only move, as calls of the portable kernels."""

from math import prod

import numpy as np

from bitsmith.errors import TargetError
from bitsmith.integer.instructions import Concatenate, Gather, Take
from bitsmith.numerics.formats import Array
from bitsmith.targets.c.call import Call, Entries, Fields, Place, Table
from bitsmith.targets.c.geometry import furthest
from bitsmith.targets.c.layout import Reorder
from bitsmith.targets.c.stored import Stored, nest

DEPTH = 4


def describe_reorder(step: Reorder, place: Place) -> list[Call]:
    source, result = place.stored[step.inputs[0]], place.stored[step.output]
    steps = [source.strides[axis] for axis in result.order]
    loops = nest(result.sizes, steps, owner=step.output)
    return [Call("copy", {"source_t": source.c_type, "result_t": result.c_type}, Fields({"count": loops.counts, "step": loops.steps[0]}),
                 step.inputs, step.output, f"other order of memory, {result.count} elements")]


def describe_take(step: Take, place: Place) -> list[Call]:
    """Loops over the axes with indices and those between; what is behind the last of them is copied whole."""
    source, result = place.stored[step.inputs[0]], place.stored[step.output]
    axes = merged_axes(step, source)
    run = 1
    if axes and axes[-1] is not None and axes[-1][1] is None:
        run = axes[-1][0]
        axes = axes[:-1]
    if len(axes) > DEPTH:
        raise TargetError(f"'{step.output}' takes along {len(axes)} axes, and the target 'c' has loops for {DEPTH}.")
    places, size = [], run
    for length, indices in reversed(axes):
        found = np.arange(length) if indices is None else indices
        places.append(np.where(found < 0, -1, found * size))
        size *= length
    filled = [np.zeros(1, np.int64)] * (DEPTH - len(places)) + places[::-1]
    entries: Entries = {"count": tuple(len(p) for p in filled), "place": tuple(Table(p, "int32_t") for p in filled),
                        "run": run, "filler": step.filler}
    lead = take_lead(filled, run, result.width)
    return [Call("take", {"source_t": source.c_type, "result_t": result.c_type}, Fields(entries), step.inputs, step.output,
                 f"elements by index, {result.count}", leads={step.inputs[0]: lead})]


def merged_axes(step: Take, source: Stored) -> list[tuple[int, Array | None]]:
    """(length in the source, indices) of the axes in memory's order; neighbours without indices are one."""
    found: list[tuple[int, Array | None]] = []
    for axis in source.order:
        indices, length = step.indices.get(axis + 1), source.shape[axis]
        if indices is None and found and found[-1][1] is None:
            found[-1] = (found[-1][0] * length, None)
        else:
            found.append((length, indices))
    return found


def take_lead(places: list[Array], run: int, width: int) -> int:
    """How many bytes the result's pieces run ahead of those that are still to be read; each is read before it is written."""
    first, outside = np.zeros(1, np.int64), np.zeros(1, np.bool_)
    for each in places:
        first = (first[:, None] + np.maximum(each, 0)).reshape(-1)
        outside = (outside[:, None] | (each < 0)).reshape(-1)
    read = np.where(outside, first.max(initial=0) + run * len(first), first) * width
    written = np.arange(1, len(read) + 1) * run * width
    return furthest(written[:-1], read[1:])


def describe_concatenation(step: Concatenate, place: Place) -> list[Call]:
    """One call for each operand."""
    result = place.stored[step.output]
    at = result.order.index(step.axis - 1)
    inner, whole = prod(result.sizes[at + 1:]), prod(result.sizes[at:])
    calls, offset = [], 0
    for number, name in enumerate(step.inputs, 1):
        source = place.stored[name]
        run = source.sizes[at] * inner
        entries: Entries = {"pieces": prod(source.sizes[:at]), "run": run, "offset": offset, "step": whole}
        calls.append(Call("join", {"source_t": source.c_type, "result_t": result.c_type}, Fields(entries), (name,), step.output,
                          f"part {number} of {len(step.inputs)} of a concatenation, {source.count} elements"))
        offset += run
    return calls


def describe_gather(step: Gather, place: Place) -> list[Call]:
    source, result = place.stored[step.inputs[0]], place.stored[step.output]
    run = prod(step.table.shape[1:])
    entries: Entries = {"count": source.count, "rows": len(step.table), "run": run, "table": Table(step.table.reshape(-1), result.c_type)}
    return [Call("pick_rows", {"source_t": source.c_type, "result_t": result.c_type}, Fields(entries), step.inputs, step.output,
                 f"rows of a table, {source.count} of {run} codes", can_fail=True)]
