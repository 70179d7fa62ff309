"""A network as onnxruntime takes it: a small ONNX message, and beside it the weights, which are not copied and may lie on disk."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
from google.protobuf.message import EncodeError  # type: ignore[import-untyped]

from bitsmith.errors import LoadError
from bitsmith.loading.read_onnx import read_file
from bitsmith.loading.tensors import read_tensor
from bitsmith.loading.to_onnx import with_graph
from bitsmith.numerics.formats import Array

LARGE = 2**16       # bytes; larger weights stay outside the message, which must not reach 2 GB


@dataclass(frozen=True)
class Serialized:
    """message   the network, its large weights named but absent
    weights   those that are in memory: name -> (array, ONNX element type)
    folder    where the others lie, which onnxruntime maps into memory by itself, without copies
    """

    message: onnx.ModelProto
    weights: dict[str, tuple[Array, int]]
    folder: Path | None = None

    @property
    def weight_bytes(self) -> int:
        """Of all large weights."""
        mapped = (int(entry.value) for t in self.message.graph.initializer for entry in t.external_data if entry.key == "length")
        return sum(mapped)

    def content(self) -> bytes:
        """The message as it is handed over. Raises LoadError where it is too long."""
        try:
            return bytes(self.message.SerializeToString())
        except EncodeError:
            raise LoadError("Over 2 GB of the network are constants that are small, packed or in branches; it cannot be run.") from None

    def hand_out(self, names: Sequence[str]) -> list[str]:
        """Make those of the values that are computed its only outputs, so that nothing needless is; returns them.

        Raises LoadError for names that no changing value has.
        """
        graph = self.message.graph
        known = {value.name: value for value in graph.output}
        computed = {name for node in graph.node for name in node.output}
        wanted = [name for name in dict.fromkeys(names) if name not in fed_names(graph)]
        if unknown := [name for name in wanted if name not in computed and name not in known]:
            raise LoadError(f"No value called '{unknown[0]}' is computed by the network; `bitsmith inspect` lists those that are.")
        if wanted:
            outputs = [known.get(name, onnx.ValueInfoProto(name=name)) for name in wanted]
            del graph.output[:]
            graph.output.extend(outputs)
        return wanted


def fed_names(graph: onnx.GraphProto) -> list[str]:
    """Inputs that must be fed: older files list their weights among the inputs, too."""
    stored = {tensor.name for tensor in graph.initializer}
    return [value.name for value in graph.input if value.name not in stored]


def serialize(network: ir.Model | Path) -> Serialized:
    """From a network in memory, or from a file just as it is. Raises LoadError."""
    serialized, folder = from_file(network) if isinstance(network, Path) else from_memory(network)
    for tensor in inner_tensors(serialized.message.graph):
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            bring_in(tensor, folder)
    return serialized


def from_file(path: Path) -> tuple[Serialized, Path]:
    message, folder = read_file(path), path.parent
    for tensor in message.graph.initializer:
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            placed = read_tensor(tensor, folder)        # refused where it points out of the folder
            if stays_outside(placed):
                tensor.CopyFrom(ir.to_proto(placed))
            else:
                bring_in(tensor, folder)
    return Serialized(message, {}, folder), folder


def from_memory(network: ir.Model) -> tuple[Serialized, Path | None]:
    stored = {name: value.const_value for name, value in network.graph.initializers.items() if value.const_value is not None}
    large = {name: tensor for name, tensor in stored.items() if stays_outside(tensor)}
    folder = external_folder(network)
    message = ir.to_proto(with_graph(network, view_without(network.graph, large, folder)))
    weights = {name: (as_stored(tensor), int(tensor.dtype)) for name, tensor in large.items() if not lies_in(tensor, folder)}
    return Serialized(message, weights, folder), folder


def lies_in(tensor: ir.TensorProtocol, folder: Path | None) -> bool:
    return isinstance(tensor, ir.ExternalTensor) and folder is not None and Path(tensor.base_dir) == folder


def inner_tensors(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    """Tensors within attributes and branches: only the outermost graph's initializers can be handed over apart."""
    for attribute in (attribute for node in graph.node for attribute in node.attribute):
        yield from (attribute.t, *attribute.tensors)
        for branch in (attribute.g, *attribute.graphs):
            yield from branch.initializer
            yield from inner_tensors(branch)


def bring_in(tensor: onnx.TensorProto, folder: Path | None) -> None:
    """Put numbers from beside the file into the message."""
    tensor.CopyFrom(ir.to_proto(in_memory(read_tensor(tensor, folder))))


def stays_outside(tensor: ir.TensorProtocol) -> bool:
    return tensor.nbytes >= LARGE and tensor.dtype != ir.DataType.STRING and tensor.dtype.bitwidth % 8 == 0


def as_stored(tensor: ir.TensorProtocol) -> Array:
    """The numbers as bytes of a type that numpy itself has: bfloat16 as uint16."""
    array = np.ascontiguousarray(tensor.numpy())
    return array if array.dtype.isbuiltin == 1 else array.view(f"u{array.itemsize}")


def view_without(graph: ir.Graph, absent: dict[str, Any], folder: Path | None) -> ir.GraphView:
    """The same nodes, seen with the absent weights as references, to their places in the folder or to nowhere, and all others in memory."""

    def seen(name: str, tensor: ir.TensorProtocol) -> ir.TensorProtocol:
        if name not in absent:
            return in_memory(tensor)
        return tensor if lies_in(tensor, folder) else nowhere(tensor)

    initializers = [
        ir.Value(name=name, const_value=seen(name, value.const_value))
        for name, value in graph.initializers.items() if value.const_value is not None
    ]
    return ir.GraphView(graph.inputs, graph.outputs, nodes=list(graph), initializers=initializers, name=graph.name,
                        opset_imports=dict(graph.opset_imports))


def nowhere(tensor: ir.TensorProtocol) -> ir.ExternalTensor:
    return ir.ExternalTensor("weights", 0, tensor.nbytes, tensor.dtype, shape=tensor.shape, name=tensor.name)       # type: ignore[arg-type]


def in_memory(tensor: ir.TensorProtocol) -> ir.TensorProtocol:
    return ir.Tensor(tensor.numpy(), dtype=tensor.dtype, name=tensor.name) if isinstance(tensor, ir.ExternalTensor) else tensor


def external_folder(network: ir.Model) -> Path | None:
    """The folder of the file that the network came from, where any of its weights still lies beside that."""
    tensors = (value.const_value for graph in network.graphs() for value in graph.initializers.values())
    return next((Path(t.base_dir) for t in tensors if isinstance(t, ir.ExternalTensor)), None)
