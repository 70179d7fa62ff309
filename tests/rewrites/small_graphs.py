"""Graphs written as text with given constants, and what every rewrite must keep: results, names, types, a sound graph, idempotence."""

from collections.abc import Callable
from typing import Any

import networks
import numpy as np
import onnx
import onnx_ir as ir

from bitsmith.loading.from_onnx import load

Rewrite = Callable[[ir.Graph], bool]
HEAD = '<ir_version: 10, opset_import: ["": 21, "other": 1]> g '


def numbers(*shape: int, seed: int = 0, low: float = -1.0, high: float = 1.0) -> networks.Array:
    return np.random.default_rng([seed, *shape]).uniform(low, high, shape).astype(np.float32)


def build(text: str, inside: str = "", **constants: Any) -> ir.Model:
    """(inputs) => (outputs) { nodes ... } in the words of onnx.parser, `inside` in place of the dots. float64 constants become float32."""
    model = onnx.parser.parse_model(HEAD + text.replace("...", inside))
    for name, given in constants.items():
        array = np.asarray(given)
        array = array.astype(np.float32) if array.dtype == np.float64 else array
        model.graph.initializer.append(onnx.numpy_helper.from_array(array, name))
    return load(model)


def kinds(model: ir.Model) -> list[str]:
    return [node.op_type for node in model.graph]


def shapes_of(values: Any) -> list[tuple[str, str, str]]:
    return [(value.name, str(value.type), str(value.shape)) for value in values]


def largest_difference(one: dict[str, networks.Array], two: dict[str, networks.Array]) -> float:
    """Relative to the largest number of each result."""
    assert list(one) == list(two)
    assert [array.shape for array in one.values()] == [array.shape for array in two.values()]
    return max(float(np.max(np.abs(one[name] - two[name]), initial=0) / (np.max(np.abs(one[name]), initial=0) + 1e-30)) for name in one)


def check(model: ir.Model, rewrite: Rewrite, tolerance: float = 2e-6) -> list[str]:
    """Rewrites the model's graph in place, and gives the kinds of nodes that are left."""
    before = ir.to_proto(model)
    surface = shapes_of((*model.graph.inputs, *model.graph.outputs))
    changed = rewrite(model.graph)
    after = ir.to_proto(model)
    assert changed == (after != before), "says that it changed something just when it did"
    onnx.checker.check_model(after, full_check=True)
    assert shapes_of((*model.graph.inputs, *model.graph.outputs)) == surface
    assert all(value.type is not None and value.shape is not None for node in model.graph for value in node.outputs if value.name)
    assert_nothing_lies_about(model.graph)
    feeds = networks.feeds(before)
    assert largest_difference(networks.run(before, feeds), networks.run(after, feeds)) <= tolerance
    assert not rewrite(model.graph)
    assert ir.to_proto(model) == after
    return kinds(model)


def assert_nothing_lies_about(graph: ir.Graph) -> None:
    """Every constant is read or handed out, and is what its own value says."""
    for value in graph.initializers.values():
        assert value.uses() or value.is_graph_output(), value.name
        assert value.const_value is not None
        assert (value.const_value.name, value.dtype, value.shape) == (value.name, value.const_value.dtype, value.const_value.shape)
