"""All rewrites together, on every kind of network, real ones and random ones: the same results, and nothing left to do."""

from collections import Counter
from importlib.resources import files
from pathlib import Path

import networks
import numpy as np
import onnx_ir as ir
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_graphs import check, kinds, largest_difference

from bitsmith.loading.from_onnx import load
from bitsmith.rewrites.simplify import REWRITES, simplify

FOLDED = {
    "conv_bn_relu": ["Conv", "Relu", "Conv", "Add", "Relu", "GlobalAveragePool", "Flatten", "Gemm"],
    "depthwise": ["Conv", "Clip", "Conv", "Clip", "Conv", "MaxPool"],
    "mlp": ["Gemm", "Relu", "Gemm", "Tanh", "Gemm"],
    "transposed": ["ConvTranspose", "Relu", "ConvTranspose", "Sigmoid"],
    "one_dimensional": ["Conv", "Relu", "Conv", "Relu", "AveragePool"],
    "rearranged": ["Conv", "Relu", "Split", "Slice", "Resize", "Conv", "Concat", "Pad", "Conv"],
    "nhwc": ["Transpose", "Conv", "Relu", "Transpose", "Mul", "Transpose", "Conv", "Relu", "Transpose", "ReduceMean", "Reshape",
             "Gemm", "Softmax"],
    "two_in_two_out": ["Conv", "Gemm", "Unsqueeze", "Add", "Relu", "GlobalMaxPool", "Flatten", "Concat", "Gemm"],
}  # fmt: skip


def all_at_once(graph: ir.Graph) -> bool:
    return bool(simplify(ir.Model(graph, ir_version=10)))


@pytest.mark.parametrize("opset", [9, 13, 21])
@pytest.mark.parametrize("name", networks.NETWORKS)
def test_networks_keep_their_results(name: str, opset: int) -> None:
    model = load(networks.NETWORKS[name](opset))
    before = kinds(model)
    after = check(model, all_at_once)
    assert not Counter(after) - Counter([*before, "Gemm"])
    if opset > 9:
        assert after == FOLDED.get(name, after)
    assert not {"BatchNormalization", "Identity"} & set(after)


def test_says_which_rewrites_changed_something_in_their_order() -> None:
    assert simplify(load(networks.conv_bn_relu())) == ["remove_identities", "fold_batch_norm"]
    assert simplify(load(networks.two_in_two_out())) == ["fold_scales"]
    assert simplify(load(networks.swish())) == []
    assert len({rewrite.__name__ for rewrite in REWRITES}) == len(REWRITES)


def test_same_network_same_bytes() -> None:
    written = []
    for _ in range(2):
        model = load(networks.conv_bn_relu())
        simplify(model)
        written.append(ir.to_proto(model).SerializeToString(deterministic=True))
    assert written[0] == written[1]


def test_users_names_of_weights_and_nodes_stay() -> None:
    model = load(networks.transposed())
    simplify(model)
    assert set(model.graph.initializers) == {"up1.weight", "up1.bias", "up2.weight", "up2.weight_bias"}
    assert [(node.name, node.outputs[0].name) for node in model.graph][:2] == [("/up1_out", "bn1_out"), ("/bn1_out_relu", "bn1_out_relu")]


def test_rewrites_wait_for_each_other() -> None:
    """A scale that only constant folding makes constant, behind an identity, behind a MatMul with its bias."""
    b = networks.Builder(21, 0)
    x = b.node("Identity", [b.project("input", "fc", 6, 4)], "same")
    scale = b.node("Exp", [b.vector("log_scale", 4)], "scale")
    b.batch_norm(b.node("Mul", [x, scale], "scaled"), "bn", 4)
    model = load(b.model({"input": ("batch", 6)}, {"bn_out": ("batch", 4)}))
    assert check(model, all_at_once) == ["Gemm"]
    assert set(model.graph.initializers) == {"fc.weight", "fc.bias"}


@pytest.mark.parametrize("name", ["resnet20_bn", "tiny_resnet8_bn", "tiny_dscnn_bn"])
def test_real_networks(name: str, real_folder: Path) -> None:
    path = real_folder / "models" / f"{name}.onnx"
    if not path.is_file():
        pytest.skip(f"{path.name} is not here")
    assert "BatchNormalization" not in fold_file(path)


