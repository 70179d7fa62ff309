"""Shapes of a network's values: inferred anew, and refused where a weight does not fit."""

import re

import onnx
import onnx_ir as ir
from onnx.helper import make_tensor_value_info

from bitsmith.errors import LoadError
from bitsmith.loading.negative_sizes import refuse_negative_sizes, refuse_where_known
from bitsmith.loading.propagation import may_follow_numbers
from bitsmith.loading.wiring import all_graphs


def lacks_shape(output: onnx.ValueInfoProto) -> bool:
    kind = output.type.WhichOneof("value")
    return kind is None or (kind == "tensor_type" and not output.type.tensor_type.HasField("shape"))


def check_model(model: onnx.ModelProto) -> None:
    """onnx's own check, but an output may lack its type and shape, as some exporters and every runtime have it. Raises what onnx raises."""
    for given in model.graph.input:
        if lacks_shape(given):
            raise LoadError(f"The network's input '{given.name}' has no shape; export it with one (any dimension may be a name).")
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    for graph in all_graphs(copy.graph):
        for output in filter(lacks_shape, graph.output):
            output.CopyFrom(make_tensor_value_info(output.name, onnx.TensorProto.FLOAT, []))
    onnx.checker.check_model(copy)


def infer_shapes(model: onnx.ModelProto) -> onnx.ModelProto:
    """Types and shapes of all values, found from the inputs on. Changes the model; returns it completed.

    What the file says of its own standard operators is not asked: a stale batch size there would survive. Of operators outside the
    standard, and of outputs that cannot be inferred, the file is believed.
    """
    stranger = {name for node in model.graph.node if node.domain for name in node.output}
    believed = [value for value in model.graph.value_info if value.name in stranger]
    declared = [onnx.ValueInfoProto.FromString(output.SerializeToString()) for output in model.graph.output]
    del model.graph.value_info[:]
    model.graph.value_info.extend(believed)
    for output in model.graph.output:
        if output.name not in stranger:
            output.type.tensor_type.ClearField("shape")
    follow = refuse_negative_sizes(model) and may_follow_numbers(model)
    inferred = infer_strictly(model, follow)
    refuse_where_known(inferred)
    for output, said in zip(inferred.graph.output, declared, strict=True):
        believe(output, said)
    return inferred


def believe(output: onnx.ValueInfoProto, said: onnx.ValueInfoProto) -> None:
    """What was said of an output, where nothing was inferred: the whole of it, or single dimensions."""
    if lacks_shape(output):
        output.CopyFrom(said)
        return
    inferred, declared = output.type.tensor_type.shape.dim, said.type.tensor_type.shape.dim
    for dim, other in zip(inferred, declared, strict=False):
        unknown = not dim.HasField("dim_value") and (not dim.dim_param or dim.dim_param.startswith("unk__"))
        if unknown and len(inferred) == len(declared):
            dim.CopyFrom(other)


def infer_strictly(model: onnx.ModelProto, follow: bool) -> onnx.ModelProto:
    """Raises InferenceError for the first node whose inputs do not fit. Where onnx cannot look into the body of one of its own composed
    operators (MeanVarianceNormalization), that operator's shape stays unknown instead. `follow`: numbers, too, not only shapes."""
    try:
        return onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=follow)
    except onnx.shape_inference.InferenceError as error:
        kind = re.search(r"op_type:(\w+)", str(error))
        if kind and onnx.defs.has(kind[1]) and onnx.defs.get_schema(kind[1]).has_function:
            return onnx.shape_inference.infer_shapes(model, data_prop=follow)
        raise


def check_convolutions(graph: ir.Graph) -> None:
    """Weights of convolutions fit their inputs and attributes; onnx's shape inference does not look. Raises LoadError."""
    for node in graph.all_nodes():
        if node.op_type not in ("Conv", "ConvTranspose") or node.domain or len(node.inputs) < 2:
            continue
        x, w = node.inputs[0], node.inputs[1]
        if x is None or w is None or x.shape is None or w.shape is None:
            continue
        groups, kernel = node.attributes.get_int("group", 1), node.attributes.get_ints("kernel_shape", list(w.shape[2:]))
        what = f"{node.op_type} '{node.name}' has a weight '{w.name}' of shape {list(w.shape)}"
        if w.shape.rank() != x.shape.rank() or list(w.shape[2:]) != list(kernel):
            raise LoadError(f"{what}, and the input has {x.shape.rank()} axes, the kernel is said to be {list(kernel)}.")
        needed = w.shape[1] * groups if node.op_type == "Conv" else w.shape[0]
        if isinstance(x.shape[1], int) and x.shape[1] != needed:
            raise LoadError(f"{what}, which is for {needed} channels; it is given {x.shape[1]}.")
