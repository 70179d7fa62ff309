"""Whatever a file holds, it loads or gives one clear line: never a traceback, a hang or a dead process."""

import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import networks
import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import helper, numpy_helper, parser

from bitsmith.errors import LoadError
from bitsmith.loading.from_onnx import load

SOUND = {(name, opset): networks.NETWORKS[name](opset).SerializeToString()
         for name in ("conv_bn_relu", "rearranged", "tokens", "mlp") for opset in (9, 13, 21)}
WILD = [0, 1, -1, 2, 7, 255, 2**31 - 1, -(2**31), 10**12, 2**62, -(2**63)]


def load_or_refuse(source: bytes | onnx.ModelProto) -> None:
    """Any other exception fails the test. The line is printable: no newline, and no terminal codes out of a file."""
    said = ""
    try:
        load(source)
    except LoadError as error:
        said = str(error)
    assert said.isprintable(), repr(said)
    assert len(said) < 1500


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(sorted(SOUND)), st.data())
def test_flipped_and_missing_bytes(which: tuple[str, int], data: st.DataObject) -> None:
    content = bytearray(SOUND[which])
    for place in data.draw(st.lists(st.integers(0, len(content) - 1), max_size=8)):
        content[place] = data.draw(st.integers(0, 255))
    load_or_refuse(bytes(content[:data.draw(st.integers(1, len(content)))] if data.draw(st.booleans()) else content))


def messages_in(message: Any) -> list[Any]:
    found = [message]
    for field, value in message.ListFields():
        if field.type == field.TYPE_MESSAGE:
            for inner in [value] if hasattr(value, "ListFields") else value:
                found += messages_in(inner)
    return found


def spoil(message: Any, name: str, draw: Callable[..., Any], words: list[str]) -> None:
    """Removes, repeats or replaces one field."""
    value = getattr(message, name)
    if isinstance(value, bool | int):
        value = draw(st.sampled_from(WILD))
    elif isinstance(value, str):
        value = draw(st.sampled_from(words))
    elif isinstance(value, float):
        value = draw(st.sampled_from([0.0, 1e30, float("nan"), float("inf")]))
    if isinstance(value, int | str | float | bytes):
        setattr(message, name, value)
    elif hasattr(value, "ListFields"):
        message.ClearField(name)
    elif len(value) and draw(st.booleans()):
        del value[draw(st.integers(0, len(value) - 1))]
    elif len(value):
        value.append(value[draw(st.integers(0, len(value) - 1))])


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(sorted(SOUND)), st.data())
def test_spoiled_fields(which: tuple[str, int], data: st.DataObject) -> None:
    model = onnx.ModelProto.FromString(SOUND[which])
    words = ["", "Conv", "If", "Slice", "Resize", "Constant", *(name for node in model.graph.node for name in (*node.input, *node.output))]
    for _ in range(data.draw(st.integers(1, 3))):
        message = data.draw(st.sampled_from(messages_in(model)))
        name = data.draw(st.sampled_from([field.name for field in message.DESCRIPTOR.fields]))
        try:
            spoil(message, name, data.draw, words)
        except (ValueError, TypeError):
            continue        # protobuf itself refuses a number out of the field's range
    load_or_refuse(model)


def a_pickle(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("model/data.pkl", pickle.dumps({"weight": 1}))


@pytest.mark.parametrize(("name", "write", "message"), [
    ("nothing.onnx", lambda path: None, "There is no file"),
    ("folder.onnx", Path.mkdir, "is a folder"),
    ("empty.onnx", lambda path: path.write_bytes(b""), "is empty"),
    ("text.onnx", lambda path: path.write_text("Dear reader, this is not ONNX.\n"), "not an ONNX file"),
    ("net.pth", a_pickle, "PyTorch pickle.*nothing is unpickled"),
    ("net.onnx", lambda path: path.write_bytes(pickle.dumps([1, 2], protocol=2)), "PyTorch pickle"),
    ("net.h5", lambda path: path.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100)), "HDF5"),
    ("net.tflite", lambda path: path.write_bytes(b"\x1c\0\0\0TFL3" + bytes(100)), "TFLite"),
    ("data.npz", lambda path: np.savez(path, x=np.zeros(3)), "data are given with --data"),
    ("net.onnxtxt", lambda path: path.write_text(onnx.printer.to_text(networks.mlp())), "is text"),
    ("null\0byte.onnx", lambda path: None, "cannot be read"),
])
def test_files_that_are_something_else(tmp_path: Path, name: str, write: Callable[[Path], None], message: str) -> None:
    write(tmp_path / name)
    with pytest.raises(LoadError, match=message):
        load(tmp_path / name)


