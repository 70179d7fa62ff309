"""Weights that are unpacked when a file is loaded: equal bit for bit, and no DequantizeLinear is left to run."""

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import pytest
from networks import Builder

from bitsmith.targets.onnx.float_weights import unpack_at_loading


def stored(dtype: type, *, per_channel: bool, zero_point: int, second_reader: bool = False) -> onnx.ModelProto:
    """A Gemm whose weight [6, 5] is stored as codes; another Gemm reads the same weight where asked."""
    b = Builder(21, 0)
    low, high = (-128, 128) if dtype is np.int8 else (0, 256)
    codes = b.constant("w", b.random.integers(low, high, (6, 5)), dtype)
    shape = (6,) if per_channel else ()
    scale = b.constant("w_scale", b.random.uniform(0.01, 0.1, shape))
    zero = b.constant("w_zero_point", np.full(shape, zero_point), dtype)
    weight = b.node("DequantizeLinear", [codes, scale, zero], "w_dequantized", {"axis": 0} if per_channel else {})
    out = b.node("Gemm", ["input", weight], "first", {"transB": 1})
    if second_reader:
        out = b.node("Add", [out, b.node("Gemm", ["input", weight], "second", {"transB": 1})], "sum")
    b.node("Identity", [out], "output")
    return b.model({"input": ("batch", 5)}, {"output": ("batch", 6)})


def run(model: onnx.ModelProto, path: Path) -> tuple[np.ndarray, list[str]]:
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath, options.log_severity_level = str(path), 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    x = np.random.default_rng(1).normal(size=(3, 5)).astype(np.float32)
    return session.run(None, {"input": x})[0], [n.op_type for n in onnx.load(path).graph.node]


@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize(("dtype", "zero_point"), [(np.int8, 0), (np.int8, -3), (np.uint8, 128)])
def test_unpacked_weights_are_the_same_numbers(dtype: type, zero_point: int, per_channel: bool, tmp_path: Path) -> None:
    model = stored(dtype, per_channel=per_channel, zero_point=zero_point)
    network = ir.from_proto(model)
    assert unpack_at_loading(network, {"/first"})
    unpacked = ir.to_proto(network)
    onnx.checker.check_model(unpacked, full_check=True)
    before, slow = run(model, tmp_path / "before.onnx")
    after, quick = run(unpacked, tmp_path / "after.onnx")
    assert np.array_equal(before, after)
    assert "DequantizeLinear" in slow
    assert quick == ["Gemm"]


def test_codes_keep_their_name_and_type() -> None:
    network = ir.from_proto(stored(np.int8, per_channel=True, zero_point=0))
    unpack_at_loading(network, {"/first"})
    assert network.graph.initializers["w"].dtype == ir.DataType.INT8
    assert "w_scale" not in network.graph.initializers
    assert [n.op_type for n in network.graph] == ["Cast", "Mul", "Gemm", "Identity"]


@pytest.mark.parametrize("names", [set(), {"/second"}])
def test_weights_that_other_layers_read_stay(names: set[str]) -> None:
    network = ir.from_proto(stored(np.int8, per_channel=True, zero_point=0, second_reader=True))
    assert not unpack_at_loading(network, names)
    assert "DequantizeLinear" in [n.op_type for n in network.graph]


def test_weights_of_two_float_layers_are_unpacked_once() -> None:
    network = ir.from_proto(stored(np.int8, per_channel=True, zero_point=0, second_reader=True))
    assert unpack_at_loading(network, {"/first", "/second"})
    assert [n.op_type for n in network.graph].count("Mul") == 1


def in_blocks(kind: str, size: int, zero_point: int, inner: int = 5) -> onnx.ModelProto:
    """A Gemm or MatMul whose weight has a scale for every `size` of the `inner` terms of a sum."""
    b = Builder(21, 0)
    shape, axis = ((6, inner), 1) if kind == "Gemm" else ((inner, 6), 0)
    blocks = tuple(-(-length // size) if a == axis else length for a, length in enumerate(shape))
    codes = b.constant("w", b.random.integers(-8, 8, shape), np.int8)
    scale = b.constant("w_scale", b.random.uniform(0.01, 0.1, blocks))
    zero = b.constant("w_zero_point", b.random.integers(-zero_point, zero_point + 1, blocks), np.int8)
    weight = b.node("DequantizeLinear", [codes, scale, zero], "w_dequantized", {"axis": axis, "block_size": size})
    b.node("Identity", [b.node(kind, ["input", weight], "first", {"transB": 1} if kind == "Gemm" else {})], "output")
    return b.model({"input": ("batch", inner)}, {"output": ("batch", 6)})


@pytest.mark.parametrize("size", [1, 2, 5, 32])
@pytest.mark.parametrize("zero_point", [0, 3])
@pytest.mark.parametrize("kind", ["Gemm", "MatMul"])
def test_blocks_are_unpacked_to_the_same_numbers(kind: str, zero_point: int, size: int, tmp_path: Path) -> None:
    model = in_blocks(kind, size, zero_point)
    network = ir.from_proto(model)
    assert unpack_at_loading(network, {"/first"}) == (kind == "Gemm" or size < 32)
    unpacked = ir.to_proto(network)
    onnx.checker.check_model(unpacked, full_check=True)
    before, _ = run(model, tmp_path / "before.onnx")
    after, quick = run(unpacked, tmp_path / "after.onnx")
    np.testing.assert_allclose(before, after, atol=1e-6)
    assert quick == [kind] or size == 32


def test_products_that_have_a_kernel_for_blocks_keep_them(tmp_path: Path) -> None:
    network = ir.from_proto(in_blocks("MatMul", 32, 0, inner=64))
    assert not unpack_at_loading(network, {"/first"})
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath, options.log_severity_level = str(tmp_path / "o.onnx"), 3
    onnxruntime.InferenceSession(ir.to_proto(network).SerializeToString(), options, providers=["CPUExecutionProvider"])
    assert "MatMulNBits" in [n.op_type for n in onnx.load(tmp_path / "o.onnx").graph.node]


def test_activations_stay() -> None:
    b = Builder(21, 0)
    scale, zero = b.constant("s", 0.1), b.constant("z", 0, np.uint8)
    codes = b.node("QuantizeLinear", ["input", scale, zero], "codes")
    b.node("Relu", [b.node("DequantizeLinear", [codes, scale, zero], "real")], "output")
    network = ir.from_proto(b.model({"input": ("batch", 8)}, {"output": ("batch", 8)}))
    assert not unpack_at_loading(network, {"/output"})
