"""QONNX files come back as Q/DQ: ours as just what we would have written, others' where Q/DQ can say it."""

from pathlib import Path
from typing import Any

import networks
import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import helper, numpy_helper
from quantizing import POWERS, Chain

import bitsmith as bs
from bitsmith.errors import LoadError
from bitsmith.loading.from_onnx import load
from bitsmith.planning import recipes
from bitsmith.planning.recipe import Recipe, Rule
from bitsmith.running.session import Session
from bitsmith.targets.onnx.extract import extract_quantization
from bitsmith.targets.onnx.quant_nodes import DOMAIN, insert_quants
from bitsmith.targets.onnx.read_quants import without_quants

NARROW = recipes.int8().with_rules(Rule(weights="int4-restricted", activations=5, granularity="tensor"))


@pytest.mark.parametrize("recipe", [recipes.int8(), NARROW, POWERS], ids=["int8", "narrow", "powers"])
@pytest.mark.parametrize("name", sorted(networks.NETWORKS))
def test_there_and_back(name: str, recipe: Recipe) -> None:
    chain = Chain.of(networks.NETWORKS[name](), recipe, "qonnx", samples=3)
    back = without_quants(load(insert_quants(chain.network, chain.plan)))
    assert not any(node.domain == DOMAIN for node in back.graph)
    found = extract_quantization(back)
    computed = {n: e for n, e in chain.plan.encodings.items() if n not in chain.network.graph.initializers}
    renamed = {n.removesuffix("_unquantized"): e for n, e in found.plan.encodings.items()}
    assert {n: renamed[n] for n in computed} == computed
    expected, got = chain.results(optimise=False), Session(back, optimise=False).run(chain.feeds)
    for output in expected:
        np.testing.assert_array_equal(got[output], expected[output])


def test_a_network_without_quants_is_itself() -> None:
    network = load(networks.mlp().SerializeToString())
    assert without_quants(network) is network


def test_a_qonnx_file_can_be_verified_and_measured(tmp_path: Path) -> None:
    chain = Chain.of(networks.conv_bn_relu(), POWERS, "qonnx")
    path = tmp_path / "net.onnx"
    onnx.save(ir.to_proto(insert_quants(chain.network, chain.plan)), path)
    found = bs.verify(path, dict(chain.feeds))
    assert found.exact
    assert len(found.comparisons[0].differences) >= 3
    assert (bs.evaluate(path, dict(chain.feeds), against=chain.network).snr_db or 0) > 20
    assert any(node.op_type == "QuantizeLinear" for node in bs.load(path).graph)


def foreign(kind: str = "Quant", *, held: dict[str, Any] | None = None, computed: bool = False, shared: bool = False,
            **attributes: Any) -> bytes:
    """x -> the node -> Relu -> y, and, where shared, x -> z as well."""
    constants = {"scale": np.float32([[0.25, 0.5]]), "zero": np.float32(0), "bits": np.float32(4), **(held or {})}
    said = {"signed": 1, "narrow": 1, "rounding_mode": "ROUND", **attributes}
    nodes = [helper.make_node(kind, ["w", "scale", "zero", "bits"], ["q"], domain=DOMAIN, name="wq", **said),
             helper.make_node("Mul", ["x", "q"], ["y"])]
    if shared:
        nodes.append(helper.make_node("Add", ["x", "w"], ["z"]))
    if computed:
        nodes.insert(0, helper.make_node("Abs", ["scale0"], ["scale"]))
        constants["scale0"] = constants.pop("scale")
    x, *ys = (helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, ["batch", 2]) for n in ("x", "y", *("z" * shared)))
    tensors = [numpy_helper.from_array(np.asarray(a), n) for n, a in {"w": np.float32([[5, -0.6], [0.3, 0.4]])[:1], **constants}.items()]
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid(DOMAIN, 1)]
    return helper.make_model(helper.make_graph(nodes, "g", [x], ys, tensors), opset_imports=opsets, ir_version=10).SerializeToString()


@pytest.mark.parametrize("kind", ["Quant", "IntQuant"])
def test_scales_of_channels_and_a_narrow_range(kind: str) -> None:
    network = without_quants(load(foreign(kind)))
    (encoding,) = extract_quantization(network).plan.encodings.values()
    assert encoding.blocks.sizes == {1: 1}
    found = Session(network).run({"x": np.ones((1, 2), np.float32)})["y"]
    np.testing.assert_array_equal(found, np.float32([[7 * 0.25, -0.5]]))            # 5 is beyond 7 steps, -0.6 is one step


def test_whoever_reads_what_is_not_rounded_goes_on_doing_so() -> None:
    network = without_quants(load(foreign(shared=True)))
    found = Session(network).run({"x": np.zeros((1, 2), np.float32)})["z"]
    np.testing.assert_array_equal(found, np.float32([[5, -0.6]]))


@pytest.mark.parametrize(("model", "message"), [
    (foreign(held={"zero": np.float32(3)}), "Quant 'wq' has zero point 3 and rounds by ROUND; only 0 and ROUND"),
    (foreign(rounding_mode="FLOOR"), "zero point 0 and rounds by FLOOR"),
    (foreign(held={"bits": np.float32(20)}), "Quant 'wq': Integers have 2 to 16 bits"),
    (foreign(held={"bits": np.float32([[2, 8]])}), "Quant 'wq' has 2 bit widths"),
    (foreign(held={"scale": np.float32(-1)}), "Quant 'wq': A scale must be positive"),
    (foreign(computed=True), "Quant 'wq' computes its scale"),
    (foreign("Trunc"), "Trunc 'wq' is of QONNX, of which bitsmith reads Quant"),
], ids=["zero point", "rounding", "bits", "several widths", "scale", "computed", "Trunc"])
def test_what_it_cannot_read_is_refused_by_name(model: bytes, message: str) -> None:
    with pytest.raises(LoadError, match=message):
        without_quants(load(model))
