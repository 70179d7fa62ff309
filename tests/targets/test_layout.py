"""Transposes around images that were just quantized: results are the same, and ONNX Runtime moves fewer of its own."""

from collections import Counter
from pathlib import Path

import networks
import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
from networks import Builder

import bitsmith as bs
from bitsmith.targets.onnx.layout import keep_channels_last

ZERO, SCALE = np.uint8(0), np.float32(0.02)


class Coded(Builder):
    """Writes Q/DQ with one scale everywhere."""

    def coded(self, x: str) -> str:
        scale, zero = self.constant(f"{x}_scale", SCALE), self.constant(f"{x}_zero", ZERO, np.uint8)
        codes = self.node("QuantizeLinear", [x, scale, zero], f"{x}_quantized")
        return self.node("DequantizeLinear", [codes, scale, zero], f"{x}_dequantized")

    def int8_conv(self, x: str, name: str, channels: int) -> str:
        codes = self.constant(f"{name}.weight", self.random.integers(-127, 128, (channels, channels, 3, 3)), np.int8)
        zero, scale = self.constant(f"{name}_zero", 0, np.int8), self.constant(f"{name}_scale", 0.001)
        weight = self.node("DequantizeLinear", [codes, scale, zero], f"{name}_weight")
        out = self.node("Conv", [x, weight], f"{name}_out", {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]})
        return self.coded(self.relu(out))


def stem_in_float(*, residual: bool, height: int | str = 8) -> onnx.ModelProto:
    """A float convolution, its codes, an int8 convolution, and an Add that reads the first codes too where `residual`."""
    b = Coded(21, 0)
    first = b.coded(b.relu(b.conv("input", "stem", (16, 3, 3, 3), {"pads": [1, 1, 1, 1]})))
    x = b.int8_conv(first, "body", 16)
    if residual:
        x = b.coded(b.relu(b.node("Add", [x, first], "sum")))
        x = b.int8_conv(x, "tail", 16)
    b.node("Identity", [x], "output")
    return b.model({"input": ("batch", 3, height, 8)}, {"output": ("batch", 16, height, 8)})


def laid_out(model: onnx.ModelProto, in_float: frozenset[str] = frozenset()) -> tuple[onnx.ModelProto, bool]:
    network = ir.from_proto(onnx.shape_inference.infer_shapes(model))
    changed = keep_channels_last(network, in_float)
    return ir.to_proto(network), changed


def run(model: onnx.ModelProto, x: np.ndarray, optimised: Path) -> tuple[np.ndarray, Counter[str]]:
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath, options.log_severity_level = str(optimised), 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(None, {"input": x})[0], Counter(n.op_type for n in onnx.load(optimised).graph.node)


def test_results_are_the_same_with_fewer_transposes(tmp_path: Path) -> None:
    model = stem_in_float(residual=True)
    changed_model, changed = laid_out(model)
    x = np.random.default_rng(0).normal(size=(2, 3, 8, 8)).astype(np.float32)
    before, plain = run(model, x, tmp_path / "before.onnx")
    after, kept = run(changed_model, x, tmp_path / "after.onnx")
    assert changed
    assert np.array_equal(before, after)
    assert kept["QLinearConv"] == plain["QLinearConv"] == 2
    assert kept["QLinearAdd"] == plain["QLinearAdd"] == 1
    assert kept["Transpose"] < plain["Transpose"]


def test_once_is_enough() -> None:
    network = ir.from_proto(laid_out(stem_in_float(residual=True))[0])
    assert not keep_channels_last(network, frozenset())


def test_the_file_is_valid_onnx() -> None:
    onnx.checker.check_model(laid_out(stem_in_float(residual=True))[0], full_check=True)


def test_codes_that_convolutions_alone_read_stay() -> None:
    model, changed = laid_out(stem_in_float(residual=False))
    assert not changed
    assert not [n for n in model.graph.node if n.op_type == "Transpose"]


def test_only_float_images_that_were_computed_are_turned() -> None:
    model, _ = laid_out(stem_in_float(residual=True))
    turned = [n.input[0] for n in model.graph.node if n.op_type == "Transpose" and n.input[0].endswith("_quantized")]
    assert turned == ["stem_out_relu_quantized"]


def test_a_layer_left_in_float_between_codes_is_seen_by_its_name() -> None:
    model, _ = laid_out(stem_in_float(residual=True), frozenset({"/body_out"}))
    turned = [n.input[0] for n in model.graph.node if n.op_type == "Transpose" and n.input[0].endswith("_quantized")]
    assert turned == ["stem_out_relu_quantized", "body_out_relu_quantized"]


def test_images_of_open_size_stay() -> None:
    assert not laid_out(stem_in_float(residual=True, height="height"))[1]


def test_an_input_that_is_quantized_at_once_stays() -> None:
    b = Coded(21, 0)
    x = b.coded("input")
    b.node("Add", [b.int8_conv(x, "body", 16), x], "output")
    assert not laid_out(b.model({"input": ("batch", 16, 8, 8)}, {"output": ("batch", 16, 8, 8)}))[1]


def test_attention_heads_are_no_images() -> None:
    """Four axes, but no convolution anywhere: turning them there and back would only cost."""
    model = networks.attention()
    network = bs.quantize(model, networks.feeds(model, 4), recipe=bs.recipes.int8().with_everything()).network
    assert not any((node.name or "").endswith("_turned") for node in network.graph)
