"""The door out: a network to an .onnx file, whole or not at all."""

from pathlib import Path
from typing import BinaryIO

import onnx
import onnx_ir as ir

from bitsmith.errors import BitsmithError
from bitsmith.files import write_atomically, written_beside

LARGEST_SINGLE_FILE = 2**31 - 2**24         # protobuf ends at 2 GiB
GRAPH, INITIALIZER, RAW_DATA = (
    message.DESCRIPTOR.fields_by_name[name].number
    for message, name in ((onnx.ModelProto, "graph"), (onnx.GraphProto, "initializer"), (onnx.TensorProto, "raw_data"))
)
LENGTH_FIRST = 2                            # protobuf's wire type of messages and bytes


def save(network: ir.Model, path: Path) -> list[Path]:
    """Write a network, over 2 GB with its weights beside it in `<name>.data`. Returns the files written.

    Weights go to the disk one after the other: the file is never whole in memory.
    """
    if path.suffix != ".onnx":
        raise BitsmithError(f"ONNX files end in .onnx, '{path}' does not; choose another output with -o.")
    size = sum(v.const_value.nbytes for v in network.graph.initializers.values() if v.const_value is not None)
    if size < LARGEST_SINGLE_FILE:
        with written_beside(path) as beside, beside.open("wb") as file:
            write_model(network, file)
        return [path]
    data = path.with_name(path.name + ".data")
    with written_beside(data) as beside:
        large = ir.external_data.unload_from_model(network, path.parent, beside.name)
        for value in large.graph.initializers.values():
            if isinstance(value.const_value, ir.ExternalTensor):
                value.const_value = rename_data(value.const_value, data.name)
        content = ir.to_proto(large).SerializeToString(deterministic=True)
    write_atomically(path, content)
    return [path, data]


def write_model(network: ir.Model, file: BinaryIO) -> None:
    """A model's bytes: all but the initializers, then each of these, as the last fields of the graph, which is the model's last."""
    graph = network.graph
    bare = ir.GraphView(graph.inputs, graph.outputs, nodes=list(graph), name=graph.name, doc_string=graph.doc_string,
                        opset_imports=dict(graph.opset_imports), metadata_props=dict(graph.metadata_props))
    message = ir.to_proto(with_graph(network, bare))
    rest = message.graph.SerializeToString(deterministic=True)
    message.ClearField("graph")
    tensors = [(value.name or "", value.const_value) for value in graph.initializers.values() if value.const_value is not None]
    heads = [head_of(name, tensor) for name, tensor in tensors]
    lengths = [len(head) + numbers_of(tensor) for head, (_, tensor) in zip(heads, tensors, strict=True)]
    file.write(message.SerializeToString(deterministic=True))
    file.write(opening(GRAPH, len(rest) + sum(len(opening(INITIALIZER, length)) + length for length in lengths)) + rest)
    for head, length, (_, tensor) in zip(heads, lengths, tensors, strict=True):
        file.write(opening(INITIALIZER, length) + head)
        if numbers_of(tensor):
            file.write(tensor.tobytes())


def with_graph(network: ir.Model, view: ir.GraphView) -> ir.Model:
    """The model with another view of its graph. onnx_ir writes views as it writes graphs, though the type of a model does not say so."""
    return ir.Model(view, ir_version=network.ir_version, producer_name=network.producer_name,                   # type: ignore[arg-type]
                    producer_version=network.producer_version, domain=network.domain, model_version=network.model_version,
                    doc_string=network.doc_string, functions=list(network.functions.values()), metadata_props=dict(network.metadata_props))


def numbers_of(tensor: ir.TensorProtocol) -> int:
    """Bytes that follow the tensor's head; none where it holds texts, which its head has."""
    return 0 if tensor.dtype == ir.DataType.STRING else tensor.nbytes


def head_of(name: str, tensor: ir.TensorProtocol) -> bytes:
    """The bytes of a TensorProto up to its numbers."""
    texts = [bytes(text) for text in tensor.numpy().ravel()] if tensor.dtype == ir.DataType.STRING else []
    head = onnx.TensorProto(name=name, data_type=int(tensor.dtype), dims=tensor.shape.numpy(), string_data=texts)
    count = numbers_of(tensor)
    return bytes(head.SerializeToString(deterministic=True)) + (opening(RAW_DATA, count) if count else b"")


def opening(field: int, length: int) -> bytes:
    """What stands before a field of so many bytes: its number and their count, in base 128 (protobuf's wire format)."""
    return in_base_128(field << 3 | LENGTH_FIRST) + in_base_128(length)


def in_base_128(number: int) -> bytes:
    digits = bytearray()
    while number > 127:
        digits.append(number & 127 | 128)
        number >>= 7
    return bytes([*digits, number])


def rename_data(tensor: ir.ExternalTensor, name: str) -> ir.ExternalTensor:
    """The same place in a file of another name."""
    place = (tensor.offset, tensor.length, tensor.dtype)
    return ir.ExternalTensor(name, *place, shape=tensor.shape, name=tensor.name, base_dir=tensor.base_dir)
