"""Operators that move codes without changing them."""

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from bitsmith.errors import LoweringError
from bitsmith.graph import attribute, constant, input_at, integers
from bitsmith.integer.blending import LONG, SHORT, Neighbours
from bitsmith.integer.instructions import Blend, Concatenate, Gather, Instruction, Reshape, Take, Transpose
from bitsmith.integer.movement import FILL
from bitsmith.numerics.formats import Array
from bitsmith.operators.float_meaning import compute, recode
from bitsmith.operators.operator import Flow, Operator
from bitsmith.operators.site import Site, dims_of, known

EIGHT = 8       # bits


def pad_obstacle(node: ir.Node) -> str:
    """Zero always has a code; other constants may have none."""
    filler = constant(input_at(node, 2))
    if attribute(node, "mode", "constant") == "constant" and input_at(node, 2) is not None and (filler is None or filler.any()):
        return "it pads with a value other than 0"
    return ""


def resize_obstacle(node: ir.Node) -> str:
    """Nearest picks values, linear blends two of them along each axis; all else computes others."""
    mode, where = attribute(node, "mode", "nearest"), attribute(node, "coordinate_transformation_mode", "half_pixel")
    if mode == "linear" and (attribute(node, "antialias", 0) or where == "tf_crop_and_resize"):
        return "it interpolates between more than neighbours (antialias or tf_crop_and_resize)"
    return "" if mode in ("nearest", "linear") else f"it interpolates ({mode})"


def blends(node: ir.Node) -> bool:
    return attribute(node, "mode", "nearest") == "linear"


def lower_reshape(site: Site) -> Sequence[Instruction]:
    """The result's shape, as it was inferred; at most one length behind the batch may be free."""
    before, after = site.dims(0), dims_of(site.node.outputs[0], site.name)
    if not before or not after or before[0] != after[0] or sum(d is None for d in after[1:]) > 1:
        raise LoweringError(f"{site.name} reshapes {before} to {after}, samples included.")
    return [Reshape((site.input(0),), site.output, tuple(-1 if d is None else d for d in after[1:]))]


def lower_transpose(site: Site) -> Sequence[Instruction]:
    """Any order that leaves the batch in front."""
    return [Transpose((site.input(0),), site.output, tuple(attribute(site.node, "perm", list(range(len(site.dims(0))))[::-1])))]


def take(site: Site, indices: dict[int, Array], output: str | None = None) -> Instruction:
    """Elements by index along axes behind the batch."""
    return Take((site.input(0),), output or site.output, indices, site.source(0).zero_point)


def length(site: Site, axis: int) -> int:
    return known([site.dims(0)[axis]], site.name)[0]


def constant_integers(site: Site, index: int) -> list[int] | None:
    """A constant list of integers; None where it was left out. Raises LoweringError where it is computed."""
    value = input_at(site.node, index)
    found = integers(value)
    if value is not None and found is None:
        raise LoweringError(f"{site.name} computes '{value.name}' while the network runs.")
    return found


def lower_slice(site: Site) -> Sequence[Instruction]:
    starts, ends, axes, steps = (constant_integers(site, i) for i in range(1, 5))
    assert starts is not None
    assert ends is not None
    rank = len(site.dims(0))
    indices = {}
    for i, axis in enumerate(axes if axes is not None else range(len(starts))):
        size, step = length(site, axis % rank), steps[i] if steps else 1
        end = None if step < 0 and ends[i] < -size else ends[i]
        indices[axis % rank] = np.arange(size)[starts[i]:end:step]
    return [take(site, {a: x for a, x in indices.items() if not (len(x) == length(site, a) and np.all(np.diff(x) == 1))})]


def lower_split(site: Site) -> Sequence[Instruction]:
    """One Take for each part that somebody reads."""
    axis = attribute(site.node, "axis", 0) % len(site.dims(0))
    parts = [known([dims_of(v, site.name)[axis]], site.name)[0] for v in site.node.outputs]
    ends = np.cumsum(parts)
    return [take(site, {axis: np.arange(end - part, end)}, v.name) for v, part, end in zip(site.node.outputs, parts, ends, strict=True)]


