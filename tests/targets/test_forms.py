"""Which nodes of real graphs are left in float32, and that nothing odd in a graph stops the advice."""

from pathlib import Path

import onnx
import onnx_ir as ir
import pytest
from networks import NETWORKS, Builder

from bitsmith.targets.onnx.forms import Layers, faster_in_float

# Measured on these networks: which leading layers are faster in float32.
LEFT_IN_FLOAT = {
    "lenet300": set(),
    "lenet5": {"node_conv2d"},
    "resnet20": {"node_Conv_82"},
    "tiny_resnet8": {"node_Conv_0"},
    "tiny_dscnn": {"node_Conv_8", "node_Conv_0"},
    "mobilenet_v1_025_224": {"node_conv2d", "node_conv2d_1"},
}


def graph_of(model: onnx.ModelProto) -> ir.Graph:
    return ir.from_proto(onnx.shape_inference.infer_shapes(model, data_prop=True)).graph


def thin_then_wide(*, clamp: bool = True) -> onnx.ModelProto:
    """(3, 64, 64) -> a stem of 8 channels, then two wide convolutions with a pool between."""
    b = Builder(21, 0)
    x = b.conv("input", "stem", (8, 3, 3, 3), {"pads": [1, 1, 1, 1], "strides": [2, 2]})
    x = b.conv(b.relu(x) if clamp else x, "wide1", (64, 8, 1, 1))
    x = b.node("MaxPool", [b.relu(x)], "pooled", {"kernel_shape": [2, 2], "strides": [2, 2]})
    b.conv(x, "wide2", (64, 64, 3, 3), {"pads": [1, 1, 1, 1]})
    return b.model({"input": ("batch", 3, 64, 64)}, {"wide2_out": ("batch", 64, 16, 16)})


@pytest.mark.parametrize("name", LEFT_IN_FLOAT)
def test_real_networks_keep_their_slow_heads(name: str, real_folder: Path) -> None:
    advice = faster_in_float(graph_of(onnx.load(real_folder / "models" / f"{name}.onnx")))
    assert set(advice) == LEFT_IN_FLOAT[name]
    assert all("float32" in reason for reason in advice.values())


def test_a_thin_stem_stays_float() -> None:
    advice = faster_in_float(graph_of(thin_then_wide()))
    assert set(advice) == {"/stem_out"}
    assert "µs" in advice["/stem_out"]


def test_nameless_nodes_go_by_their_outputs() -> None:
    model = thin_then_wide()
    for node in model.graph.node:
        node.name = ""
    assert set(faster_in_float(graph_of(model))) == {"stem_out"}


def test_clamps_belong_to_the_layer_before() -> None:
    layers = Layers.of(graph_of(thin_then_wide()))
    assert set(layers.costs) == {"/stem_out", "/wide1_out", "/pooled", "/wide2_out"}
    assert [link.maker for link in layers.links] == [None, "/stem_out", "/wide1_out", "/pooled", "/wide2_out"]
    assert ("/wide1_out", "/pooled") in layers.followers
    assert ("/wide2_out", "/pooled") in layers.followers


def test_a_clamp_that_others_read_around_stands_alone() -> None:
    b = Builder(21, 0)
    x = b.conv("input", "conv", (16, 3, 3, 3))
    b.node("Add", [x, b.relu(x)], "output")
    layers = Layers.of(graph_of(b.model({"input": (1, 3, 8, 8)}, {"output": (1, 16, 6, 6)})))
    assert "/conv_out_relu" in layers.costs
    assert layers.costs["/conv_out_relu"].int8 == float("inf")


def test_a_product_may_end_in_float_for_nothing() -> None:
    b = Builder(21, 0)
    b.linear("input", "fc", 64, 10)
    layers = Layers.of(graph_of(b.model({"input": ("batch", 64)}, {"fc_out": ("batch", 10)})))
    assert [link.crossing.dequantize for link in layers.links if link.maker == "/fc_out"] == [0.0]


@pytest.mark.parametrize("name", NETWORKS)
def test_advice_names_nodes_of_the_graph(name: str) -> None:
    graph = graph_of(NETWORKS[name]())
    assert set(faster_in_float(graph)) <= {node.name for node in graph}


@pytest.mark.parametrize("name", NETWORKS)
def test_without_shapes_there_is_advice_too(name: str) -> None:
    graph = ir.from_proto(NETWORKS[name]()).graph
    assert set(faster_in_float(graph)) <= {node.name for node in graph}
