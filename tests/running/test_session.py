"""A session gives the values that a network has, in memory or in a file, large or small, for any number of samples."""

import gc
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import networks
import numpy as np
import onnx
import onnx_ir as ir
import pytest
from google.protobuf.message import EncodeError
from onnx import TensorProto, helper, numpy_helper

from bitsmith.errors import DataError, LoadError
from bitsmith.loading.from_onnx import load
from bitsmith.numerics.formats import Array
from bitsmith.running import serialized
from bitsmith.running.session import Session

CLOSE = {"rtol": 1e-4, "atol": 1e-5}


def computed_names(model: onnx.ModelProto) -> list[str]:
    return [name for node in model.graph.node for name in node.output if node.op_type != "Constant"]


def expected(model: onnx.ModelProto, names: list[str], given: dict[str, Array]) -> dict[str, Array]:
    """The values of a network, from onnxruntime without its optimiser."""
    shown = onnx.ModelProto.FromString(model.SerializeToString())
    del shown.graph.output[:]
    shown.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    return networks.run(shown, given)


def assert_close(found: dict[str, Array], wanted: dict[str, Array]) -> None:
    assert list(found) == list(wanted)
    for name, array in wanted.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_allclose(found[name], array, **CLOSE, err_msg=name)


@pytest.mark.parametrize("name", networks.NETWORKS)
@pytest.mark.parametrize("optimise", [True, False])
def test_every_value_of_every_network(name: str, optimise: bool) -> None:
    model = networks.NETWORKS[name]()
    given, names = networks.feeds(model), computed_names(model)
    assert_close(Session(ir.from_proto(model), names, optimise=optimise, threads=1).run(given), expected(model, names, given))


def test_without_names_the_outputs_are_given() -> None:
    model = networks.two_in_two_out()
    given = networks.feeds(model)
    assert_close(Session(ir.from_proto(model)).run(given), networks.run(model, given))


def test_only_what_is_watched_is_asked_for() -> None:
    ready = serialized.serialize(ir.from_proto(networks.two_in_two_out()))
    assert ready.hand_out(["image", "left", "image"]) == ["image"]
    assert [value.name for value in ready.message.graph.output] == ["image"]


def test_inputs_can_be_watched() -> None:
    model = networks.tokens()
    given = networks.feeds(model)
    found = Session(ir.from_proto(model), ["ids", "output"]).run(given)
    assert np.array_equal(found["ids"], given["ids"])
    assert list(found) == ["ids", "output"]
    assert list(Session(ir.from_proto(model), ["ids"]).run(given)) == ["ids"]


@pytest.mark.parametrize("batch", [1, 3, 4])
@pytest.mark.parametrize("samples", [1, 3, 7, 8])
def test_a_fixed_batch_takes_any_number_of_samples(batch: int, samples: int) -> None:
    given = networks.feeds(networks.two_in_two_out(), samples)
    names = ["left", "shift_out", "pooled", "image", "logits"]
    any_batch = Session(ir.from_proto(networks.two_in_two_out()), names, threads=1).run(given)
    fixed = Session(ir.from_proto(networks.two_in_two_out(batch=batch)), names, threads=1).run(given)
    assert_close(fixed, any_batch)


def test_several_threads_run_one_session() -> None:
    model = networks.conv_bn_relu()
    session = Session(ir.from_proto(model), ["residual"], threads=1)
    batches = [networks.feeds(model, 5, seed) for seed in range(20)]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(session.run, batches))
    for one, batch in zip(found, batches, strict=True):
        assert np.array_equal(one["residual"], session.run(batch)["residual"])


def test_the_network_is_left_as_it_is() -> None:
    model = ir.from_proto(networks.conv_bn_relu())
    before = ir.to_proto(model).SerializeToString(deterministic=True)
    Session(model, ["residual"])
    assert ir.to_proto(model).SerializeToString(deterministic=True) == before


