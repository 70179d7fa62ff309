"""Floating point of fewer bits and powers of two: what stands in the file, what runs, and what is read back."""

from pathlib import Path

import networks
import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper, numpy_helper
from quantizing import MARGIN, Chain, assert_same

import bitsmith as bs
from bitsmith.analysis.carried_plan import carried_plan
from bitsmith.analysis.describe_tensors import with_encoding
from bitsmith.analysis.engines import Subject
from bitsmith.analysis.lost_shares import lost_of_array, significant_bits
from bitsmith.calibration.statistics import Statistics
from bitsmith.graph import constant
from bitsmith.lowering import lower
from bitsmith.numerics import Encoding, parse_format
from bitsmith.numerics.formats import Array
from bitsmith.planning.recipe import FLOAT, Recipe, Rule
from bitsmith.report.rows import Tensor
from bitsmith.running.session import Session
from bitsmith.targets.onnx import TARGETS
from bitsmith.targets.onnx.extract import extract_quantization

STORED = {"float16": TensorProto.FLOAT16, "bfloat16": TensorProto.BFLOAT16, "float8_e4m3": TensorProto.FLOAT8E4M3FN,
          "float8_e5m2": TensorProto.FLOAT8E5M2, "pow2_4": TensorProto.INT8}
NUMBERS = [name for name in STORED if "float" in name]
POWERS = ["pow2_2", "pow2_3", "pow2_4"]
LARGEST_ERROR = {"float16": 0.001, "bfloat16": 0.01, "float8_e4m3": 0.1, "float8_e5m2": 0.2, "pow2_4": 0.4}     # of the largest result


def chain_of(weights: str, activations: int | str = FLOAT, *, target: str = "onnxruntime", granularity: str | None = None) -> Chain:
    rule = Rule(weights=weights, activations=activations, granularity=granularity)
    return Chain.of(networks.conv_bn_relu(), Recipe("formats", (rule,)), target)


def planned(chain: Chain, format: str) -> list[str]:
    return [name for name, encoding in chain.plan.encodings.items() if encoding.format.name == format]


@pytest.mark.parametrize("granularity", ["channel", "group:4"])
@pytest.mark.parametrize("target", ["onnxruntime", "onnx"])
@pytest.mark.parametrize("format", STORED)
def test_weights_only(format: str, target: str, granularity: str, tmp_path: Path) -> None:
    """Every engine gives the same; the file holds the codes and nothing else of the weights."""
    chain = chain_of(format, target=target, granularity=granularity)
    exact = Session(chain.network).run(chain.feeds)["output"]
    near = chain.results()["output"]
    assert 0 < np.abs(near - exact).max() < LARGEST_ERROR[format] * np.abs(exact).max()
    np.testing.assert_allclose(chain.results(optimise=False)["output"], near, atol=MARGIN)
    np.testing.assert_allclose(chain.program.run(chain.feeds)["output"], near, atol=MARGIN)
    weights = planned(chain, format)
    assert len(weights) >= 3
    held = {t.name: t for t in ir.to_proto(chain.written).graph.initializer}
    for name in weights:
        assert held[name].data_type == STORED[format]
        assert held[name].raw_data == chain.plan.encodings[name].quantize(array_of(chain.network, name)).tobytes()
    assert ("DequantizeLinear" in chain.kernels(tmp_path / "k.onnx")) == (target == "onnx" and format not in ("float16", "bfloat16"))


def array_of(network: ir.Model, name: str) -> Array:
    array = constant(network.graph.initializers[name])
    assert array is not None
    return array


@pytest.mark.parametrize("granularity", ["channel", "group:4"])
@pytest.mark.parametrize("target", ["onnxruntime", "onnx"])
@pytest.mark.parametrize("format", NUMBERS)
def test_files_are_read_back(format: str, target: str, granularity: str, tmp_path: Path) -> None:
    """With the plan beside it, and from the file alone: floating point says itself which format it is."""
    model = networks.conv_bn_relu()
    recipe = Recipe("formats", (Rule(weights=format, activations=FLOAT, granularity=granularity),))
    quantized = bs.quantize(model, recipe=recipe, target=target)
    path, *_ = quantized.write(tmp_path / "net.onnx")
    assert bs.load_plan(path.with_suffix(".plan.json")).encodings == quantized.plan.encodings
    subject = Subject(path)
    carried = carried_plan(subject).encodings
    for name, encoding in quantized.plan.encodings.items():
        shape = array_of(quantized.refined, name).shape
        assert carried[name].format == encoding.format
        np.testing.assert_array_equal(carried[name].scale, encoding.scale)
        assert carried[name].blocks.shape(shape) == encoding.blocks.shape(shape)
    assert carried.keys() == quantized.plan.encodings.keys()
    feeds = networks.feeds(model, 4)
    expected = Subject(quantized.network).engine("onnxruntime")(feeds)["output"]
    for engine in ("onnxruntime", "simulated"):
        np.testing.assert_allclose(subject.engine(engine)(feeds)["output"], expected, atol=MARGIN)


