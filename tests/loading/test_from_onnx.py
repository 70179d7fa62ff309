"""Every network comes through the door in normal form, computing what it computed, under its own names."""

from pathlib import Path

import networks
import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper, numpy_helper, parser

from bitsmith.errors import LoadError
from bitsmith.loading.from_onnx import load

NEWEST = onnx.defs.onnx_opset_version()
RUNNABLE = 26      # the newest opset of onnxruntime 1.31; the networks mean the same in the newest one


def values_of(model: onnx.ModelProto) -> set[str]:
    nodes = [node for node in model.graph.node if node.op_type != "Constant"]
    return {name for node in nodes for name in (*node.input, *node.output) if name} | {tensor.name for tensor in model.graph.initializer}


@pytest.mark.parametrize("opset", [9, 10, 11, 13, 17, 21, NEWEST])
@pytest.mark.parametrize("name", networks.NETWORKS)
def test_networks_of_all_opsets_compute_the_same(name: str, opset: int) -> None:
    build = networks.NETWORKS[name]
    feeds = networks.feeds(build(opset))
    loaded = ir.to_proto(load(build(opset)))
    onnx.checker.check_model(loaded, full_check=True)
    expected = networks.run(build(min(opset, RUNNABLE)), feeds)
    for output, array in networks.run(loaded, feeds).items():
        np.testing.assert_allclose(array, expected[output], rtol=1e-4, atol=1e-5, err_msg=output)


@pytest.mark.parametrize("opset", [9, 12, 17, 21])
@pytest.mark.parametrize("name", networks.NETWORKS)
def test_normal_form_keeps_names(name: str, opset: int) -> None:
    original = networks.NETWORKS[name](opset)
    graph = (model := load(original)).graph
    assert model.opset_imports == {"": 21}
    assert [value.name for value in graph.inputs] == [value.name for value in original.graph.input]
    assert [value.name for value in graph.outputs] == [value.name for value in original.graph.output]
    names = {value.name for node in graph for value in (*node.inputs, *node.outputs) if value is not None}
    assert values_of(original) <= names | set(graph.initializers)
    nodes = [node.name for node in graph]
    assert len(set(nodes)) == len(nodes)
    assert {node.name for node in original.graph.node if node.op_type != "Constant"} <= set(nodes)
    assert all(value.shape is not None and value.dtype is not None for node in graph for value in node.outputs)


def test_the_opset_is_the_lowest_that_means_the_same() -> None:
    assert load(networks.conv_bn_relu(21)).opset_imports == {"": 21}
    relu = parser.parse_model('<ir_version: 10, opset_import: ["" : 24]> g (float[n] x) => (float[n] y) { y = Relu(x) }')
    assert load(relu).opset_imports == {"": 21}      # Relu has not changed since opset 14


def test_constants_become_initializers() -> None:
    graph = load(networks.mlp(13)).graph
    assert "fc2.weight" in graph.initializers
    assert all(node.op_type != "Constant" for node in graph)


def test_initializers_among_the_inputs_are_none() -> None:
    model = networks.mlp(9)
    model.ir_version = 3
    model.graph.input.extend(helper.make_tensor_value_info(t.name, t.data_type, t.dims) for t in model.graph.initializer)
    graph = load(model).graph
    assert [value.name for value in graph.inputs] == ["input"]
    assert list(graph.initializers)[:2] == ["fc1.weight", "fc1.bias"]


def test_weights_are_the_files_bit_for_bit(tmp_path: Path) -> None:
    model = networks.attention(11)
    onnx.save(model, tmp_path / "net.onnx")
    initializers = load(tmp_path / "net.onnx").graph.initializers
    for tensor in model.graph.initializer:
        if tensor.name in initializers:
            np.testing.assert_array_equal(initializers[tensor.name].const_value.numpy(), numpy_helper.to_array(tensor))


