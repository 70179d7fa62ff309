"""QONNX files: what the package qonnx makes of every tensor is what our simulation makes of it."""

import importlib.util
from pathlib import Path

import networks
import numpy as np
import onnx
import onnx_ir as ir
import pytest
from hypothesis import given
from hypothesis import strategies as st
from quantizing import POWERS, Array, Chain, Feeds, assert_same

from bitsmith.errors import PlanError, TargetError
from bitsmith.loading.from_onnx import load
from bitsmith.numerics import Blocks, Encoding, Integer
from bitsmith.planning import recipes
from bitsmith.planning.plan import Plan
from bitsmith.planning.recipe import Recipe, Rule
from bitsmith.running.session import Session
from bitsmith.targets.onnx import QONNX
from bitsmith.targets.onnx.quant_nodes import DOMAIN, insert_quants

NO_QONNX = "the package qonnx is not installed"
NARROW = recipes.int8().with_rules(Rule(weights=3, activations=5), Rule("input", activations=12))
GROUPED = recipes.int8().with_rules(Rule(weights=4, granularity="channels:3"))
UNSCHOOLED = {"two_in_two_out", "tokens"}           # qonnx feeds one kind of sample count and float32 only


def execute(path: Path, feeds: Feeds) -> dict[str, Array]:
    """Every tensor, as qonnx computes it node by node. The file is fixed to the number of samples, as qonnx wants."""
    pytest.importorskip("qonnx", reason=NO_QONNX)
    from qonnx.core import onnx_exec
    from qonnx.core.modelwrapper import ModelWrapper
    from qonnx.transformation.infer_shapes import InferShapes

    model = onnx.load(path)
    (samples,) = {len(array) for array in feeds.values()}
    for value in (*model.graph.input, *model.graph.output, *model.graph.value_info):
        for size in value.type.tensor_type.shape.dim:
            if size.dim_param:
                size.dim_value = samples
    shaped = ModelWrapper(model).transform(InferShapes())
    found: dict[str, Array] = onnx_exec.execute_onnx(shaped, dict(feeds), return_full_exec_context=True)
    return found


@pytest.fixture(autouse=True)
def older_format(monkeypatch: pytest.MonkeyPatch) -> None:
    """qonnx makes a file of each node in the latest format that onnx knows, which onnxruntime may not know yet."""
    if importlib.util.find_spec("qonnx"):
        from qonnx.core import onnx_exec

        made = onnx_exec.qonnx_make_model
        monkeypatch.setattr(onnx_exec, "qonnx_make_model", lambda graph: made(graph, ir_version=10))


def in_both(chain: Chain, folder: Path) -> tuple[dict[str, Array], dict[str, Array]]:
    """(qonnx, simulation) of every tensor that both files name."""
    path = folder / "net.onnx"
    QONNX.write(chain.network, chain.plan, path)
    theirs = execute(path, chain.feeds)
    shared = [v.name or "" for node in chain.written.graph for v in node.outputs if v.name in theirs]
    return theirs, Session(chain.written, shared, optimise=False).run(chain.feeds)


@pytest.mark.parametrize("recipe", [recipes.int8(), POWERS, NARROW, GROUPED], ids=["int8", "powers", "narrow", "grouped"])
@pytest.mark.parametrize("name", ["conv_bn_relu", "depthwise", "mlp"])
def test_every_tensor_is_the_simulations(name: str, recipe: Recipe, tmp_path: Path) -> None:
    chain = Chain.of(networks.NETWORKS[name](), recipe, "qonnx", samples=4)
    theirs, ours = in_both(chain, tmp_path)
    assert {f"{n}_dequantized" for n in chain.plan.encodings} - {"output_dequantized"} <= set(ours)
    assert_same(theirs, ours, ours)


@pytest.mark.parametrize("name", sorted(set(networks.NETWORKS) - UNSCHOOLED))
def test_every_network(name: str, tmp_path: Path) -> None:
    chain = Chain.of(networks.NETWORKS[name](), POWERS, "qonnx", samples=2)
    theirs, ours = in_both(chain, tmp_path)
    assert ours
    assert_same(theirs, ours, ours)


@pytest.mark.parametrize("name", ["conv_bn_relu", "depthwise", "mlp"])
def test_powers_of_two_are_pure_fixed_point(name: str, tmp_path: Path) -> None:
    """qonnx, onnxruntime and the integer program agree in every code."""
    chain = Chain.of(networks.NETWORKS[name](), POWERS, "qonnx", samples=4)
    theirs, ours = in_both(chain, tmp_path)[0], chain.program.codes(chain.feeds, chain.coded)
    reals = {n: theirs.get(f"{n}_dequantized", theirs[n]) for n in chain.coded}         # outputs keep their own names
    for engine in (chain.codes(optimise=True), {n: chain.plan.encodings[n].quantize(real) for n, real in reals.items()}):
        assert_same(engine, ours, chain.coded)