def wide(dtype: int = TensorProto.FLOAT, subgraph: bool = False) -> onnx.ModelProto:
    """x [N, 200] -> MatMul with a large weight, cast to float32; in a branch of an If where asked."""
    weight = np.random.default_rng(0).standard_normal((200, 120)).astype(helper.tensor_dtype_to_np_dtype(dtype))
    held = [numpy_helper.from_array(weight, "weight")]
    held[0].data_type = dtype
    nodes = [helper.make_node("Cast", ["weight"], ["w"], to=TensorProto.FLOAT), helper.make_node("MatMul", ["x", "w"], ["y"])]
    x, y = helper.make_tensor_value_info("x", 1, ["N", 200]), helper.make_tensor_value_info("y", 1, ["N", 120])
    if subgraph:
        branch = helper.make_graph(nodes, "branch", [], [helper.make_tensor_value_info("y", 1, None)], held)
        held = [numpy_helper.from_array(np.array(True), "always")]
        nodes = [helper.make_node("If", ["always"], ["y"], then_branch=branch, else_branch=branch)]
    graph = helper.make_graph(nodes, "wide", [x], [y], held)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


@pytest.mark.parametrize("dtype", [TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.INT8, TensorProto.DOUBLE])
def test_large_weights_of_any_type_are_handed_over_apart(dtype: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serialized, "LARGE", 1024)
    model = wide(dtype)
    given = {"x": np.random.default_rng(1).standard_normal((3, 200)).astype(np.float32)}
    network = ir.from_proto(model)
    assert list(serialized.serialize(network).weights) == ["weight"]
    session = Session(network)
    del network
    gc.collect()
    assert_close(session.run(given), networks.run(model, given))


@pytest.mark.parametrize("subgraph", [False, True])
@pytest.mark.parametrize("as_path", [False, True])
def test_weights_beside_the_file(subgraph: bool, as_path: bool, tmp_path: Path) -> None:
    model = wide(subgraph=subgraph)
    given = {"x": np.ones((2, 200), np.float32)}
    wanted = networks.run(model, given)
    path = tmp_path / "net.onnx"
    onnx.save_model(model, path, save_as_external_data=True, location="net.data", size_threshold=0, convert_attribute=True)
    assert (tmp_path / "net.data").stat().st_size >= 200 * 120 * 4
    assert_close(Session(path if as_path else ir.load(path)).run(given), wanted)


@pytest.mark.parametrize("most", [0, 2**30])
def test_weights_on_disk_and_in_memory_together(most: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serialized, "LARGE", 1024)
    monkeypatch.setattr("bitsmith.running.session.MOST_COPIED", most)
    model = wide(TensorProto.FLOAT)
    second = numpy_helper.from_array(np.eye(120, dtype=np.float32), "second")
    model.graph.initializer.append(second)
    model.graph.node[-1].output[0] = "first"
    model.graph.node.append(helper.make_node("MatMul", ["first", "second"], ["y"]))
    given = {"x": np.random.default_rng(1).standard_normal((3, 200)).astype(np.float32)}
    expected = networks.run(model, given)
    onnx.save(model, tmp_path / "net.onnx", save_as_external_data=True, location="net.data", size_threshold=0)
    network = load(tmp_path / "net.onnx")
    value = network.graph.initializers["second"]
    value.const_value = ir.Tensor(2 * value.const_value.numpy(), name="second")     # type: ignore[union-attr]
    found = serialized.serialize(network)
    assert (list(found.weights), found.folder) == (["second"], tmp_path)
    assert found.weight_bytes == 4 * (200 * 120 + 120 * 120)
    assert_close(Session(network).run(given), {"y": 2 * expected["y"]})


def test_a_file_is_run_as_it_is_written(tmp_path: Path) -> None:
    model = networks.depthwise(opset=11)
    onnx.save(model, tmp_path / "net.onnx")
    given = networks.feeds(model)
    assert_close(Session(str(tmp_path / "net.onnx"), ["dw_bn_out_clip"]).run(given), expected(model, ["dw_bn_out_clip"], given))


def test_a_message_over_2_gb_is_told() -> None:
    class TooLong:
        def SerializeToString(self) -> bytes:  # noqa: N802
            raise EncodeError

    with pytest.raises(LoadError, match="Over 2 GB of the network"):
        serialized.Serialized(TooLong(), {}).content()      # type: ignore[arg-type]


