"""Choices among codes as calls of the portable kernels: the place of the largest, the places of several, what lies there."""

from bitsmith.integer.instructions import ArgMax, Pick, TopK
from bitsmith.targets.c.call import Call, Entries, Fields, Place
from bitsmith.targets.c.stored import Loops, Stored, nest


def describe_arg_max(step: ArgMax, place: Place) -> list[Call]:
    source, result = place.stored[step.inputs[0]], place.stored[step.output]
    loops = turns(step.axis, step.output, source)
    entries: Entries = {"count": loops.counts, "step": loops.steps[0], "length": source.shape[step.axis - 1],
                        "length_step": source.strides[step.axis - 1], "last": int(step.last)}
    return [Call("arg_max", {"source_t": source.c_type, "result_t": result.c_type}, Fields(entries), step.inputs, step.output,
                 f"place of the largest of {source.shape[step.axis - 1]}, {result.count} times")]


def turns(axis: int, owner: str, *tensors: Stored) -> Loops:
    """Loops over the axes that are not searched, in the order of the first tensor."""
    kept = [a for a in tensors[0].order if a != axis - 1]
    return nest([tensors[0].shape[a] for a in kept], *([t.strides[a] for a in kept] for t in tensors), depth=3, owner=owner)


def describe_top_k(step: TopK, place: Place) -> list[Call]:
    source, result = place.stored[step.inputs[0]], place.stored[step.output]
    return [Call("top_k", {"source_t": source.c_type, "result_t": result.c_type}, Fields(along(step.axis, step.output, source, result)),
                 step.inputs, step.output,
                 f"places of the {step.count} largest of {source.shape[step.axis - 1]}, {result.count // max(1, step.count)} times")]


def describe_pick(step: Pick, place: Place) -> list[Call]:
    source, places, result = (place.stored[name] for name in (*step.inputs, step.output))
    return [Call("pick", {"source_t": source.c_type, "place_t": places.c_type}, Fields(along(step.axis, step.output, source, result)),
                 step.inputs, step.output, f"{result.count} picked by place")]


def along(axis: int, owner: str, source: Stored, result: Stored) -> Entries:
    """Loops over the axes that stay, and how both lie along the other."""
    loops = turns(axis, owner, source, result)
    return {"count": loops.counts, "step": loops.steps[0], "result_step": loops.steps[1], "length": source.shape[axis - 1],
            "length_step": source.strides[axis - 1], "kept": result.shape[axis - 1], "kept_step": result.strides[axis - 1]}
