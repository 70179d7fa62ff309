"""Interpolated tables as calls of the portable kernel."""

from bitsmith.integer.instructions import Interpolate
from bitsmith.targets.c.call import Call, Entries, Fields, Place, Table
from bitsmith.targets.c.elementwise import channel_loops, growth


def describe_interpolation(step: Interpolate, place: Place) -> list[Call]:
    """One table for all, or one for each index of an axis."""
    source, result = place.stored[step.inputs[0]], place.stored[step.output]
    entries: Entries = {**channel_loops(source, step.axis), "first": step.source.low, "shift": step.shift, "entries": step.table.shape[-1],
                        "table": Table(step.table.reshape(-1), "int32_t"), "low": step.codes.low, "high": step.codes.high}
    said = f"interpolated table of {step.table.shape[-1]} entries, at most {step.error} of {len(step.codes)} codes off"
    return [Call("interpolate", {"source_t": source.c_type, "result_t": result.c_type}, Fields(entries), step.inputs, step.output,
                 f"{said}, {result.count} elements",
                 leads={step.inputs[0]: growth(source, result)})]
