"""The place of the largest code as a call of the portable kernel."""

from bitsmith.integer.instructions import ArgMax
from bitsmith.targets.c.call import Call, Entries, Fields, Place
from bitsmith.targets.c.stored import nest


def describe_arg_max(step: ArgMax, place: Place) -> list[Call]:
    source, result, searched = place.stored[step.inputs[0]], place.stored[step.output], step.axis - 1
    kept = [axis for axis in source.order if axis != searched]
    loops = nest([source.shape[a] for a in kept], [source.strides[a] for a in kept], depth=3, owner=step.output)
    entries: Entries = {"count": loops.counts, "step": loops.steps[0], "length": source.shape[searched],
                        "length_step": source.strides[searched], "last": int(step.last)}
    return [Call("arg_max", {"source_t": source.c_type, "result_t": result.c_type}, Fields(entries), step.inputs, step.output,
                 f"place of the largest of {source.shape[searched]}, {result.count} times")]