def test_a_path_without_permission_is_said(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(b"x")
    path.chmod(0)
    if os.access(path, os.R_OK):
        pytest.skip("this user may read everything")
    with pytest.raises(LoadError, match="cannot be read"):
        load(path)


@pytest.mark.parametrize("source", [3, None, ["net.onnx"], np.zeros(3)])
def test_sources_that_are_no_networks(source: Any) -> None:
    with pytest.raises(LoadError, match="A network is a path, bytes, an ONNX model or a torch"):
        load(source)


def test_example_inputs_belong_to_torch() -> None:
    with pytest.raises(LoadError, match=r"belong to a torch\.nn\.Module"):
        load(networks.mlp(), [np.zeros((1, 12))])


def changed(change: Callable[[onnx.GraphProto], object]) -> onnx.ModelProto:
    model = networks.conv_bn_relu(17)
    change(model.graph)
    return model


def twice(graph: onnx.GraphProto) -> None:
    graph.node[1].output[0] = "conv1_out"


def circle(graph: onnx.GraphProto) -> None:
    graph.node[0].input[0] = "output"


def unknown(graph: onnx.GraphProto) -> None:
    graph.node[0].op_type = "Convolute"


def wide_kernel(graph: onnx.GraphProto) -> None:
    """12 x 12 on an image of 8 x 8, padded by 1."""
    weight_of_shape(6, 3, 12, 12)(graph)
    graph.node[0].attribute[0].ints[:] = [12, 12]


def weight_of_shape(*shape: int) -> Callable[[onnx.GraphProto], None]:
    def change(graph: onnx.GraphProto) -> None:
        graph.initializer[0].CopyFrom(numpy_helper.from_array(np.ones(shape, np.float32), "conv1.weight"))

    return change


def weight_of(number: float, name: str = "conv1.weight") -> Callable[[onnx.GraphProto], None]:
    def change(graph: onnx.GraphProto) -> None:
        tensor = next(tensor for tensor in graph.initializer if tensor.name == name)
        array = numpy_helper.to_array(tensor).copy()
        array.reshape(-1)[3] = number
        tensor.CopyFrom(numpy_helper.from_array(array, name))

    return change


@pytest.mark.parametrize(("change", "message"), [
    (lambda graph: graph.node[0].input.__setitem__(1, "nobody"), r"Conv '/conv1_out' reads 'nobody', which nothing in the file makes"),
    (twice, "BatchNormalization '/bn1_out' makes 'conv1_out', which is already the name"),
    (circle, r"Nodes need each other's values: .*Conv '/conv1_out'"),
    (lambda graph: graph.output[0].__setattr__("name", "elsewhere"), "output 'elsewhere' is made by no node"),
    (lambda graph: graph.input[0].__setattr__("name", ""), "input at position 0 has no name"),
    (lambda graph: graph.initializer.append(graph.initializer[2]), "Two weights are called 'bn1.weight'"),
    (lambda graph: graph.input[0].type.tensor_type.ClearField("shape"), "input 'input' has no shape"),
    (unknown, "No Op registered for Convolute"),
    (lambda graph: graph.node[0].attribute[0].__setattr__("name", "ke\x1b[31m\n"), r"Unrecognized attribute: ke\\x1b\[31m"),
    (lambda graph: graph.node[0].input.__setitem__(1, "no\nbody"), r"reads 'no\\nbody', which nothing"),
    (lambda graph: graph.initializer[0].dims.__setitem__(0, 7), r"'conv1.weight' of shape \[7, 3, 3, 3\] needs 756 bytes and has 648"),
    (lambda graph: graph.initializer[0].dims.__setitem__(0, -6), r"'conv1.weight' has the shape \[-6, 3, 3, 3\]"),
    (lambda graph: graph.initializer[0].dims.extend([2**40, 2**40]), "needs .* bytes and has 648"),
    (lambda graph: graph.initializer[0].__setattr__("data_type", 99), "Weight 'conv1.weight' is ill"),
    (weight_of_shape(6, 5, 3, 3), r"Conv '/conv1_out' has a weight 'conv1.weight' of shape .* for 5 channels; it is given 3"),
    (weight_of_shape(6, 3, 3, 3, 3), "Conv '/conv1_out' has a weight .* the input has 4 axes"),
    (weight_of_shape(6, 3, 5, 5), r"Conv '/conv1_out' has a weight .* the kernel is said to be \[3, 3\]"),
    (wide_kernel, r"Conv '/conv1_out' gives 'conv1_out' the shape \[batch, 6, -1, -1\]"),
    (weight_of(float("nan")), "Weight 'conv1.weight' holds 1 NaN and 0 infinite numbers"),
    (weight_of(float("-inf")), "Weight 'conv1.weight' holds 0 NaN and 1 infinite numbers"),
    (weight_of(float("inf"), "fc.bias"), "Weight 'fc.bias' holds 0 NaN and 1 infinite"),
])
def test_ill_networks_are_refused_by_name(change: Callable[[onnx.GraphProto], object], message: str) -> None:
    with pytest.raises(LoadError, match=message) as caught:
        load(changed(change))
    assert str(caught.value).isprintable()


def test_huge_but_finite_weights_load() -> None:
    """3e38 four times overflows the quick sum over the weight, and no number of it is infinite."""
    model = changed(lambda graph: None)
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(np.full((6, 3, 3, 3), 3e38, np.float32), "conv1.weight"))
    assert load(model).graph.initializers["conv1.weight"].const_value.numpy().max() == np.float32(3e38)


