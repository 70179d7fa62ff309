"""Finds values of negative size (a pooling window larger than its input) before onnx's shape inference meets a Slice of one.

There onnx 1.23 ends the whole process, so such a value must be found while that Slice is hidden.
"""

import onnx

from bitsmith.errors import LoadError
from bitsmith.loading.propagation import may_follow_numbers
from bitsmith.loading.wiring import all_graphs, all_nodes, say, subgraphs

ASIDE = "bitsmith.aside"        # a domain that nobody's code knows

# Operators that can give a negative size to a result, though their inputs have none.
SHRINKING = {"AveragePool", "CenterCropPad", "Col2Im", "Conv", "ConvInteger", "ConvTranspose", "DeformConv", "LpPool", "MaxPool",
             "MaxRoiPool", "MaxUnpool", "Pad", "QLinearConv", "Resize", "Upsample"}


def forget_negative_sizes(model: onnx.ModelProto) -> None:
    """Sizes that the file itself gives as negative (some exporters write -1 for a free batch) become unknown. Changes the model."""
    for graph in all_graphs(model.graph):
        for value in [*graph.input, *graph.output, *graph.value_info]:
            forget(value.type)
    for function in model.functions:
        for value in function.value_info:
            forget(value.type)


def forget(kind: onnx.TypeProto) -> None:
    which = kind.WhichOneof("value")
    if which in ("sequence_type", "optional_type"):
        forget(getattr(kind, which).elem_type)
    elif which in ("tensor_type", "sparse_tensor_type"):
        for dim in getattr(kind, which).shape.dim:
            if dim.dim_value < 0:
                dim.ClearField("dim_value")


def refuse_negative_sizes(model: onnx.ModelProto) -> bool:
    """Raises LoadError naming the node that makes a value of negative size and hands it, by whatever way, to a Slice.

    Slices come into sight stage by stage: those of one stage when all that can shrink before them has been seen. Leaves the model as it is.
    Returns whether it could follow numbers; where it could not, negative sizes that are computed stay unseen, and must stay so.
    """
    follow = True
    stages = dict[str, int]()
    count_stages(model.graph, stages, dict[str, int](), 0)
    for stage in range(max(stages.values(), default=-1) + 1):
        shown = onnx.ModelProto()
        shown.CopyFrom(model)
        shown.opset_import.append(onnx.helper.make_opsetid(ASIDE, 1))
        for node in all_nodes(shown.graph):
            if node.op_type == "Slice" and stages[node.output[0]] >= stage:
                node.domain = ASIDE
        follow = follow and may_follow_numbers(shown)
        refuse_where_known(onnx.shape_inference.infer_shapes(shown, data_prop=follow))
    return follow


def count_stages(graph: onnx.GraphProto, stages: dict[str, int], counts: dict[str, int], floor: int) -> int:
    """Fills in, by its output, how often on the longest path to a Slice a shrinking node follows another Slice.

    `counts` holds for each value twice that number, and one more behind a Slice; no value of the graph has less than `floor`.
    Returns the most.
    """
    most = floor
    for node in graph.node:
        count = max((counts.get(name, floor) for name in node.input), default=floor)
        for inner in subgraphs(node):
            count = max(count, count_stages(inner, stages, counts, count))
        if node.op_type in SHRINKING:
            count += count % 2
        if node.op_type == "Slice":
            stages[node.output[0]] = max(count // 2, stages.get(node.output[0], 0))
            count |= 1
        counts.update({name: max(count, counts.get(name, 0)) for name in node.output})
        most = max(most, count)
    return most


def refuse_where_known(model: onnx.ModelProto) -> None:
    """Raises LoadError for a value whose inferred size is negative."""
    for graph in all_graphs(model.graph):
        sizes = {value.name: value.type.tensor_type.shape.dim for value in [*graph.value_info, *graph.output]}
        for node in graph.node:
            for name in node.output:
                if any(dim.dim_value < 0 for dim in sizes.get(name, ())):
                    shape = ", ".join(str(dim.dim_value) if dim.HasField("dim_value") else dim.dim_param or "?" for dim in sizes[name])
                    raise LoadError(f"{say(node)} gives '{name}' the shape [{shape}]; its window or padding does not fit its input.")