@pytest.mark.parametrize("target", ["onnxruntime", "onnx"])
@pytest.mark.parametrize("format", NUMBERS)
def test_one_such_layer_among_integers_computes_in_float_and_says_why(format: str, target: str) -> None:
    """The others stay integers; the codes of all values are those of the program, and from the file as well."""
    recipe = Recipe("mixed", (Rule(match="conv2.weight", weights=format),))
    chain = Chain.of(networks.conv_bn_relu(), recipe, target)
    (name,) = chain.plan.in_float
    assert chain.plan.reasons[name] == f"float arithmetic, narrow weights: its weights are {format}, which no integer arithmetic sums up"
    assert name in chain.program.in_float
    codes = chain.program.codes(chain.feeds, chain.coded)
    assert len(codes) >= 2
    assert_same(chain.codes(optimise=False), codes, chain.coded)
    found = extract_quantization(chain.written)
    read = lower(found.network, found.plan)
    assert name in read.in_float
    np.testing.assert_allclose(read.run(chain.feeds)["output"], chain.results()["output"], atol=MARGIN)


@pytest.mark.parametrize("format", NUMBERS)
def test_a_plan_that_gives_integers_such_weights_is_carried_out_in_float(format: str) -> None:
    """Nothing is summed up that is no integer, whoever made the plan."""
    chain = Chain.of(networks.conv_bn_relu())
    number = Encoding(parse_format(format), np.float32(1), np.int32(0))
    plan = bs.Plan({**chain.plan.encodings, "conv1.weight": number})
    program = lower(chain.network, plan)
    assert f"'conv1.weight' is {format}, which no integer arithmetic sums up" in program.in_float.values()
    assert program.run(chain.feeds)["output"].shape == (16, 5)


def test_numbers_of_sixteen_bits_in_files_by_others() -> None:
    """A constant operand in half precision, cast, between codes: it is read as what it is, and added in float."""
    held = {"s": np.float32(0.25), "z": np.uint8(0), "half": np.float16([1.5, 2, -3])}
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["codes"]), helper.make_node("DequantizeLinear", ["codes", "s", "z"], ["real"]),
        helper.make_node("Cast", ["half"], ["wide"], to=1), helper.make_node("Add", ["real", "wide"], ["sum"]),
        helper.make_node("QuantizeLinear", ["sum", "s", "z"], ["more"]), helper.make_node("DequantizeLinear", ["more", "s", "z"], ["y"]),
    ]
    x, y = (helper.make_tensor_value_info(n, TensorProto.FLOAT, ["batch", 3]) for n in "xy")
    graph = helper.make_graph(nodes, "g", [x], [y], [numpy_helper.from_array(np.asarray(a), n) for n, a in held.items()])
    model = onnx_model(graph)
    found = extract_quantization(ir.from_proto(onnx.shape_inference.infer_shapes(model)))
    assert found.plan.encodings["half"].format.name == "float16"
    feeds = {"x": np.float32([[1, 2, 30], [0.3, 40, 5]])}
    np.testing.assert_array_equal(lower(found.network, found.plan).run(feeds)["y"], Session(ir.from_proto(model)).run(feeds)["y"])


def onnx_model(graph: onnx.GraphProto) -> onnx.ModelProto:
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


@pytest.mark.parametrize("target", ["onnxruntime", "onnx"])
@pytest.mark.parametrize("format", POWERS)
def test_powers_of_two_are_integer_arithmetic(format: str, target: str) -> None:
    chain = chain_of(format, 8, target=target)
    assert not chain.plan.in_float
    assert not chain.program.in_float
    codes = chain.program.codes(chain.feeds, chain.coded)
    assert_same(chain.codes(optimise=True), codes, chain.coded)
    for name in planned(chain, format):
        assert set(np.unique(np.abs(array_of(chain.written, name).astype(int)))) <= {0, *(2**k for k in range(7))}
        assert (np.frexp(chain.plan.encodings[name].scale)[0] == 0.5).all()


@pytest.mark.parametrize("target", ["onnxruntime", "onnx"])
@pytest.mark.parametrize("weights", [None, 8])
@pytest.mark.parametrize("format", NUMBERS)
def test_activations_of_floating_point(format: str, weights: int | None, target: str) -> None:
    """Rounded in the file as in the program, whose arithmetic stays float and says so; read back from the file as they were."""
    for model in (networks.conv_bn_relu(), networks.rearranged()):
        chain = Chain.of(model, Recipe("formats", (Rule(weights=weights or format, activations=format),)), target)
        onnx.checker.check_model(ir.to_proto(chain.written))
        exact, expected = Session(chain.network).run(chain.feeds), chain.program.run(chain.feeds)
        margin = max(LARGEST_ERROR[format], 0.01 if weights else 0)
        for name, reals in expected.items():
            assert 0 < np.abs(reals - exact[name]).max() < 3 * margin * np.abs(exact[name]).max()
            for optimise in (True, False):
                np.testing.assert_allclose(chain.results(optimise=optimise)[name], reals, atol=2e-3 if format == "float16" else MARGIN)
        products = [node.name for node in chain.network.graph if node.op_type in ("Conv", "Gemm")]
        assert set(products) <= set(chain.program.in_float) & chain.plan.in_float
        found = extract_quantization(chain.written)
        computed = [name for name in chain.plan.encodings if name not in chain.network.graph.initializers]
        assert len(computed) >= 3
        assert all(found.plan.encodings[name] == chain.plan.encodings[name] for name in computed)
        assert target == "onnxruntime" or len(list(found.network.graph)) == len(list(chain.network.graph))     # it unpacks by nodes
        assert not found.code_names


