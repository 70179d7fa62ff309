"""Gives every reader of an int8 weight its own: where a processor has no VNNI, onnxruntime turns weights to uint8, each name only once."""

from collections import defaultdict
from collections.abc import Iterator

import onnx

from bitsmith.running.serialized import Serialized

UNPACK = "DequantizeLinear"


def unshare_weights(serialized: Serialized) -> None:
    """Within the message; large weights, which lie outside it, are only named twice."""
    graph = serialized.message.graph
    stored = {tensor.name: tensor for tensor in graph.initializer if tensor.data_type == onnx.TensorProto.INT8}
    if not stored:
        return
    nodes = list(unpack_for_each(graph, set(stored)))
    del graph.node[:]
    graph.node.extend(nodes)
    seen: dict[str, int] = defaultdict(int)
    for node in graph.node:
        for index, name in enumerate(node.input):
            if name in stored:
                if seen[name]:
                    node.input[index] = copy_weight(serialized, stored[name], seen[name])
                seen[name] += 1


def unpack_for_each(graph: onnx.GraphProto, weights: set[str]) -> Iterator[onnx.NodeProto]:
    """The nodes; one that dequantizes a weight for several readers, or for an output, too, comes once for each of them."""
    handed_out = {value.name for value in graph.output}
    readers: dict[str, list[tuple[onnx.NodeProto, int]]] = defaultdict(list)
    for node in graph.node:
        for index, name in enumerate(node.input):
            readers[name].append((node, index))
    for node in graph.node:
        yield node
        if node.op_type == UNPACK and node.input[0] in weights:
            for number, (reader, index) in enumerate(readers[node.output[0]][node.output[0] not in handed_out:], 1):
                copy = onnx.NodeProto()
                copy.CopyFrom(node)
                copy.name, copy.output[0] = f"{node.name} (for reader {number})", f"{node.output[0]} (for reader {number})"
                reader.input[index] = copy.output[0]
                yield copy


def copy_weight(serialized: Serialized, tensor: onnx.TensorProto, number: int) -> str:
    """The name of one more weight that is the same."""
    name = f"{tensor.name} (copy {number})"
    copy = serialized.message.graph.initializer.add()
    copy.CopyFrom(tensor)
    copy.name = name
    if tensor.name in serialized.weights:
        serialized.weights[name] = serialized.weights[tensor.name]
    return name