def test_all_kinds_of_source_give_the_same(tmp_path: Path) -> None:
    model = networks.depthwise(13)
    onnx.save(model, tmp_path / "net.onnx")
    sources = [tmp_path / "net.onnx", str(tmp_path / "net.onnx"), model.SerializeToString(), model, ir.from_proto(model)]
    first, *others = (ir.to_proto(load(source)).SerializeToString(deterministic=True) for source in sources)
    assert all(other == first for other in others)


def test_sources_are_left_as_they_are() -> None:
    model = networks.conv_bn_relu(11)
    before, own = model.SerializeToString(), ir.from_proto(model)
    load(model)
    load(own)
    assert model.SerializeToString() == before
    assert ir.to_proto(own).SerializeToString(deterministic=True) == ir.to_proto(ir.from_proto(model)).SerializeToString(deterministic=True)


def test_loading_what_was_loaded_changes_nothing() -> None:
    once = ir.to_proto(load(networks.nhwc(9)))
    assert ir.to_proto(load(once)).SerializeToString(deterministic=True) == once.SerializeToString(deterministic=True)


@pytest.mark.parametrize("batch", ["batch", "N", 1, 4])
def test_batch_stays_free_or_fixed(batch: str | int) -> None:
    graph = load(networks.conv_bn_relu(13, batch=batch)).graph
    assert str(graph.inputs[0].shape[0]) == str(graph.outputs[0].shape[0]) == str(batch)
    assert graph.node("/conv1_out").outputs[0].shape[1:] == (6, 8, 8)


def test_stale_sizes_in_the_file_are_not_believed() -> None:
    model = networks.conv_bn_relu(18)
    model.graph.value_info.append(helper.make_tensor_value_info("conv1_out", TensorProto.FLOAT, [1, 6, 99, 8]))
    assert str(load(model).graph.node("/conv1_out").outputs[0].shape[2]) == "8"


def test_nameless_and_equally_named_nodes_get_names_of_their_own() -> None:
    model = networks.mlp(13)
    for node in model.graph.node:
        node.name = "same" if node.op_type == "Gemm" else ""
    assert [node.name for node in load(model).graph] == [
        "same", "Relu_fc1_out_relu", "Gemm_fc2_out", "Tanh_hidden", "Gemm_fc3_out", "Identity_output"]


def test_a_given_name_is_never_taken_from_its_node() -> None:
    model = networks.mlp(13)
    model.graph.node[1].name = ""
    model.graph.node[0].name, taken = "first", "Relu_fc1_out_relu"
    model.graph.node[3].name = taken
    names = [node.name for node in load(model).graph]
    assert names[1] == taken + "_1"
    assert names.count(taken) == 1


def test_unused_nodes_and_weights_are_removed() -> None:
    model = networks.mlp(13)
    model.graph.node.append(helper.make_node("Gemm", ["input", "fc1.weight"], ["nowhere"], transB=1))
    model.graph.initializer.append(numpy_helper.from_array(np.ones(3, np.float32), "unused"))
    graph = load(model).graph
    assert "unused" not in graph.initializers
    assert all(value.name != "nowhere" for node in graph for value in node.outputs)


def test_unsorted_nodes_are_sorted() -> None:
    model = networks.conv_bn_relu(13)
    feeds = networks.feeds(model)
    expected = networks.run(model, feeds)["output"]
    nodes = list(model.graph.node)[::-1]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    np.testing.assert_allclose(networks.run(ir.to_proto(load(model)), feeds)["output"], expected, rtol=1e-5)


FUNCTIONS = '''<ir_version: 10, opset_import: ["" : 18, "own" : 1]>
g (float[n] x) => (float[n] y) {{ t = own.twice(x)
 y = own.twice(t) }}
<domain: "own", opset_import: ["" : {opset}, "own" : 1]>
twice (a) => (b) {{ u = {inner}(a)
 b = Add(u, u) }}
'''