def test_old_files_list_weights_among_the_inputs(tmp_path: Path) -> None:
    model = networks.mlp()
    given = networks.feeds(model)
    wanted = networks.run(model, given)
    for tensor in model.graph.initializer:
        model.graph.input.append(helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims))
    onnx.save(model, tmp_path / "old.onnx")
    assert_close(Session(tmp_path / "old.onnx").run(given), wanted)
    assert_close(Session(ir.from_proto(model)).run(given), wanted)


@pytest.mark.parametrize("name", ["absent", "conv1.weight", ""])
def test_unknown_names_are_told(name: str) -> None:
    with pytest.raises(LoadError, match=f"No value called '{name}' is computed"):
        Session(ir.from_proto(networks.conv_bn_relu()), [name])


def test_what_onnxruntime_refuses_is_told_in_one_line() -> None:
    model = networks.mlp()
    model.graph.node[0].op_type = "Gemmm"
    with pytest.raises(LoadError, match=r"^onnxruntime cannot run the network: .*Gemmm[^\n]*$"):
        Session(ir.from_proto(model))


def test_what_onnxruntime_cannot_compute_is_told_in_one_line() -> None:
    model = networks.tokens()
    with pytest.raises(LoadError, match=r"^onnxruntime cannot compute the network: [^\n]*out of[^\n]*$"):
        Session(ir.from_proto(model)).run({"ids": np.full((1, 6), networks.VOCABULARY)})


def test_a_type_that_onnxruntime_cannot_be_fed_is_told() -> None:
    x, y = helper.make_tensor_value_info("x", TensorProto.BFLOAT16, [2]), helper.make_tensor_value_info("y", TensorProto.FLOAT, [2])
    graph = helper.make_graph([helper.make_node("Cast", ["x"], ["y"], to=TensorProto.FLOAT)], "g", [x], [y])
    network = ir.from_proto(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10))
    with pytest.raises(LoadError, match="onnxruntime cannot compute the network"):
        Session(network).run({"x": np.ones(2, np.float32).astype("bfloat16")})


def test_a_network_without_inputs() -> None:
    graph = helper.make_graph([helper.make_node("Neg", ["c"], ["y"])], "g", [], [helper.make_tensor_value_info("y", 1, [2])],
                              [numpy_helper.from_array(np.array([1, -2], np.float32), "c")])
    network = ir.from_proto(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10))
    assert Session(network).run({})["y"].tolist() == [-1.0, 2.0]


def test_files_that_are_no_networks(tmp_path: Path) -> None:
    (tmp_path / "noise.onnx").write_bytes(b"noise" * 20)
    for path in (tmp_path / "noise.onnx", tmp_path / "absent.onnx"):
        with pytest.raises(LoadError, match=path.name):
            Session(path)


def test_a_value_that_padding_cannot_be_cut_from() -> None:
    nodes = [helper.make_node("ReduceSum", ["x"], ["total"], keepdims=0), helper.make_node("Relu", ["x"], ["y"])]
    x, y = (helper.make_tensor_value_info(name, 1, [2, 3]) for name in "xy")
    model = helper.make_model(helper.make_graph(nodes, "g", [x], [y]), opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    session = Session(ir.from_proto(model), ["total", "y"])
    assert session.run({"x": np.ones((4, 3))})["total"].tolist() == [6.0, 6.0]
    with pytest.raises(DataError, match=r"Value 'total' of shape .* multiples of 2"):
        session.run({"x": np.ones((3, 3))})


def test_inputs_of_a_fixed_batch_have_the_same_number_of_samples() -> None:
    given = networks.feeds(networks.two_in_two_out(), 3)
    with pytest.raises(DataError, match="'left', 'right' have different numbers of samples"):
        Session(ir.from_proto(networks.two_in_two_out(batch=1))).run({**given, "right": given["right"][:2]})


def test_onnxruntime_is_imported_late() -> None:
    code = "import sys, bitsmith.running.session; print([m for m in ('onnxruntime', 'onnx', 'onnx_ir') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
