"""A network without its large weights: what onnx's C++ code is given to look at, so that gigabytes are never serialised."""

from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

import onnx
import onnx_ir as ir
from onnx.helper import make_tensor_value_info

from bitsmith.errors import LoadError
from bitsmith.loading.tensors import read_tensor
from bitsmith.loading.wiring import given_names

LARGE = 1024        # bytes; shapes, axes and limits are smaller, and the C++ code wants to see them
Tensors = Mapping[str, ir.TensorProtocol]
Message = TypeVar("Message", onnx.ModelProto, onnx.GraphProto)


def take_apart(model: onnx.ModelProto, folder: Path | None) -> tuple[onnx.ModelProto, Tensors]:
    """A copy whose large weights are graph inputs, and all weights by name. The model itself stays as it is."""
    if model.graph.sparse_initializer:
        raise LoadError(f"Weight '{model.graph.sparse_initializer[0].values.name}' is sparse; store it densely.")
    given_names(model.graph)
    tensors = {proto.name: read_tensor(proto, folder) for proto in model.graph.initializer}
    skeleton = copy_without(model, "graph")
    skeleton.graph.CopyFrom(copy_without(model.graph, "initializer"))
    skeleton.graph.initializer.extend(ir.to_proto(in_memory(tensor)) for tensor in tensors.values() if tensor.nbytes <= LARGE)
    inputs = {value.name for value in model.graph.input}
    for name, tensor in tensors.items():
        if tensor.nbytes > LARGE and name not in inputs:
            skeleton.graph.input.append(make_tensor_value_info(name, int(tensor.dtype), tensor.shape.numpy()))
    return skeleton, tensors


def copy_without(message: Message, left_out: str) -> Message:
    """All fields but one. (protobuf can only copy everything.)"""
    copy = type(message)()
    for field, value in message.ListFields():
        if field.name == left_out:
            continue
        if isinstance(value, str | int | bytes):
            setattr(copy, field.name, value)
        else:
            getattr(copy, field.name).MergeFrom(value)
    return copy


def take_apart_graph(model: ir.Model) -> tuple[onnx.ModelProto, Tensors]:
    """The same for a network that is already an onnx_ir one."""
    copy = model.clone()
    tensors = dict[str, ir.TensorProtocol]()
    for name, value in list(copy.graph.initializers.items()):
        if value.const_value is None:
            raise LoadError(f"Weight '{name}' has no numbers; give it some, or make it an input.")
        tensors[name] = value.const_value
        if value.const_value.nbytes <= LARGE:
            value.const_value = in_memory(value.const_value)
        else:
            del copy.graph.initializers[name]
            value.shape, value.dtype = ir.Shape(value.const_value.shape.numpy()), value.const_value.dtype
            if not value.is_graph_input():
                copy.graph.inputs.append(value)
    return ir.to_proto(copy), tensors


def in_memory(tensor: ir.TensorProtocol) -> ir.TensorProtocol:
    return ir.Tensor(tensor.numpy(), dtype=tensor.dtype, name=tensor.name) if isinstance(tensor, ir.ExternalTensor) else tensor


def put_back(graph: ir.Graph, tensors: Tensors) -> None:
    """Weights become initializers again, in their old order, and are no longer inputs."""
    values = {value.name: value for value in [*graph.inputs, *graph.initializers.values()]}
    for name, tensor in tensors.items():
        value = values[name]
        value.const_value, value.dtype, value.shape = tensor, tensor.dtype, ir.Shape(tensor.shape.numpy())
    added = {name: value for name, value in graph.initializers.items() if name not in tensors}
    graph.inputs[:] = [value for value in graph.inputs if value.name not in tensors and value.name not in added]
    graph.initializers.clear()
    for value in [*(values[name] for name in tensors), *added.values()]:
        graph.register_initializer(value)
