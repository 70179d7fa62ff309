"""Sums, products, tables and clamps, element by element, as calls of the portable kernels."""

from math import prod

import numpy as np

from bitsmith.errors import TargetError
from bitsmith.integer.instructions import AddRescaled, Clamp, LookUp, MultiplyRescaled, Rescale
from bitsmith.integer.rescaling import FloatTotal, IntegerTotal
from bitsmith.targets.c.call import Call, Entries, Entry, Fields, Place, Table
from bitsmith.targets.c.products import broadcast_steps
from bitsmith.targets.c.rounding import accumulator_type, code_fields, nearest_part, odd_of, rounding_fields, rounding_part
from bitsmith.targets.c.stored import Stored, nest

NARROW = 2**31


def describe_sum(step: AddRescaled, place: Place) -> list[Call]:
    """Two values that may broadcast, or several of one shape."""
    return [add_pair(step, place) if len(step.inputs) == 2 else add_several(step, place)]


def sum_type(step: AddRescaled, total: IntegerTotal) -> str:
    """32 bits where they hold the sum, its rounding included."""
    reach = sum(abs(m) * max(map(abs, s.steps)) for m, s in zip(total.multipliers, step.sources, strict=True))
    return "int32_t" if reach + 2 ** (total.shift - 1) < NARROW else "int64_t"


def add_pair(step: AddRescaled, place: Place) -> Call:
    left, right, result = (place.stored[name] for name in (*step.inputs, step.output))
    kernel, types, entries = ("add", *pair_in_integers(step, step.total)) if isinstance(step.total, IntegerTotal) else (
        "add_float", {}, in_float(step))
    types |= {"left_t": left.c_type, "right_t": right.c_type, "result_t": result.c_type}
    return Call(
        kernel, types, Fields({**pair_loops(left, right, result, step.output), **entries}), step.inputs, step.output,
        f"sum, {result.count} elements", nearest_part(step.total), pair_leads(step.inputs, left, right, result),
    )


def pair_in_integers(step: AddRescaled, total: IntegerTotal) -> tuple[dict[str, str], dict[str, Entry]]:
    """(types, fields) that say how two values are added."""
    entries: dict[str, Entry] = {"shift": total.shift, "odd": odd_of(total), **code_fields(total.codes)}
    for side, multiplier, zero in zip(("left", "right"), total.multipliers, total.zero_points, strict=True):
        entries |= {f"{side}_zero": zero, f"{side}_multiplier": multiplier}
    return {"sum_t": sum_type(step, total)}, entries


def in_float(step: AddRescaled) -> dict[str, Entry]:
    """Fields that say how values are added in float."""
    total = step.total
    assert isinstance(total, FloatTotal)
    return {"ratio": Table(np.append(total.ratios, total.offset), "float"),
            "zero_after": 0 if total.zero_first else total.codes.zero_point, "low": total.codes.low, "high": total.codes.high}


def add_several(step: AddRescaled, place: Place) -> Call:
    sources, result = [place.stored[name] for name in step.inputs], place.stored[step.output]
    if len({(s.c_type, s.shape) for s in sources}) != 1 or sources[0].shape != result.shape:
        raise TargetError(f"'{step.output}' adds {len(sources)} values of different shapes or widths; add them two by two in the network.")
    kernel, types, entries = ("add_many", *several_in_integers(step, step.total)) if isinstance(step.total, IntegerTotal) else (
        "add_many_float", {}, in_float(step))
    types |= {"source_t": sources[0].c_type, "result_t": result.c_type}
    return Call(kernel, types, Fields({"count": result.count, "operands": len(sources), **entries}), step.inputs, step.output,
                f"sum of {len(sources)} values, {result.count} elements", nearest_part(step.total), together=True)


