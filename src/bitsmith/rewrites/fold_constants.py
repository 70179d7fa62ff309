"""What can be computed without an input is computed once, here. onnxruntime computes it, as it would have later."""

from math import prod

import numpy as np
import onnx
import onnx_ir as ir

from bitsmith.errors import LoadError
from bitsmith.graph import attribute, constant, input_at
from bitsmith.numerics.formats import Array
from bitsmith.rewrites.edits import discard, holds_graph, replace, store

KEPT = {
    "QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear",      # a quantized network stays the one that it is
    "RandomNormalLike", "RandomUniformLike", "Multinomial", "Bernoulli", "Dropout",
}  # fmt: skip
SELECTING = {"NonZero", "Compress", "Unique"}       # how many, only computing tells; never many more than they get
LARGE, GROWTH = 2**20, 4        # bytes; results over this, and as many times larger than all operands, are better computed each time

NUMPY_HAS = {
    ir.DataType.FLOAT, ir.DataType.DOUBLE, ir.DataType.FLOAT16, ir.DataType.BOOL,
    ir.DataType.INT8, ir.DataType.INT16, ir.DataType.INT32, ir.DataType.INT64,
    ir.DataType.UINT8, ir.DataType.UINT16, ir.DataType.UINT32, ir.DataType.UINT64,
}  # fmt: skip


def fold_constants(graph: ir.Graph) -> bool:
    """Nodes of ONNX's own, without subgraphs, whose operands are all constant, and the sizes of shapes that are known.

    The folded value keeps its name. One that is a result stays a node, as does what onnxruntime cannot compute.
    """
    folded = False
    for node in list(graph):
        if node.graph is graph and is_foldable(node) and (arrays := compute(graph, node)) is not None:
            put_back(graph, node, arrays)
            folded = True
    return folded


def is_foldable(node: ir.Node) -> bool:
    """It means the same each time, and each of its outputs is an array of numbers that is not handed out."""
    if node.domain or not node.inputs or node.op_type in KEPT or holds_graph(node):
        return False
    return not any(value.is_graph_output() or (value.uses() and not holds_numbers(value)) for value in node.outputs)


def holds_numbers(value: ir.Value) -> bool:
    return isinstance(value.type, ir.TensorType) and value.dtype in NUMPY_HAS


def compute(graph: ir.Graph, node: ir.Node) -> list[Array] | None:
    """The node's outputs; None where they depend on an input, are large, or cannot be computed."""
    if (sizes := read_sizes(node)) is not None:
        return [sizes]
    if any(value is not None and constant(value) is None for value in node.inputs) or not is_small(graph, node):
        return None
    try:
        return run_alone(graph, node)
    except LoadError:
        return None


def read_sizes(node: ir.Node) -> Array | None:
    """What Shape, Size, or a Gather behind a Shape finds out, where shape inference did before."""
    first = input_at(node, 0)
    if first is None:
        return None
    if node.op_type == "Shape":
        return as_sizes(read_shape(node))
    if node.op_type == "Size" and first.shape is not None:
        sizes = as_sizes(list(first.shape))
        return None if sizes is None else np.array(prod(sizes.tolist()), np.int64)
    return gather_sizes(node, first)


def read_shape(node: ir.Node) -> list[int | ir.SymbolicDim]:
    """The dimensions that a Shape gives, from its start to its end; [None] stands for an unknown rank."""
    shape = node.inputs[0].shape if node.inputs[0] is not None else None
    return [ir.SymbolicDim(None)] if shape is None else list(shape)[attribute(node, "start", 0):attribute(node, "end", None)]


def as_sizes(dims: list[int | ir.SymbolicDim]) -> Array | None:
    sizes = [dim for dim in dims if isinstance(dim, int)]
    return np.array(sizes, np.int64) if len(sizes) == len(dims) else None