def test_demonstration_network() -> None:
    after = fold_file(Path(str(files("bitsmith"))) / "data" / "digits.onnx")
    assert after == ["Conv", "Relu", "Conv", "Relu", "Conv", "Clip", "MaxPool", "Conv", "Relu", "Conv", "Add", "Relu",
                     "GlobalAveragePool", "Flatten", "Gemm"]  # fmt: skip


def fold_file(path: Path) -> list[str]:
    model = load(path)
    before = ir.to_proto(model)
    simplify(model)
    feeds = networks.feeds(before, samples=2)
    assert largest_difference(networks.run(before, feeds), networks.run(ir.to_proto(model), feeds)) < 1e-4
    return kinds(model)


@st.composite
def layers(draw: st.DrawFn) -> list[tuple[str, int]]:
    names = ["conv", "grouped", "transposed", "bn", "mul", "div", "add", "sub", "relu", "identity", "scalar"]
    return draw(st.lists(st.tuples(st.sampled_from(names), st.integers(0, 99)), min_size=1, max_size=7))


def append(b: networks.Builder, x: str, name: str, kind: str, channels: int) -> str:
    """One layer of the same size, on images [n, channels, 6, 6], or on vectors [n, channels] where it can be."""
    images = channels % 2 == 0
    per_channel = (channels, 1, 1) if images else (channels,)
    if kind in ("mul", "div", "add", "sub"):
        return b.node(kind.capitalize(), [x, b.constant(name, b.random.uniform(0.5, 2, per_channel))], f"{name}_out")
    if kind == "scalar":
        return b.node("Sub", [b.constant(name, 0.75), x], f"{name}_out")
    if kind == "bn":
        return b.batch_norm(x, name, channels)
    if kind in ("relu", "identity"):
        return b.node(kind.capitalize(), [x], f"{name}_out")
    if not images:
        return b.linear(x, name, channels, channels) if kind == "conv" else b.project(x, name, channels, channels)
    if kind == "transposed":
        return b.node("ConvTranspose", [x, b.weight(name, channels, channels // 2, 1, 1)], f"{name}_out", {"group": 2})
    shape = (channels, channels // (2 if kind == "grouped" else 1), 1, 1)
    return b.conv(x, name, shape, {"group": 2 if kind == "grouped" else 1})


@settings(max_examples=80, deadline=None)
@given(layers(), st.sampled_from([4, 5]))
def test_random_networks_keep_their_results(chosen: list[tuple[str, int]], channels: int) -> None:
    b = networks.Builder(21, chosen[0][1])
    x = "input"
    for i, (kind, _) in enumerate(chosen):
        x = append(b, x, f"layer{i}", kind, channels)
    b.node("Identity", [x], "output")
    shape = ("batch", channels, 6, 6) if channels % 2 == 0 else ("batch", channels)
    model = load(b.model({"input": shape}, {"output": shape}))
    after = check(model, all_at_once, tolerance=2e-5)
    if chosen[0][0] in ("conv", "grouped", "transposed"):
        assert len(after) <= 1 + sum(kind in ("conv", "grouped", "transposed", "relu") for kind, _ in chosen) + count_behind_relu(chosen)


def count_behind_relu(chosen: list[tuple[str, int]]) -> int:
    """Layers that have no product to go into: between a Relu and the next product (batch normalization may yet go forwards)."""
    count, open_to = 0, True
    for kind, _ in chosen:
        open_to = kind != "relu" and (open_to or kind in ("conv", "grouped", "transposed"))
        count += not open_to and kind not in ("relu", "identity")
    return count


def test_numbers_that_would_overflow_stay_outside() -> None:
    b = networks.Builder(21, 0)
    b.node("Mul", [b.conv("input", "conv", (2, 2, 1, 1)), b.constant("huge", np.float32(3e38))], "first")
    b.node("Mul", ["first", b.constant("tiny", np.float32(1e-38))], "output")
    b.initializers[0].CopyFrom(networks.numpy_helper.from_array(np.full((2, 2, 1, 1), 4, np.float32), "conv.weight"))
    model = load(b.model({"input": ("batch", 2, 1, 1)}, {"output": ("batch", 2, 1, 1)}))
    simplify(model)
    assert kinds(model) == ["Conv", "Mul", "Mul"]