@given(st.integers(2, 16), st.booleans(), st.booleans(), st.lists(st.floats(-1e5, 1e5, width=32), min_size=1, max_size=20),
       st.floats(2.0**-10, 2.0**10, width=32))
def test_quant_means_an_encoding_without_zero_point(bits: int, signed: bool, narrow: bool, reals: list[float], scale: float) -> None:
    intquant = pytest.importorskip("qonnx.custom_op.general.intquant", reason=NO_QONNX)
    format, x, s = Integer(bits, signed=signed, restricted=signed and narrow), np.float32(reals), np.float32(scale)
    theirs = intquant.int_quant(x, s, np.float32(0), np.float32(bits), signed, signed and narrow, "ROUND")
    np.testing.assert_array_equal(Encoding(format, s, np.zeros((), np.int32)).simulate(x), theirs)


def test_what_a_file_holds(tmp_path: Path) -> None:
    chain = Chain.of(networks.conv_bn_relu(), NARROW, "qonnx")
    files = QONNX.write(chain.network, chain.plan, tmp_path / "net.onnx")
    assert [f.name for f in files] == ["net.onnx", "net.plan.json"]
    model = ir.from_proto(onnx.load(files[0]))
    quants = {n.inputs[0].name: n for n in model.graph if n.domain == DOMAIN}           # type: ignore[union-attr]
    assert set(quants) == {n if n != "output" else "output_unquantized" for n in chain.plan.encodings}
    assert model.graph.opset_imports[DOMAIN] == 1
    assert [v.name for v in model.graph.outputs] == [v.name for v in chain.network.graph.outputs]
    for name, node in quants.items():
        encoding = chain.plan.encodings[(name or "").removesuffix("_unquantized")]
        operands = [v.const_value.numpy() for v in node.inputs[1:]]                     # type: ignore[union-attr]
        assert operands[2] == encoding.format.bits
        assert node.attributes["signed"].as_int() == (encoding.format.lowest < 0)
        np.testing.assert_array_equal(operands[0], encoding.scale)


def test_values_of_both_signs_are_signed_and_others_are_not() -> None:
    plan = Chain.of(networks.conv_bn_relu(), NARROW, "qonnx").plan
    assert plan.encodings["input"].format.name == "int12"
    assert {"uint5"} == {e.format.name for n, e in plan.encodings.items() if n.endswith("_relu")}
    assert not any(e.zero_point.any() for e in plan.encodings.values())


def test_a_plan_without_codes_changes_nothing() -> None:
    network = load(networks.mlp().SerializeToString())
    assert ir.to_proto(insert_quants(network, Plan({}))).graph.node == ir.to_proto(network).graph.node


PLACE = (np.float32(0.1), np.zeros((), np.int32))
CHANNELS = (np.full((2, 1), 0.1, np.float32), np.zeros((), np.int32), Blocks.channels(0))


@pytest.mark.parametrize(("plan", "message"), [
    (Plan({"x": Encoding(Integer(8, ties="away"), *PLACE)}), "'x' has format int8-away: QONNX's Quant has integers that"),
    (Plan({"x": Encoding(Integer(8, signed=False), PLACE[0], np.int32(3))}), "'x' has zero point 3: QONNX adds it before"),
    (Plan({}, dynamic=frozenset("x")), "range of 'x' is found at run time"),
    (Plan({"w": Encoding(Integer(32), np.float32(5e-8), PLACE[1])}), "'w' has codes of so many bits that float32"),
    (Plan({"x": Encoding(Integer(8), *CHANNELS)}), "'x' is computed and has 2 scales"),
])
def test_what_qonnx_cannot_say_is_refused_by_name(plan: Plan, message: str) -> None:
    b = networks.Builder(21, seed=0)
    b.node("MatMul", ["x", b.weight("w", 2, 64)], "y")
    with pytest.raises(TargetError, match=message):
        insert_quants(load(b.model({"x": (2, 2)}, {"y": (2, 64)}).SerializeToString()), plan)


def test_a_plan_of_another_network_is_refused() -> None:
    with pytest.raises(PlanError, match="has 'elsewhere' and the network does not"):
        insert_quants(load(networks.mlp().SerializeToString()), Plan({"elsewhere": Encoding(Integer(8), *PLACE)}))