def test_functions_are_inlined() -> None:
    model = load(parser.parse_model(FUNCTIONS.format(opset=17, inner="Relu")))
    assert not model.functions
    assert model.opset_imports == {"": 21}
    assert [node.op_type for node in model.graph] == ["Relu", "Add"] * 2
    given = np.float32([-1, 2])
    np.testing.assert_array_equal(networks.run(ir.to_proto(model), {"x": given})["y"], [0, 8])


@pytest.mark.parametrize(("opset", "inner", "message"), [(18, "own.twice", "calls itself"), (12, "Softmax", "version 12")])
def test_functions_that_cannot_be_inlined(opset: int, inner: str, message: str) -> None:
    with pytest.raises(LoadError, match=message):
        load(parser.parse_model(FUNCTIONS.format(opset=opset, inner=inner)))


def test_functions_that_explode_are_refused() -> None:
    opsets = 'opset_import: ["" : 18, "own" : 1]'
    bodies = "".join(f'<domain: "own", {opsets}> f{i} (a) => (b) {{ u = own.f{i + 1}(a)\n b = own.f{i + 1}(u) }}\n' for i in range(30))
    last = '<domain: "own", opset_import: ["" : 18]> f30 (a) => (b) { b = Relu(a) }'
    head = '<ir_version: 10, opset_import: ["" : 18, "own" : 1]> g (float[n] x) => (float[n] y) { y = own.f0(x) }\n'
    with pytest.raises(LoadError, match="call each other so often"):
        load(parser.parse_model(head + bodies + last))


def test_operators_of_other_domains_pass() -> None:
    model = parser.parse_model(
        '<ir_version: 8, opset_import: ["" : 13, "com.microsoft" : 1]> g (float[n] x) => (float[n] y) <float[n] t> '
        "{ t = com.microsoft.Gelu(x)\n y = Relu(t) }")
    loaded = load(model)
    assert loaded.opset_imports == {"": 21, "com.microsoft": 1}
    assert str(loaded.graph[0].outputs[0].shape[0]) == "n"      # the file is believed where nothing can be inferred
    given = np.float32([-1, 2])
    np.testing.assert_allclose(networks.run(ir.to_proto(loaded), {"x": given})["y"], networks.run(model, {"x": given})["y"])


def test_quantize_nodes_in_the_file_are_kept() -> None:
    model = parser.parse_model(
        '<ir_version: 8, opset_import: ["" : 13]> g (float[n] x) => (float[n] y) <float s = {0.5}, uint8 z = {3}> '
        "{ q = QuantizeLinear(x, s, z)\n y = DequantizeLinear(q, s, z) }")
    assert [node.op_type for node in load(model).graph] == ["QuantizeLinear", "DequantizeLinear"]


def test_casts_to_the_type_of_another_value_name_the_type() -> None:
    model = parser.parse_model(
        '<ir_version: 8, opset_import: ["" : 17]> g (float[n] x) => (float[n] y) <int32[1] w = {3}> '
        "{ c = CastLike(w, x)\n y = Mul(x, c) }")
    loaded = load(model)
    cast, product = loaded.graph
    assert (cast.op_type, cast.name, [value.name for value in cast.inputs], cast.attributes["to"].value) == ("Cast", "CastLike_c", ["w"], 1)
    np.testing.assert_array_equal(networks.run(ir.to_proto(loaded), {"x": np.float32([2])})["y"], [6])
    assert product.inputs[0].name == "x"


def test_outputs_may_lack_shapes() -> None:
    model = networks.mlp(13)
    model.graph.output[0].type.tensor_type.ClearField("shape")
    assert [str(dim) for dim in load(model).graph.outputs[0].shape] == ["batch", "4"]


def test_real_networks_compute_the_same(real_folder: Path) -> None:
    for path in sorted((real_folder / "models").glob("*.onnx")):
        model = onnx.load(path)
        feeds = networks.feeds(model, samples=2)
        expected, found = networks.run(model, feeds), networks.run(ir.to_proto(load(path)), feeds)
        for output, array in expected.items():
            np.testing.assert_allclose(found[output], array, rtol=1e-4, atol=1e-4, err_msg=f"{path.name} {output}")