MASK = '''<ir_version: 8, opset_import: ["" : 17]> g (float[n,2,2] x) => (float[n,2,2] y) <float[2,2] mask = {{0, {0}, 0, 0}}>
{{ m = Add(x, mask)
 y = Softmax<axis=-1>(m) }}'''


def test_infinity_may_mask() -> None:
    model = parser.parse_model(MASK.format("1"))
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(np.float32([[0, -np.inf], [0, 0]]), "mask"))
    assert np.isinf(load(model).graph.initializers["mask"].const_value.numpy()).sum() == 1
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(np.float32([[0, np.nan], [0, 0]]), "mask"))
    with pytest.raises(LoadError, match="'mask' holds 1 NaN"):
        load(model)


SLICED = '''<ir_version: 8, opset_import: ["" : {}]> g (float[n,3,4,4] x) => (float[n,3,a,b] y)
 <int64[4] start = {{0,0,0,0}}, int64[4] stop = {{5,5,5,5}}, int64[8] pads = {{0,0,0,0,0,0,-9,-9}}, float[4] scales = {{1,1,-2,1}}>
{{ {}
 y = Slice(t, start, stop) }}'''


@pytest.mark.parametrize("opset", [11, 21])
@pytest.mark.parametrize("body", [
    "t = Pad(x, pads)",
    "t = Resize(x, scales, scales)",
    "t = MaxPool<kernel_shape = [9, 9]>(x)",
    "s = Slice(x, start, stop)\n r = Relu(s)\n t = AveragePool<kernel_shape = [9, 9]>(r)",
    "s = Slice(x, start, stop)\n r = MaxPool<kernel_shape = [2, 2]>(s)\n u = Slice(r, start, stop)\n t = MaxPool<kernel_shape = [9, 9]>(u)",
])
def test_slices_of_negative_sizes_do_not_end_the_process(opset: int, body: str) -> None:
    with pytest.raises(LoadError, match=r"gives '.*' the shape \[\w+, 3, -\d+.*\]; its window or padding does not fit"):
        load(parser.parse_model(SLICED.format(opset, body)))


def test_a_negative_size_in_the_file_is_an_unknown_one() -> None:
    model = parser.parse_model(SLICED.format(13, "t = Relu(x)"))
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = -1
    shape = load(model).graph.inputs[0].shape
    assert not isinstance(shape[0], int)
    assert shape[1:] == (3, 4, 4)


@pytest.mark.parametrize("depth", [5, 30])
def test_nested_graphs_end(depth: int) -> None:
    """protobuf itself reads no more than a hundred messages within each other."""
    result, condition = helper.make_tensor_value_info("r", 1, [1]), helper.make_tensor_value_info("c", 9, [])
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["r"])], "innermost", [], [result])
    for _ in range(depth):
        node = helper.make_node("If", ["c"], ["r"], then_branch=graph, else_branch=helper.make_graph([], "e", [], []))
        graph = helper.make_graph([node], "outer", [], [result])
    graph.input.extend([helper.make_tensor_value_info("x", 1, [1]), condition])
    load_or_refuse(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8))
