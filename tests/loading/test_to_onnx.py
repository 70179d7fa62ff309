"""Files are written weight by weight, and are what ONNX's own package would have written."""

from pathlib import Path

import ml_dtypes
import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import helper, numpy_helper

import bitsmith as bs
from bitsmith.errors import BitsmithError
from bitsmith.loading import to_onnx
from bitsmith.loading.to_onnx import in_base_128, save
from tests.networks import attention, conv_bn_relu, feeds, run, tokens

ARRAYS = {
    "floats": np.arange(6, dtype=np.float32).reshape(2, 3), "halves": np.ones((3,), np.float16), "nothing": np.zeros((0, 4), np.float32),
    "one": np.float32(7), "sizes": np.array([1, -1], np.int64), "truths": np.array([True, False]), "bytes": np.arange(200, dtype=np.uint8),
}


def holding(**tensors: ir.TensorProtocol) -> ir.Model:
    """A network that hands out its constants."""
    values = [ir.Value(name=name, const_value=tensor, type=ir.TensorType(tensor.dtype), shape=ir.Shape(tensor.shape.numpy()))
              for name, tensor in tensors.items()]
    nodes = [ir.Node("", "Identity", [v], num_outputs=1, name=f"{v.name}_node") for v in values]
    for node, value in zip(nodes, values, strict=True):
        node.outputs[0].name, node.outputs[0].type, node.outputs[0].shape = f"{value.name}_out", value.type, value.shape
    graph = ir.Graph([], [n.outputs[0] for n in nodes], nodes=nodes, initializers=values, opset_imports={"": 21}, name="holder",
                     doc_string="said", metadata_props={"key": "value"})
    return ir.Model(graph, ir_version=10, producer_name="who", metadata_props={"a": "b"})


def test_every_kind_of_weight_comes_back(tmp_path: Path) -> None:
    packed = ir.tensor(np.arange(-3, 4).astype(ml_dtypes.int4), dtype=ir.DataType.INT4, name="packed")
    tensors = {name: ir.tensor(array, name=name) for name, array in ARRAYS.items()}
    network = holding(**tensors, packed=packed, brains=ir.tensor(np.ones(5, ml_dtypes.bfloat16), name="brains"))
    save(network, tmp_path / "net.onnx")
    found = onnx.load(tmp_path / "net.onnx")
    onnx.checker.check_model(found, full_check=True)
    assert [t.name for t in found.graph.initializer] == list(network.graph.initializers)
    for tensor in found.graph.initializer:
        expected = network.graph.initializers[tensor.name].const_value
        assert expected is not None
        np.testing.assert_array_equal(numpy_helper.to_array(tensor), expected.numpy())
    assert (found.producer_name, found.graph.doc_string, found.graph.name) == ("who", "said", "holder")
    assert {p.key: p.value for p in (*found.metadata_props, *found.graph.metadata_props)} == {"a": "b", "key": "value"}


def test_texts_come_back(tmp_path: Path) -> None:
    texts = ir.StringTensor(np.array([b"a", "ü".encode(), b""]), name="words")
    save(holding(words=texts), tmp_path / "net.onnx")
    (tensor,) = onnx.load(tmp_path / "net.onnx").graph.initializer
    assert list(tensor.string_data) == [b"a", "ü".encode(), b""]


@pytest.mark.parametrize("make", [conv_bn_relu, attention, tokens])
def test_all_but_the_weights_is_what_onnx_would_write(make: object, tmp_path: Path) -> None:
    network = bs.load(make())  # type: ignore[operator]
    save(network, tmp_path / "net.onnx")
    found, expected = onnx.load(tmp_path / "net.onnx"), ir.to_proto(network)
    for message in (found, expected):
        typed = {t.name for t in message.graph.initializer}
        kept = [v for v in message.graph.value_info if v.name not in typed]
        del message.graph.value_info[:]
        message.graph.value_info.extend(kept)
    assert found == expected
    onnx.checker.check_model(found, full_check=True)


def test_weights_beside_the_network_come_into_the_file(tmp_path: Path) -> None:
    model = conv_bn_relu()
    given = feeds(model)
    expected = run(model, given)
    onnx.save(model, tmp_path / "from.onnx", save_as_external_data=True, location="from.data", size_threshold=0)
    (tmp_path / "elsewhere").mkdir()
    save(bs.load(tmp_path / "from.onnx"), tmp_path / "elsewhere" / "net.onnx")
    assert [f.name for f in (tmp_path / "elsewhere").iterdir()] == ["net.onnx"]
    for name, array in run(onnx.load(tmp_path / "elsewhere" / "net.onnx"), given).items():
        np.testing.assert_allclose(array, expected[name], rtol=1e-4, atol=1e-5)


def test_over_two_gigabytes_weights_lie_beside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = conv_bn_relu()
    monkeypatch.setattr(to_onnx, "LARGEST_SINGLE_FILE", 100)
    files = save(bs.load(model), tmp_path / "net.onnx")
    assert [f.name for f in files] == ["net.onnx", "net.onnx.data"]
    given = feeds(model)
    expected = run(model, given)
    session = onnxruntime.InferenceSession(str(tmp_path / "net.onnx"), providers=["CPUExecutionProvider"])
    for name, array in zip(expected, session.run(list(expected), given), strict=True):
        np.testing.assert_allclose(array, expected[name], rtol=1e-4, atol=1e-5)


def test_other_endings_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BitsmithError, match=r"end in \.onnx"):
        save(bs.load(conv_bn_relu()), tmp_path / "net.bin")


@given(st.integers(0, 2**40))
def test_numbers_in_base_128_are_read_back_by_protobuf(number: int) -> None:
    field = helper.make_attribute("a", 0).DESCRIPTOR.fields_by_name["i"].number
    read = onnx.AttributeProto.FromString(in_base_128(field << 3) + in_base_128(number))
    assert read.i == number
