"""The QOperator form: written from the plan, it gives the integer program's codes; read back, it is the same network and plan."""

from collections import Counter
from pathlib import Path

import networks
import numpy as np
import onnx
import onnx_ir as ir
import pytest
from quantizing import Chain, assert_same, between

import bitsmith as bs
from bitsmith.analysis.engines import Subject
from bitsmith.errors import TargetError
from bitsmith.integer.instructions import LookUp
from bitsmith.loading.from_onnx import load
from bitsmith.numerics import Encoding, Integer
from bitsmith.planning import recipes
from bitsmith.planning.plan import Plan
from bitsmith.planning.recipe import Recipe, Rule
from bitsmith.running.session import Session
from bitsmith.targets import target_named
from bitsmith.targets.onnx.extract import extract_quantization
from bitsmith.targets.onnx.insert import ON_CODES
from bitsmith.targets.onnx.qoperators import KERNELS, MICROSOFT
from bitsmith.targets.onnx.spell_out import spelled_out

TARGET, OF_ONNX = target_named("onnxruntime:qoperator"), target_named("onnx:qoperator")
NARROW = recipes.int8().with_rules(Rule(weights=4, activations=7))
TENSORS = recipes.int8().with_rules(Rule(granularity="tensor", symmetric_activations=True))
GROUPED = recipes.int8().with_rules(Rule(granularity="channels:3"))
CODED = {"QuantizeLinear", "DequantizeLinear", "Clip", *ON_CODES, *(k.name for k in KERNELS.values())}


def kinds(model: ir.Model) -> Counter[str]:
    return Counter(node.op_type for node in model.graph)


@pytest.mark.parametrize("recipe", [recipes.int8(), NARROW, TENSORS], ids=["int8", "narrow", "tensors"])
@pytest.mark.parametrize("name", sorted(networks.NETWORKS))
def test_every_network(name: str, recipe: Recipe) -> None:
    """Every engine gives the codes that it gives for Q/DQ: onnxruntime the file as it is, the others what is read back from it."""
    chain = Chain.of(networks.NETWORKS[name](), recipe)
    engines, values = Subject(TARGET.build(chain.network, chain.plan)).codes_engines()
    others, expected = Subject(chain.written).codes_engines()
    shared = [value for value in expected if value in values]
    assert len(shared) >= len(expected) / 2
    for engine, run in engines.items():
        found, other = run(chain.feeds), others[engine](chain.feeds)
        assert_same(found.codes, other.codes, shared)
        assert_same(found.outputs, other.outputs, found.outputs)


@pytest.mark.parametrize("recipe", [recipes.int8(), GROUPED], ids=["int8", "grouped"])
@pytest.mark.parametrize("name", sorted(networks.NETWORKS))
def test_there_and_back(name: str, recipe: Recipe) -> None:
    """The plan that the file carries is the plan."""
    chain = Chain.of(networks.NETWORKS[name](), recipe)
    plain = extract_quantization(load(chain.written)).plan.encodings
    found = extract_quantization(load(TARGET.build(chain.network, chain.plan))).plan.encodings
    assert set(plain) == set(found)
    assert all(found[name] == encoding for name, encoding in plain.items())


def test_nothing_is_left_between_codes() -> None:
    chain = Chain.of(networks.conv_bn_relu())
    found = kinds(TARGET.build(chain.network, chain.plan))
    assert set(found) <= CODED
    assert found["QuantizeLinear"] == len(chain.network.graph.inputs)
    assert found["QLinearConv"] == sum(node.op_type == "Conv" for node in chain.network.graph)
    assert not {"Conv", "Gemm", "Relu"} & set(found)


def test_what_has_no_qoperator_stays_and_is_said() -> None:
    chain = Chain.of(between("ReduceMean", (4, 1, 1), operands=[np.array([2, 3])]))
    said = TARGET.explain(chain.network, chain.plan).reasons
    assert said["/middle"] == "between Q and DQ: there is no QOperator for ReduceMean"
    assert kinds(TARGET.build(chain.network, chain.plan))["ReduceMean"] == 1
    assert chain.plan.reasons.items() <= said.items()


def test_tables_stay_between_q_and_dq_and_are_said() -> None:
    chain = Chain.of(networks.swish())
    tables = [i for i in chain.program.instructions if isinstance(i, LookUp)]
    said = TARGET.explain(chain.network, chain.plan).reasons
    assert tables
    for table in tables:
        makers = [n.name or "" for n in chain.network.graph if n.outputs[0].name == table.output]
        assert [said[m] for m in makers] == [f"between Q and DQ: there is no QOperator for {makers_kind(chain, table.output)}"]


def makers_kind(chain: Chain, value: str) -> str:
    return next(n.op_type for n in chain.network.graph if n.outputs[0].name == value)