def gather_sizes(node: ir.Node, first: ir.Value) -> Array | None:
    """Some dimensions are known even where the batch size is not."""
    shape, wanted = first.producer(), constant(input_at(node, 1))
    if node.op_type != "Gather" or shape is None or shape.op_type != "Shape" or shape.domain or wanted is None:
        return None
    dims = read_shape(shape)
    if not all(-len(dims) <= index < len(dims) for index in wanted.ravel()):
        return None
    sizes = as_sizes([dims[index] for index in wanted.ravel()])
    return None if sizes is None else sizes.reshape(wanted.shape)


def is_small(graph: ir.Graph, node: ir.Node) -> bool:
    """Judged before anything is computed: an Expand of one number may ask for any amount of memory."""
    given = sum(value.const_value.nbytes for value in node.inputs if value is not None and value.const_value is not None)
    if node.op_type in SELECTING:
        return given <= LARGE
    shapes = [known_dims(value) for value in node.outputs]
    if None in shapes:
        shapes = infer_dims(graph, node)
    limit = max(LARGE, GROWTH * given)
    return all(dims is not None and prod(dims) * size_of(value) <= limit for dims, value in zip(shapes, node.outputs, strict=True))


def size_of(value: ir.Value) -> int:
    """Bytes of one element."""
    return 1 if value.dtype is None else max(1, value.dtype.bitwidth // 8)


def known_dims(value: ir.Value) -> list[int] | None:
    dims = [None] if value.shape is None else list(value.shape)
    return [dim for dim in dims if isinstance(dim, int)] if all(isinstance(dim, int) for dim in dims) else None


def infer_dims(graph: ir.Graph, node: ir.Node) -> list[list[int] | None]:
    """By onnx, from the operands' numbers, which may themselves have been folded just now."""
    operands = {value.name or "": value.const_value for value in node.inputs if value is not None and value.const_value is not None}
    schema = onnx.defs.get_schema(node.op_type, graph.opset_imports[""], "")
    types = {name: onnx.helper.make_tensor_type_proto(int(held.dtype), held.shape.numpy()) for name, held in operands.items()}
    numbers = {name: ir.to_proto(held) for name, held in operands.items() if held.nbytes <= 1024}
    try:
        found = onnx.shape_inference.infer_node_outputs(schema, ir.to_proto(node), types, numbers)
    except onnx.shape_inference.InferenceError:
        return [None] * len(node.outputs)
    return [read_dims(found.get(value.name)) if value.name else [] for value in node.outputs]


def read_dims(found: onnx.TypeProto | None) -> list[int] | None:
    if found is None or not found.tensor_type.HasField("shape"):
        return None
    dims = found.tensor_type.shape.dim
    return [dim.dim_value for dim in dims] if all(dim.HasField("dim_value") for dim in dims) else None


def run_alone(graph: ir.Graph, node: ir.Node) -> list[Array]:
    """A network of this one node. Raises LoadError where onnxruntime cannot run it."""
    from bitsmith.running.session import Session

    held = {value.name: ir.Value(name=value.name, const_value=value.const_value, type=value.type, shape=value.shape)
            for value in node.inputs if value is not None}
    outputs = [ir.Value(name=value.name, type=value.type) for value in node.outputs]
    alone = ir.Node("", node.op_type, [None if value is None else held[value.name] for value in node.inputs],
                    list(node.attributes.values()), outputs=outputs, name=node.name)
    named = [value for value in outputs if value.name]
    network = ir.Graph([], named, nodes=[alone], initializers=list(held.values()), opset_imports=dict(graph.opset_imports), name="constant")
    computed = Session(ir.Model(network, ir_version=10), optimise=False, threads=1).run({})
    return [computed[value.name] if value.name else np.empty(0) for value in outputs]


def put_back(graph: ir.Graph, node: ir.Node, arrays: list[Array]) -> None:
    """Initializers of the same names take the places of the outputs that anybody reads."""
    read = [(value, array) for value, array in zip(node.outputs, arrays, strict=True) if value.uses()]
    for value, array in read:
        made = ir.Value(name=value.name)
        store(made, array)
        graph.register_initializer(made)
        replace(value, made)
    discard(node)
