"""When shape inference may follow numbers: nearly always, but not where a value would be longer than memory."""

from typing import Any

import networks
import numpy as np
import onnx
import pytest

from bitsmith.loading.from_onnx import load
from bitsmith.loading.propagation import LONGEST, MOST_PROBES, may_follow_numbers

ONE = onnx.helper.make_tensor("v", onnx.TensorProto.INT64, [1], [1])


def network(nodes: list[onnx.NodeProto], numbers: dict[str, Any], samples: int | str = "n") -> onnx.ModelProto:
    """x [samples, 4] -> y."""
    value = onnx.helper.make_tensor_value_info
    weights = [onnx.numpy_helper.from_array(np.array(number), name) for name, number in numbers.items()]
    graph = onnx.helper.make_graph(nodes, "g", [value("x", 1, [samples, 4])], [value("y", 7, None)], weights)
    return onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 21)], ir_version=10)


def node(kind: str, inputs: str, output: str, **attributes: Any) -> onnx.NodeProto:
    return onnx.helper.make_node(kind, inputs.split(), [output], **attributes)


def filled(size: str, output: str = "y") -> onnx.NodeProto:
    return node("ConstantOfShape", size, output, value=ONE)


@pytest.mark.parametrize("name", sorted(networks.NETWORKS))
def test_usual_networks_are_followed(name: str) -> None:
    assert may_follow_numbers(networks.NETWORKS[name](21))


@pytest.mark.parametrize(("length", "followed"), [(7, True), (LONGEST, True), (LONGEST + 1, False), (2**40, False)])
def test_lengths_that_stand_in_the_file(length: int, followed: bool) -> None:
    assert may_follow_numbers(network([filled("s")], {"s": [length]})) is followed


@pytest.mark.parametrize(("factor", "followed"), [(2**5, True), (2**10, True), (2**11, False), (2**30, False)])
def test_lengths_that_are_computed(factor: int, followed: bool) -> None:
    product = [node("Mul", "f f", "s"), filled("s", "c"), node("Mul", "c c", "y")]
    assert may_follow_numbers(network(product, {"f": [factor]})) is followed


def test_lengths_that_come_from_a_computed_length() -> None:
    """The sum of so many ones is a length again, found only when the first is known to be short."""
    chain = [node("Mul", "f f", "s"), filled("s", "c"), node("Concat", "c f", "d", axis=0), node("Gather", "d last", "e"), filled("e")]
    assert may_follow_numbers(network(chain, {"f": [4], "last": [-1]}))
    assert not may_follow_numbers(network(chain, {"f": [2**10 + 1], "last": [-1]}))


def test_lengths_that_only_data_tell_are_no_obstacle() -> None:
    assert may_follow_numbers(network([node("Shape", "x", "s"), node("Expand", "o s", "y")], {"o": 1}))


def test_a_long_input() -> None:
    nodes = [node("Shape", "x", "s", start=0, end=1), filled("s")]
    assert may_follow_numbers(network(nodes, {}, samples=100))
    assert not may_follow_numbers(network(nodes, {}, samples=2**40))


def test_values_of_several_axes_may_be_large() -> None:
    assert may_follow_numbers(network([node("Expand", "o s", "y")], {"o": 1, "s": [2**20, 2**20]}))


def test_too_many_unknown_lengths_are_not_tried_one_by_one() -> None:
    nodes = [node("NonZero", "x", "z"), node("Shape", "z", "s", start=1), *(filled("s", f"c{i}") for i in range(MOST_PROBES + 1))]
    many = network([*nodes, node("Identity", "c0", "y")], {})
    assert not may_follow_numbers(many)
    del many.graph.node[2]
    many.graph.node[-1].input[0] = "c1"
    assert may_follow_numbers(many)


def test_lengths_in_branches_are_not_trusted() -> None:
    value = onnx.helper.make_tensor_value_info
    branches = {name: onnx.helper.make_graph([filled("s", name)], name, [], [value(name, 7, None)]) for name in ("a", "b")}
    inner = node("If", "c", "y", then_branch=branches["a"], else_branch=branches["b"])
    assert not may_follow_numbers(network([inner], {"s": [2], "c": True}))


def test_shapes_are_still_found_where_numbers_are_not_followed() -> None:
    nodes = [filled("s", "c"), node("Cast", "c", "f", to=1), node("ReduceSum", "f", "r", keepdims=0), node("Add", "x r", "a")]
    model = network([*nodes, node("Cast", "a", "y", to=7)], {"s": [2**40]})
    (output,) = load(model).graph.outputs
    assert [str(size) for size in output.shape] == ["n", "4"]