def test_numbers_of_eight_bits_have_a_scale_from_statistics_and_those_of_sixteen_have_none() -> None:
    for format in NUMBERS:
        chain = chain_of(format, format)
        encoding, largest = chain.plan.encodings["input"], np.abs(chain.feeds["input"]).max()
        if encoding.format.scaled:
            assert largest * 0.9 < encoding.highest <= largest * 1.01
            assert chain.plan.reasons["input"].startswith(f"{format}: percentile:99.9999 range [")
        else:
            assert encoding.scale == 1
            assert chain.plan.reasons["input"].startswith(f"{format}: numbers as they are, without a scale, in [")


@pytest.mark.parametrize("kind", ["float8_e4m3", "bfloat16"])
def test_one_layer_of_floating_point_among_integers(kind: str) -> None:
    """Its neighbours compute in float where they read it or are read by it; what is integer stays so, code for code."""
    recipe = Recipe("mixed", (Rule(match="conv2.weight", weights=kind, activations=kind),))
    chain = Chain.of(networks.conv_bn_relu(), recipe, "onnx")
    assert {e.format.name for e in chain.plan.encodings.values()} == {"uint8", "int8", "int32", kind}
    integers = [name for name in chain.coded if chain.plan.encodings[name].format.integral]
    held = Session(chain.written, [f"{name}_quantized" for name in integers], optimise=False).run(chain.feeds)
    found = {name.removesuffix("_quantized"): codes for name, codes in held.items()}
    assert_same(found, chain.program.codes(chain.feeds, integers), integers)
    np.testing.assert_allclose(chain.results(optimise=False)["output"], chain.program.run(chain.feeds)["output"], atol=MARGIN)
    assert any(kind in reason for reason in chain.program.in_float.values())


def test_there_are_no_codes_to_verify(tmp_path: Path) -> None:
    model = networks.conv_bn_relu()
    (path, *_) = bs.quantize(model, networks.feeds(model, 8), recipe="float8", target="onnx").write(tmp_path / "net.onnx")
    with pytest.raises(bs.BitsmithError, match="floating point of fewer bits and no integers: it computes in float"):
        bs.verify(path, networks.feeds(model, 4))


def test_powers_of_two_are_for_weights_only() -> None:
    with pytest.raises(bs.BitsmithError, match="'tensorrt' has no float8_e4m3 activations; it takes int8"):
        chain_of("int8", "float8_e4m3", target="tensorrt").plan  # noqa: B018
    encoding = Encoding(parse_format("pow2_4"), np.float32(1), np.int32(0))
    with pytest.raises(bs.BitsmithError, match="'input' is computed and has format pow2_4 in the plan; only constants may have it"):
        TARGETS["onnx"].build(chain_of("int8").network, bs.Plan({"input": encoding}))


@pytest.mark.parametrize("format", [*NUMBERS, "pow2_4"])
def test_the_report_shows_what_they_lose(format: str) -> None:
    """Numbers near the ends of their codes are rounded, not clipped; numbers that become 0 or -0 are lost."""
    codes = parse_format(format)
    encoding = Encoding(codes, np.float32(0.5), np.int32(0)) if codes.scaled else Encoding(codes, np.float32(1), np.int32(0))
    scale, (low, high) = float(encoding.scale), codes.limits
    smallest = scale * codes.step
    beyond = min(scale * high * 1.01, float(np.finfo(np.float32).max))
    array = np.float32([0, -smallest / 4, smallest / 4, smallest, scale * high * 0.99, scale * low * 0.99, beyond])
    clipped, underflow = lost_of_array(array, encoding)
    assert clipped.tolist() == [False] * 6 + [True]
    assert underflow.tolist() == [False, array[1] != 0, array[2] != 0, *[False] * 4]
    row = with_encoding(Tensor("w", "weight", "", significant_bits(one_sample(array[:4]))), encoding, (0.0, 0.0))
    assert (row.step, row.low, row.high) == (smallest, scale * codes.lowest, scale * codes.highest)


def one_sample(array: Array) -> Statistics:
    statistics = Statistics()
    statistics.observe(array[None])
    return statistics
