"""May shape inference follow numbers through a network? It keeps one message for each number of any value with a single axis,
so that a file of a hundred bytes can ask for all the memory there is."""

from collections.abc import Iterator

import onnx

from bitsmith.loading.wiring import all_graphs

LONGEST = 2**20     # numbers of one value with a single axis; each takes some 50 bytes
MOST_PROBES = 32
GROWING = {"ConstantOfShape", "Expand", "Tile", "Range", "Concat"}     # may be long because of numbers that the network computes


def may_follow_numbers(model: onnx.ModelProto) -> bool:
    """False where a value of a single axis is longer than LONGEST, or might be.

    Lengths that stand in the file are found by inferring shapes alone. Those that are computed are found one after the other,
    by following numbers just through the nodes before.
    """
    if any(node.op_type in GROWING - {"Concat"} for graph in list(all_graphs(model.graph))[1:] for node in graph.node):
        return False
    inferred = onnx.shape_inference.infer_shapes(model)
    if too_long(inferred):
        return False
    ranks = {value.name: len(value.type.tensor_type.shape.dim) for value in known_shapes(inferred)}
    lengths = {value.name for value in known_shapes(inferred) if all(dim.HasField("dim_value") for dim in value.type.tensor_type.shape.dim)}
    unknown = [index for index, node in enumerate(model.graph.node)
               if node.op_type in GROWING and node.output[0] not in lengths and ranks.get(node.output[0], 1) == 1]
    return len(unknown) <= MOST_PROBES and not any(too_long(follow_to(model, index)) for index in unknown)


def known_shapes(model: onnx.ModelProto) -> Iterator[onnx.ValueInfoProto]:
    """All values whose number of axes is known."""
    for value in (*model.graph.input, *model.graph.value_info, *model.graph.output):
        if value.type.HasField("tensor_type") and value.type.tensor_type.HasField("shape"):
            yield value


def too_long(inferred: onnx.ModelProto) -> bool:
    shapes = (value.type.tensor_type.shape.dim for value in known_shapes(inferred))
    return any(len(dims) == 1 and dims[0].dim_value > LONGEST for dims in shapes)


def follow_to(model: onnx.ModelProto, index: int) -> onnx.ModelProto:
    """Shapes inferred with numbers, of the nodes up to this one. All before it is known to be short."""
    front = onnx.ModelProto()
    front.CopyFrom(model)
    del front.graph.node[index + 1:]
    del front.graph.output[:]
    return onnx.shape_inference.infer_shapes(front, data_prop=True)