def test_codes_of_two_bytes_stay_between_q_and_dq() -> None:
    chain = Chain.of(networks.mlp(), recipes.int16())
    said = {reason for reason in TARGET.explain(chain.network, chain.plan).reasons.values() if reason.startswith("between")}
    assert said == {"between Q and DQ: QGemm takes codes of one byte", "between Q and DQ: there is no QOperator for Tanh"}
    assert "QGemm" not in kinds(TARGET.build(chain.network, chain.plan))


def test_a_bias_with_a_scale_of_its_own_stays_between_q_and_dq() -> None:
    chain = Chain.of(networks.mlp())
    name = next(n for n, e in chain.plan.encodings.items() if e.format == Integer(32))
    own = Plan({**chain.plan.encodings, name: Encoding(Integer(32), np.float32(0.001), np.zeros((), np.int32))})
    assert sum("scale of its own" in reason for reason in TARGET.explain(chain.network, own).reasons.values()) == 1


def test_a_clamp_narrower_than_its_codes_clips_them() -> None:
    """The codes of the input and those behind the clamp are one encoding: 0.5 is no end of it."""
    b = networks.Builder(21, seed=3)
    x = b.conv("input", "before", (4, 4, 1, 1))
    low, high = b.constant("low", -0.1), b.constant("high", 0.2)
    b.conv(b.node("Clip", [x, low, high], "middle"), "after", (2, 4, 1, 1))
    chain = Chain.of(b.model({"input": ("batch", 4, 6, 6)}, {"after_out": ("batch", 2, 6, 6)}))
    wide = Encoding(Integer(8, signed=False), np.float32(0.01), np.int32(128))
    bias = {"after.bias": Encoding(Integer(32), 0.01 * chain.plan.encodings["after.weight"].scale.ravel(), np.zeros((), np.int32),
                                   chain.plan.encodings["after.bias"].blocks)}
    plan = Plan({**chain.plan.encodings, "middle": wide, **bias})
    model = TARGET.build(chain.network, plan)
    assert kinds(model)["Clip"] == 1
    codes = Session(model, ["middle_quantized"]).run(chain.feeds)["middle_quantized"]
    assert (codes.min(), codes.max()) == (118, 148)
    found = bs.verify(model, dict(chain.feeds))
    assert found.exact
    assert "middle" in {d.value for d in found.comparisons[0].differences}


def test_only_operators_of_onnx_itself_for_the_target_onnx() -> None:
    chain = Chain.of(networks.mlp(), target="onnx")
    model = OF_ONNX.build(chain.network, chain.plan)
    assert {node.domain for node in model.graph} == {""}
    assert MICROSOFT not in model.graph.opset_imports
    conv = Chain.of(networks.conv_bn_relu(), target="onnx")
    model = OF_ONNX.build(conv.network, conv.plan)
    assert kinds(model)["QLinearConv"] > 0
    onnx.checker.check_model(ir.to_proto(model), full_check=True)


def test_spelled_out_it_is_itself_where_there_is_nothing_to_spell() -> None:
    network = load(networks.mlp().SerializeToString())
    assert spelled_out(network) is network


def test_one_weight_for_two_nodes() -> None:
    b = networks.Builder(21, seed=3)
    weight = b.weight("weight", 4, 4, 1, 1)
    x = b.node("Conv", ["input", weight], "first")
    b.node("Conv", [x, weight], "second")
    chain = Chain.of(b.model({"input": ("batch", 4, 6, 6)}, {"second": ("batch", 4, 6, 6)}))
    found = Subject(TARGET.build(chain.network, chain.plan)).engine("program")(chain.feeds)
    assert_same(found, chain.program.run(chain.feeds), ["second"])


def test_a_file_is_verified_and_measured(tmp_path: Path) -> None:
    chain = Chain.of(networks.conv_bn_relu())
    files = TARGET.write(chain.network, chain.plan, tmp_path / "net.onnx")
    assert [f.name for f in files] == ["net.onnx", "net.plan.json"]
    assert bs.verify(files[0], dict(chain.feeds)).exact
    same, spelled = (bs.evaluate(files[0], dict(chain.feeds), against=chain.network, engine=e).snr_db for e in ("onnxruntime", "program"))
    assert same == spelled


@pytest.mark.parametrize(("name", "message"), [
    ("onnxruntime:qdq", "Target 'onnxruntime' does not know 'qdq'; onnxruntime and onnx know 'qoperator'"),
    ("tensorrt:qoperator", "Target 'tensorrt' does not know 'qoperator'"),
    ("nowhere:qoperator", "No target is called 'nowhere:qoperator'"),
])
def test_wishes_that_nobody_knows(name: str, message: str) -> None:
    with pytest.raises(TargetError, match=message):
        target_named(name)


def test_ranges_found_at_run_time_are_refused() -> None:
    chain = Chain.of(networks.mlp(), recipes.dynamic_int8())
    with pytest.raises(TargetError, match="is found at run time, which QOperators cannot do"):
        TARGET.build(chain.network, chain.plan)