def lower_pad(site: Site) -> Sequence[Instruction]:
    """Indices padded as the values are: with the filler, the edge, or reflected."""
    pads, mode, rank = constant_integers(site, 1), attribute(site.node, "mode", "constant"), len(site.dims(0))
    assert pads is not None
    axes = constant_integers(site, 3) or list(range(rank))
    indices = {}
    for i, axis in enumerate(axes):
        before, after = pads[i], pads[i + len(axes)]
        if before or after:
            inside = np.arange(length(site, axis % rank))[max(0, -before):]
            inside = inside[:len(inside) - max(0, -after)]
            indices[axis % rank] = padded(inside, (max(0, before), max(0, after)), mode)
    return [take(site, indices)]


def padded(indices: Array, pads: tuple[int, int], mode: str) -> Array:
    if mode == "constant":
        return np.pad(indices, pads, constant_values=FILL)
    return np.pad(indices, pads, mode="reflect" if mode == "reflect" else "edge" if mode == "edge" else "wrap")


def lower_resize(site: Site) -> Sequence[Instruction]:
    """Elements of the nearest places, or a Blend of those on both sides."""
    places = positions(site)
    if not blends(site.node):
        return [take(site, {axis: found.astype(np.int64) for axis, found in places.items()})]
    site.check_integers()
    if not places:
        return [take(site, {})]
    bits = SHORT if site.encoding(0).format.bits <= EIGHT else LONG
    between = {axis: Neighbours.at(found.astype(np.float64), length(site, axis), bits) for axis, found in places.items()}
    return [Blend((site.input(0),), site.output, between, bits)]


def positions(site: Site) -> dict[int, Array]:
    """Where each element comes from, float32 along each axis that is resized: its own index, resized by onnxruntime."""
    sizes, out = site.sizes(0), known(dims_of(site.node.outputs[0], site.name)[1:], site.name)
    found = {}
    for axis, (before, after) in enumerate(zip(sizes, out, strict=True), 1):
        if before != after:
            ramp = np.arange(before, dtype=np.float32).reshape([-1 if a == axis else 1 for a in range(len(sizes) + 1)])
            moved = compute(site.node, np.broadcast_to(ramp, (1, *sizes)))
            found[axis] = moved[tuple(slice(None) if a == axis else 0 for a in range(moved.ndim))]
    return found


def lower_gather(site: Site) -> Sequence[Instruction]:
    """Constant indices along an axis, or computed rows of a constant table."""
    dims = site.dims(0)
    axis, picked = attribute(site.node, "axis", 0) % len(dims), constant(site.value(1))
    if constant(site.value(0)) is not None and axis == 0 and picked is None:
        return [Gather((site.input(1),), site.output, site.stored(0))]
    if picked is None or picked.ndim > 1:
        raise LoweringError(f"{site.name} gathers by indices that are computed or have several axes.")
    indices = np.atleast_1d(picked) % length(site, axis)
    if picked.ndim == 1:
        return [take(site, {axis: indices})]
    row = f"{site.output} (row)"
    shape = known(dims_of(site.node.outputs[0], site.name)[1:], site.name)
    return [take(site, {axis: indices}, row), Reshape((row,), site.output, shape)]


def lower_concat(site: Site) -> Sequence[Instruction]:
    """Operands of another encoding than the result's go through a table first."""
    rank, count = len(dims_of(site.node.outputs[0], site.name)), range(len(site.node.inputs))
    axis = attribute(site.node, "axis", 0) % rank
    if axis == 0:
        raise LoweringError(f"{site.name} joins along the samples.")
    apart = {i: f"{site.input(i)} (as in '{site.output}')" for i in count if site.encoding(i) != site.target}
    recoded = [recode(site.input(i), name, site.encoding(i), site.target) for i, name in apart.items()]
    names = tuple(apart.get(i, site.input(i)) for i in count)
    return [*site.constants(count), *recoded, Concatenate(names, site.output, axis)]


