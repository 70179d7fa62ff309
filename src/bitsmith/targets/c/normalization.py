"""Softmax and layer normalization as calls of the portable kernels."""

from bitsmith.integer.instructions import LayerNormalize, Softmax
from bitsmith.targets.c.call import Call, Entries, Fields, Place, Table
from bitsmith.targets.c.elementwise import growth
from bitsmith.targets.c.rounding import code_fields
from bitsmith.targets.c.stored import nest


def describe_softmax(step: Softmax, place: Place) -> list[Call]:
    """The result lies in its source's order, and over it, where rows lie one after another."""
    source, result, along = place.stored[step.inputs[0]], place.stored[step.output], step.axis - 1
    kept = [axis for axis in source.order if axis != along]
    loops = nest([source.shape[a] for a in kept], [source.strides[a] for a in kept], depth=3, owner=step.output)
    entries: Entries = {"count": loops.counts, "step": loops.steps[0], "length": source.shape[along], "length_step": source.strides[along],
                        "shift": 62 - step.bits, "fine": Table(step.low, "int32_t"), "coarse": Table(step.high, "int32_t"),
                        **code_fields(step.codes)}
    leads = {step.inputs[0]: growth(source, result)} if source.order[-1] == along else {}
    return [Call("softmax", {"source_t": source.c_type, "result_t": result.c_type}, Fields(entries), step.inputs, step.output,
                 f"softmax of {source.shape[along]} numbers, {result.count // max(1, source.shape[along])} times", leads=leads)]


def describe_normalization(step: LayerNormalize, place: Place) -> list[Call]:
    source, result, count = place.stored[step.inputs[0]], place.stored[step.output], step.gain.size
    rows = source.count // max(1, count)
    entries: Entries = {
        "rows": rows, "length": count, "fraction": step.fraction, "floor_high": step.floor >> 31,
        "floor_low": step.floor & (2**31 - 1), "shift": step.shift, "bias_shift": step.shift - step.bias_shift,
        "gain": Table(step.gain, "int32_t"), "bias": Table(step.bias, "int32_t"), **code_fields(step.codes),
    }
    return [Call("layer_normalize", {"source_t": source.c_type, "result_t": result.c_type}, Fields(entries), step.inputs, step.output,
                 f"normalization of {count} numbers, {rows} times", leads={step.inputs[0]: growth(source, result)})]
