"""The whole application in one network: numbers as a sensor gives them go in, and the answer comes out."""

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from bitsmith.errors import DataError, LoadError
from bitsmith.graph import is_float
from bitsmith.numerics.formats import Array
from bitsmith.rewrites.edits import add_constant, unique_name

RAW = ("uint8", "int8", "uint16", "int16")
ENDS = {"arg-max": "ArgMax", "softmax": "Softmax"}
Numbers = float | Sequence[float]


def take_raw_input(network: ir.Model, kind: str, *, scale: Numbers = 1.0, mean: Numbers = 0.0, std: Numbers = 1.0) -> ir.Model:
    """A copy of the network that takes raw numbers, pixels or samples, under its input's own name: number = (raw * scale - mean) / std.

    kind              uint8, int8, uint16 or int16
    scale, mean, std  one number, or one for each channel (axis 1, or the last, whichever is that long)

    Raises DataError for numbers that fit no axis, LoadError where the network has not just one input of real numbers.
    """
    if kind not in RAW:
        raise DataError(f"Raw input is {', '.join(RAW)}, not {kind!r}.")
    copy = network.clone()
    graph, value = copy.graph, real_input(copy.graph)
    raw = ir.Value(name=value.name, type=ir.TensorType(ir.DataType[kind.upper()]), shape=value.shape)
    value.name = unique_name(graph, f"{raw.name}_numbers")
    current, nodes = raw, list[ir.Node]()
    for step, numbers in (("Cast", None), *line_of(scale, mean, std).items()):
        operands = [] if numbers is None else [add_constant(graph, f"{raw.name}_{step.lower()}", along_axis(numbers, value))]
        attributes = [ir.AttrInt64("to", ir.DataType.FLOAT)] if numbers is None else []
        made = ir.Value(name=unique_name(graph, f"{raw.name}_{step}"), type=value.type, shape=value.shape)
        nodes.append(ir.Node("", step, [current, *operands], attributes, outputs=[made], name=made.name))
        current = made
    value.replace_all_uses_with(current, replace_graph_outputs=True)
    graph.inputs[list(graph.inputs).index(value)] = raw
    current.name = value.name
    put_first(graph, nodes)
    return copy


def real_input(graph: ir.Graph) -> ir.Value:
    """The one input of real numbers."""
    found = [v for v in graph.inputs if is_float(v) and not v.is_initializer()]
    if len(found) != 1:
        raise LoadError(f"Raw input is for networks with one input of real numbers, and this one has {len(found)}; "
                        "prepend Cast, Mul and Add to each of them when you export it.")
    return found[0]


def put_first(graph: ir.Graph, nodes: list[ir.Node]) -> None:
    if len(graph):
        graph.insert_before(graph[0], nodes)
    else:
        graph.extend(nodes)


def line_of(scale: Numbers, mean: Numbers, std: Numbers) -> dict[str, Array]:
    """What to multiply by and what to add then, float64, by operator; nothing that changes nothing. Raises DataError for ill numbers."""
    parts = {"scale": np.asarray(scale, np.float64), "mean": np.asarray(mean, np.float64), "std": np.asarray(std, np.float64)}
    for name, numbers in parts.items():
        if numbers.ndim > 1 or not numbers.size or not np.isfinite(numbers).all() or (name != "mean" and not numbers.all()):
            raise DataError(f"The {name} of raw input is one finite number or one for each channel, and only a mean may be 0; "
                            f"it is {numbers.tolist()}.")
    if len({numbers.size for numbers in parts.values()} - {1}) > 1:
        raise DataError(f"Raw input has scale, mean and std of {', '.join(str(numbers.size) for numbers in parts.values())} numbers; "
                        "give one, or one for each channel.")
    factor, offset = parts["scale"] / parts["std"], -parts["mean"] / parts["std"]
    return {**({} if (factor == 1).all() else {"Mul": factor}), **({} if (offset == 0).all() else {"Add": offset})}


def along_axis(numbers: Array, value: ir.Value) -> Array:
    """float32, so shaped that it broadcasts along the input's channels."""
    if numbers.size == 1:
        return numbers.reshape(()).astype(np.float32)
    dims = [] if value.shape is None else list(value.shape)
    axis = next((a for a in (1, len(dims) - 1) if 0 < a < len(dims) and dims[a] == numbers.size), None)
    if axis is None:
        raise DataError(f"Raw input has {numbers.size} numbers for its channels, and the input is {dims}; "
                        "give one, or one for each channel.")
    return numbers.astype(np.float32).reshape([-1 if a == axis else 1 for a in range(axis, len(dims))])


def end_with(network: ir.Model, end: str) -> ir.Model:
    """A copy of the network that ends in the arg-max or the softmax over axis 1 of its one output.

    Raises DataError for other ends, LoadError where the network has several outputs, or one without classes.
    """
    if end not in ENDS:
        raise DataError(f"A network can end with {' or '.join(ENDS)}, not {end!r}.")
    copy = network.clone()
    graph = copy.graph
    rank = len(graph.outputs[0].shape or []) if len(graph.outputs) == 1 else 0
    if rank < 2 or not is_float(graph.outputs[0]):
        raise LoadError(f"An end ({end}) is for networks with one output of scores [samples, classes, ...], and this one has "
                        f"{', '.join(f'{v.name} {v.shape}' for v in graph.outputs)}.")
    value, kind = graph.outputs[0], ENDS[end]
    name = unique_name(graph, f"{value.name}_{end.replace('-', '_')}")
    dims = list(value.shape or [])
    made = ir.Value(name=name, type=value.type, shape=value.shape)
    attributes = [ir.AttrInt64("axis", 1)]
    if kind == "ArgMax":
        made.type, made.shape = ir.TensorType(ir.DataType.INT64), ir.Shape([dims[0], *dims[2:]])
        attributes.append(ir.AttrInt64("keepdims", 0))
    graph.append(ir.Node("", kind, [value], attributes, outputs=[made], name=name))
    graph.outputs[0] = made
    return copy