def lower_tile(site: Site) -> Sequence[Instruction]:
    """The same indices again and again."""
    repeats = constant_integers(site, 1) or []
    if repeats[:1] != [1]:
        raise LoweringError(f"{site.name} repeats the samples.")
    return [take(site, {axis: np.tile(np.arange(length(site, axis)), n) for axis, n in enumerate(repeats) if n != 1})]


def lower_expand(site: Site) -> Sequence[Instruction]:
    """Axes of length 1 repeat what they have."""
    before, after = site.dims(0), dims_of(site.node.outputs[0], site.name)
    if len(before) != len(after) or before[0] != after[0]:
        raise LoweringError(f"{site.name} expands {before} to {after}, samples included.")
    grown = [axis for axis, (old, new) in enumerate(zip(before, after, strict=True)) if axis and old == 1 and new != 1]
    return [take(site, {axis: np.zeros(known([after[axis]], site.name)[0], np.int64) for axis in grown})]


def lower_depth_to_space(site: Site) -> Sequence[Instruction]:
    """Channels are taken apart and put beside each other: [C * b * b, H, W] -> [C, H * b, W * b]."""
    (channels, height, width), b = site.sizes(0), attribute(site.node, "blocksize", 1)
    deep = channels // (b * b)
    column_first = attribute(site.node, "mode", "DCR") == "DCR"
    parts, order = ((b, b, deep, height, width), (0, 3, 4, 1, 5, 2)) if column_first else ((deep, b, b, height, width), (0, 1, 4, 2, 5, 3))
    return rearrange(site, parts, order, (deep, height * b, width * b))


def lower_space_to_depth(site: Site) -> Sequence[Instruction]:
    """The way back: [C, H, W] -> [b * b * C, H / b, W / b]."""
    (channels, height, width), b = site.sizes(0), attribute(site.node, "blocksize", 1)
    parts = (channels, height // b, b, width // b, b)
    return rearrange(site, parts, (0, 3, 5, 1, 2, 4), (channels * b * b, height // b, width // b))


def rearrange(site: Site, parts: tuple[int, ...], order: tuple[int, ...], shape: tuple[int, ...]) -> Sequence[Instruction]:
    """Reshape, transpose, reshape."""
    apart, turned = f"{site.output} (parts)", f"{site.output} (turned)"
    return [Reshape((site.input(0),), apart, parts), Transpose((apart,), turned, order), Reshape((turned,), site.output, shape)]


RESHAPE = Operator(flow=Flow.INPUT_TO_OUTPUT, lower=lower_reshape)
OPERATORS = {
    **dict.fromkeys(("Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity", "Dropout"), RESHAPE),
    "Tile": Operator(flow=Flow.INPUT_TO_OUTPUT, lower=lower_tile),
    "Expand": Operator(flow=Flow.INPUT_TO_OUTPUT, lower=lower_expand),
    "DepthToSpace": Operator(flow=Flow.INPUT_TO_OUTPUT, lower=lower_depth_to_space),
    "SpaceToDepth": Operator(flow=Flow.INPUT_TO_OUTPUT, lower=lower_space_to_depth),
    "Transpose": Operator(flow=Flow.INPUT_TO_OUTPUT, lower=lower_transpose),
    "Slice": Operator(flow=Flow.INPUT_TO_OUTPUT, lower=lower_slice),
    "Split": Operator(flow=Flow.INPUT_TO_OUTPUT, lower=lower_split),
    "Gather": Operator(flow=Flow.INPUT_TO_OUTPUT, lower=lower_gather),
    "Pad": Operator(flow=Flow.INPUT_TO_OUTPUT, obstacle=pad_obstacle, lower=lower_pad),
    "Resize": Operator(flow=Flow.INPUT_TO_OUTPUT, obstacle=resize_obstacle, without_float=blends, lower=lower_resize),
    "Concat": Operator(flow=Flow.SHARED, lower=lower_concat),
}
