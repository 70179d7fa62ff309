"""Nodes that hand on what they get are taken out."""

from collections.abc import Callable

import onnx_ir as ir

from bitsmith.graph import attribute, constant, input_at, integers, rank
from bitsmith.rewrites.edits import bypass, is_standard

FARTHEST = 2**31 - 1        # from here on, an end of a Slice means the end of the axis


def remove_identities(graph: ir.Graph) -> bool:
    """Results keep their names: one that would become an input, a constant or another result keeps its node."""
    removed = False
    for node in list(graph):
        if node.graph is graph and (kept := source_of(node)) is not None:
            removed |= bypass(node, kept)
    return removed


def source_of(node: ir.Node) -> ir.Value | None:
    """The value that the node's first output always equals; None where there is none, or another output is read as well."""
    does_nothing = DOES_NOTHING.get(node.op_type) if not node.domain else None
    first = input_at(node, 0)
    if does_nothing is None or first is None or any(other.uses() or other.is_graph_output() for other in node.outputs[1:]):
        return None
    return first if does_nothing(node, first) else source_of_transposes(node, first)


def source_of_transposes(node: ir.Node, first: ir.Value) -> ir.Value | None:
    """What the first of two Transposes reads, if the second undoes it."""
    before = first.producer()
    if not is_standard(node, "Transpose") or before is None or not is_standard(before, "Transpose") or before.graph is not node.graph:
        return None
    one, two = permutation(before), permutation(node)
    undone = one is not None and two is not None and [one[axis] for axis in two] == list(range(len(one)))
    return before.inputs[0] if undone else None


def permutation(node: ir.Node) -> list[int] | None:
    """Which input axis comes out at each place; without the attribute the axes are reversed."""
    found, axes = attribute(node, "perm", None), rank(node.inputs[0] or ir.Value())
    return list(found) if found is not None else None if axes is None else list(range(axes))[::-1]


def always(node: ir.Node, value: ir.Value) -> bool:
    return True


def has_one_input(node: ir.Node, value: ir.Value) -> bool:
    return len(node.inputs) == 1


def is_inference(node: ir.Node, value: ir.Value) -> bool:
    """Dropout drops nothing unless it is told to train."""
    told = constant(input_at(node, 2))
    return input_at(node, 2) is None or (told is not None and not told.any())


def keeps_type(node: ir.Node, value: ir.Value) -> bool:
    return value.dtype is not None and attribute(node, "to", None) == value.dtype


def keeps_order(node: ir.Node, value: ir.Value) -> bool:
    axes = permutation(node)
    return axes is not None and axes == sorted(axes)


def pads_nothing(node: ir.Node, value: ir.Value) -> bool:
    pads = integers(input_at(node, 1))
    return pads is not None and not any(pads)


def keeps_shape(node: ir.Node, value: ir.Value) -> bool:
    """All sizes are known and equal, but one: that is then equal too, as there are as many elements."""
    before, after = value.shape, node.outputs[0].shape
    if before is None or after is None or len(before) != len(after) or 0 in before.dims:
        return False
    unknown = 0
    for axis in range(len(before)):
        both_known = isinstance(before[axis], int) and isinstance(after[axis], int)
        if isinstance(before[axis], int) != isinstance(after[axis], int) or (both_known and before[axis] != after[axis]):
            return False
        unknown += not both_known and axis not in copied_axes(node)
    return unknown <= 1


def copied_axes(node: ir.Node) -> set[int]:
    """Axes at which the wished shape of a Reshape has a 0: taken from the input, whatever its size."""
    wished = integers(input_at(node, 1)) if node.op_type == "Reshape" and not attribute(node, "allowzero", 0) else None
    return {axis for axis, size in enumerate(wished or []) if size == 0}


def takes_all(node: ir.Node, value: ir.Value) -> bool:
    """A Slice from the first to the last of every axis, step by step."""
    starts, ends = integers(input_at(node, 1)), integers(input_at(node, 2))
    if starts is None or ends is None or value.shape is None:
        return False
    axes = integers(input_at(node, 3)) if input_at(node, 3) is not None else list(range(len(starts)))
    steps = integers(input_at(node, 4)) if input_at(node, 4) is not None else [1] * len(starts)
    if axes is None or steps is None or set(steps) != {1}:
        return False
    return all(takes_axis(value.shape[axis], start, end) for axis, start, end in zip(axes, starts, ends, strict=True))


def takes_axis(size: int | ir.SymbolicDim, start: int, end: int) -> bool:
    return len(range(size)[start:end]) == size if isinstance(size, int) else start == 0 and end >= FARTHEST


DOES_NOTHING: dict[str, Callable[[ir.Node, ir.Value], bool]] = {
    "Identity": always,
    "Dropout": is_inference,
    "Cast": keeps_type,
    "Transpose": keeps_order,
    "Pad": pads_nothing,
    "Reshape": keeps_shape,
    "Flatten": keeps_shape,
    "Slice": takes_all,
    **dict.fromkeys(("Concat", "Sum", "Max", "Min", "Mean"), has_one_input),
}