def several_in_integers(step: AddRescaled, total: IntegerTotal) -> tuple[dict[str, str], dict[str, Entry]]:
    """(types, fields) that say how values are added."""
    entries: dict[str, Entry] = {"zero": Table(np.asarray(total.zero_points), "int32_t"), "shift": total.shift, "odd": odd_of(total),
                                 "multiplier": Table(np.asarray(total.multipliers), "int32_t"), **code_fields(total.codes)}
    return {"sum_t": sum_type(step, total)}, entries


def describe_multiplication(step: MultiplyRescaled, place: Place) -> list[Call]:
    left, right, result = (place.stored[name] for name in (*step.inputs, step.output))
    width = accumulator_type(step.bounds, step.requantize, step.output)
    zeros: Entries = {"left_zero": step.sources[0].zero_point, "right_zero": step.sources[1].zero_point}
    return [Call(
        "product", {"left_t": left.c_type, "right_t": right.c_type, "result_t": result.c_type, "sum_t": width},
        Fields({**pair_loops(left, right, result, step.output), **zeros, "rounding": rounding_fields(step.requantize, place.rounding)}),
        step.inputs, step.output, f"product, {result.count} elements", rounding_part(place.rounding),
        pair_leads(step.inputs, left, right, result), macs=result.count,
    )]


def pair_loops(left: Stored, right: Stored, result: Stored, owner: str) -> dict[str, Entry]:
    """Nested loops over the result in memory's order, with both operands' steps."""
    steps = [[broadcast_steps(operand, result.shape)[axis] for axis in result.order] for operand in (left, right)]
    loops = nest(result.sizes, *steps, owner=owner)
    return {"count": loops.counts, "left_step": loops.steps[0], "right_step": loops.steps[1]}


def pair_leads(names: tuple[str, ...], left: Stored, right: Stored, result: Stored) -> dict[str, int]:
    """The result may lie over an operand of its own size: every element is read before it is written over."""
    return {name: growth(s, result) for name, s in zip(names, (left, right), strict=True) if s.shape == result.shape}


def growth(source: Stored, result: Stored) -> int:
    """How far a wider result runs ahead."""
    return max(0, result.bytes - source.bytes)


def describe_rescale(step: Rescale, place: Place) -> list[Call]:
    source, result = place.stored[step.inputs[0]], place.stored[step.output]
    entries: Entries = {"count": result.count, "zero": step.source.zero_point, "rounding": rounding_fields(step.requantize, place.rounding)}
    return [Call("rescale", {"source_t": source.c_type, "result_t": result.c_type}, Fields(entries), step.inputs, step.output,
                 f"other scale, {result.count} elements", rounding_part(place.rounding), {step.inputs[0]: growth(source, result)})]


def describe_look_up(step: LookUp, place: Place) -> list[Call]:
    """One table for all, or one for each index of an axis."""
    source, result = place.stored[step.inputs[0]], place.stored[step.output]
    entries: Entries = {**channel_loops(source, step.axis), "low": step.source.low, "codes": step.table.shape[-1],
                        "table": Table(step.table.reshape(-1), result.c_type)}
    return [Call("look_up", {"source_t": source.c_type, "result_t": result.c_type}, Fields(entries), step.inputs, step.output,
                 f"table, {result.count} elements", leads={step.inputs[0]: growth(source, result)})]


def channel_loops(source: Stored, axis: int | None) -> Entries:
    """How often the channels come, how many there are, and how many elements of one lie in a row."""
    if axis is None:
        return {"outer": 1, "channels": 1, "inner": source.count}
    at = source.order.index(axis - 1)
    return {"outer": prod(source.sizes[:at]), "channels": source.sizes[at], "inner": prod(source.sizes[at + 1:])}


def describe_clamp(step: Clamp, place: Place) -> list[Call]:
    source, result = place.stored[step.inputs[0]], place.stored[step.output]
    return [Call("clamp", {"source_t": source.c_type, "result_t": result.c_type},
                 Fields({"count": result.count, "low": step.low, "high": step.high}), step.inputs, step.output,
                 f"clamp, {result.count} elements", leads={step.inputs[0]: growth(source, result)})]
