"""The equation: codes and reals, blocks of every kind, and what ONNX's own operators make of the same numbers."""

import json
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from onnx import helper, numpy_helper

from bitsmith.errors import PlanError
from bitsmith.numerics import Blocks, Encoding, Integer
from bitsmith.numerics.encoding import LARGEST_SCALE, SMALLEST_SCALE, from_dict, spanning, to_dict
from bitsmith.numerics.formats import Array, Format

INTEGERS = st.builds(Integer, st.integers(2, 16), signed=st.booleans(), restricted=st.just(False), ties=st.sampled_from(["even", "away"]))
FORMATS = INTEGERS | st.builds(Integer, st.integers(2, 16), restricted=st.just(True))
REALS = st.floats(-1e6, 1e6, width=32)
SCALES = st.floats(2.0**-14, 2.0**14, width=32)
BLOCKS = [Blocks(), Blocks.channels(0), Blocks.channels(2), Blocks({0: 2}), Blocks({0: 1, 1: 3}), Blocks({0: 1, 1: 2, 2: 1}),
          Blocks({1: 7})]


@st.composite
def encodings(draw: Any) -> Encoding:
    format = draw(FORMATS)
    return Encoding(format, np.float32(draw(SCALES)), np.int32(draw(st.integers(format.lowest, format.highest))))


def slow_code(real: float, scale: float, zero_point: int, format: Integer) -> int:
    """Equation (2), element by element."""
    if np.isnan(real):
        return zero_point
    with np.errstate(over="ignore"):
        steps = float(np.float32(real) / np.float32(scale))
    if np.isinf(steps):
        return format.highest if steps > 0 else format.lowest
    whole = int(np.trunc(steps))
    rest = abs(steps - whole)
    up = rest > 0.5 or (rest == 0.5 and (format.ties == "away" or whole % 2 == 1))
    rounded = whole + (int(np.copysign(1, steps)) if up else 0)
    return min(max(rounded + zero_point, format.lowest), format.highest)


@given(encodings(), st.lists(REALS, min_size=1, max_size=20))
def test_half_a_step_at_most_is_lost_within_the_range(encoding: Encoding, reals: list[float]) -> None:
    x = np.clip(np.float32(reals), encoding.lowest, encoding.highest)
    error = np.abs(encoding.simulate(x).astype(np.float64) - x)
    assert (error <= encoding.scale * (0.5 + 1e-6 * (1 + np.abs(x / encoding.scale)))).all()


@given(encodings(), st.lists(st.floats(width=32), min_size=1, max_size=20))
def test_every_float_has_the_code_that_the_equation_says(encoding: Encoding, reals: list[float]) -> None:
    """NaN becomes zero, infinities saturate."""
    assert isinstance(encoding.format, Integer)
    codes = encoding.quantize(np.asarray(reals, np.float32))
    assert codes.dtype == encoding.format.storage
    assert codes.tolist() == [slow_code(r, float(encoding.scale), int(encoding.zero_point), encoding.format) for r in reals]


@given(encodings(), st.lists(st.floats(allow_nan=False, width=32), min_size=2, max_size=20))
def test_larger_reals_never_have_lower_codes(encoding: Encoding, reals: list[float]) -> None:
    codes = encoding.quantize(np.sort(np.asarray(reals, np.float32))).astype(int)
    assert (np.diff(codes) >= 0).all()


@given(encodings())
def test_codes_come_back_as_themselves(encoding: Encoding) -> None:
    codes = np.arange(encoding.format.lowest, encoding.format.highest + 1).astype(encoding.format.storage)
    np.testing.assert_array_equal(encoding.quantize(encoding.dequantize(codes)), codes)
    assert encoding.dequantize(codes[:1]) == encoding.lowest
    assert encoding.dequantize(codes[-1:]) == encoding.highest


def test_ties() -> None:
    steps = np.float32([-2.5, -1.5, -0.5, 0.5, 1.5, 2.5])
    at = {ties: Encoding(Integer(8, ties=ties), np.float32(1), np.int32(3)).quantize(steps) - 3 for ties in ("even", "away")}  # type: ignore[arg-type]
    assert at["even"].tolist() == [-2, -2, 0, 0, 2, 2]
    assert at["away"].tolist() == [-3, -2, -1, 1, 2, 3]


@pytest.mark.parametrize("blocks", BLOCKS, ids=str)
@given(arrays.arrays(np.float32, (5, 7, 3), elements=REALS), st.integers(0, 2**31))
def test_blocks_against_one_element_at_a_time(blocks: Blocks, tensor: Array, seed: int) -> None:
    random, shape, format = np.random.default_rng(seed), blocks.shape(tensor.shape), Integer(6)
    encoding = Encoding(format, random.uniform(0.01, 1e5, shape), random.integers(-5, 6, shape), blocks)
    codes, reals = encoding.quantize(tensor), encoding.dequantize(encoding.quantize(tensor))
    for index in np.ndindex(*tensor.shape):
        block = tuple(index[a] // blocks.sizes[a] if a in blocks.sizes else 0 for a in range(3)) if blocks.sizes else ()
        scale, zero_point = encoding.scale[block], int(encoding.zero_point[block])
        assert codes[index] == slow_code(float(tensor[index]), float(scale), zero_point, format)
        assert reals[index] == np.float32(int(codes[index]) - zero_point) * scale


@pytest.mark.parametrize("blocks", BLOCKS, ids=str)
@pytest.mark.parametrize("part", [1, 40, 10**6])
def test_tensors_are_encoded_in_parts_of_any_size_alike(blocks: Blocks, part: int, monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.default_rng(0)
    tensor, shape = generator.normal(size=(5, 7, 3)).astype(np.float32), blocks.shape((5, 7, 3))
    encoding = Encoding(Integer(8), np.float32(generator.uniform(0.01, 0.1, shape)), np.int32(generator.integers(-9, 9, shape)), blocks)
    whole = encoding.quantize(tensor)
    monkeypatch.setattr("bitsmith.numerics.encoding.PART", part)
    np.testing.assert_array_equal(encoding.quantize(tensor), whole)


@pytest.mark.parametrize("blocks", BLOCKS, ids=str)
def test_reduce_is_the_ufunc_of_every_block(blocks: Blocks) -> None:
    tensor = np.random.default_rng(0).normal(size=(5, 7, 3))
    found = blocks.reduce(np.maximum, tensor)
    assert found.shape == blocks.shape(tensor.shape)
    assert (tensor <= blocks.spread(found, tensor.shape)).all()
    assert np.isin(found, tensor).all()


@pytest.mark.parametrize("sizes", [{-1: 1}, {0: 0}])
def test_blocks_that_are_none(sizes: dict[int, int]) -> None:
    with pytest.raises(PlanError, match="Blocks need axes from 0 and sizes from 1"):
        Blocks(sizes)


def test_what_does_not_fit_is_refused() -> None:
    rows = Encoding(Integer(8), np.ones((2, 1)), np.zeros((2, 1)), Blocks.channels(0))
    with pytest.raises(PlanError, match=r"scales of shape \(2, 1\) does not fit a tensor of shape \(3, 4\)"):
        rows.quantize(np.zeros((3, 4), np.float32))
    with pytest.raises(PlanError, match="do not fit a tensor of shape"):
        Blocks.channels(3).shape((2, 2))
    for scale in (np.ones(3), np.ones((2, 2))):
        with pytest.raises(PlanError, match=r"do not fit blocks \{\}"):
            Encoding(Integer(8), scale, np.int32(0))
    with pytest.raises(PlanError, match="do not fit blocks"):
        Encoding(Integer(8), np.ones(3), np.int32(0), Blocks.channels(1))


@pytest.mark.parametrize("scale", [0.0, -1.0, np.nan, np.inf])
def test_scales_that_are_none(scale: float) -> None:
    with pytest.raises(PlanError, match="A scale must be positive and finite"):
        Encoding(Integer(8), np.float32(scale), np.int32(0))


HALF_BYTES = (onnx.TensorProto.INT4, onnx.TensorProto.UINT4)


def operator(kind: str, operands: list[Array], dtypes: list[int], attributes: dict[str, int]) -> Array:
    """One ONNX operator in onnxruntime."""
    names = ["x", "scale", "zero_point"]
    held = [helper.make_tensor(n, t, a.shape, a.ravel()) if t in HALF_BYTES else numpy_helper.from_array(a, n)
            for n, a, t in zip(names, operands, dtypes, strict=True)]
    node = helper.make_node(kind, names, ["y"], **attributes)
    graph = helper.make_graph([node], "g", [], [onnx.ValueInfoProto(name="y")], held)
    if kind == "QuantizeLinear" and dtypes[2] in HALF_BYTES:
        graph.node.append(helper.make_node("Cast", ["y"], ["wide"], to=onnx.TensorProto.INT8))
        graph.output[0].name = "wide"
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return np.asarray(onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"]).run(None, {})[0])


@pytest.mark.parametrize(("blocks", "attributes"), [
    (Blocks(), {}), (Blocks.channels(1), {"axis": 1}), (Blocks({0: 1, 1: 2, 2: 1}), {"axis": 1, "block_size": 2}),
], ids=["whole", "axis", "blocks"])  # fmt: skip
@pytest.mark.parametrize("name", ["INT8", "UINT8", "INT16", "UINT16", "INT4", "UINT4"])
@pytest.mark.parametrize("seed", range(3))
def test_onnx_says_the_same(name: str, blocks: Blocks, attributes: dict[str, int], seed: int) -> None:
    random, kind = np.random.default_rng(seed), getattr(onnx.TensorProto, name)
    format = Integer(int(name.strip("UINT")), signed=name.startswith("I"))
    shape = blocks.shape((4, 6, 5))
    scale = (2.0 ** random.integers(-6, -2, shape) if seed == 0 else random.uniform(0.01, 0.1, shape)).astype(np.float32)
    encoding = Encoding(format, scale, random.integers(format.lowest, format.highest + 1, shape), blocks)
    x = (random.integers(-4000, 4000, (4, 6, 5)) / 64).astype(np.float32)      # with scales that are powers of two, full of ties
    flat = () if not blocks.sizes else (-1,) if blocks.channel_axis is not None else shape
    per_block = [encoding.scale.reshape(flat), encoding.zero_point.astype(format.storage).reshape(flat)]
    codes = operator("QuantizeLinear", [x, *per_block], [1, 1, kind], attributes)
    np.testing.assert_array_equal(encoding.quantize(x), codes)
    reals = operator("DequantizeLinear", [encoding.quantize(x), *per_block], [kind, 1, kind], attributes)
    np.testing.assert_array_equal(encoding.dequantize(encoding.quantize(x)), reals)


LIMITS = st.floats(-(2.0**127), 2.0**127, width=32)


@given(FORMATS, LIMITS, LIMITS, st.booleans(), st.booleans())
def test_spanning(format: Format, first: float, second: float, symmetric: bool, power_of_two: bool) -> None:
    low, high = sorted((first, second))
    encoding = spanning(low, high, format, symmetric=symmetric, power_of_two=power_of_two)
    assert encoding.simulate(np.float32([0.0])) == 0
    assert format.lowest <= encoding.zero_point <= format.highest
    assert SMALLEST_SCALE <= encoding.scale <= LARGEST_SCALE
    with np.errstate(over="ignore"):
        slack = np.float64(encoding.scale) * 0.51
    assert np.float64(encoding.lowest) - slack <= min(low, 0)
    assert max(high, 0) <= np.float64(encoding.highest) + slack
    if symmetric:
        assert encoding.zero_point in (0, (format.highest + 1) // 2)
    if power_of_two and encoding.scale < LARGEST_SCALE:
        assert np.frexp(encoding.scale)[0] == 0.5


def test_spanning_by_example() -> None:
    assert spanning(0, 2.55, Integer(8, signed=False)) == Encoding(Integer(8, signed=False), np.float32(0.01), np.int32(0))
    assert spanning(-1, 1, Integer(8, signed=False), symmetric=True).zero_point == 128
    assert spanning(0, 1, Integer(8, signed=False), symmetric=True).zero_point == 0
    assert spanning(-1.28, 0, Integer(8), symmetric=True).scale == np.float32(0.01)
    assert spanning(-1.27, 0, Integer(8, restricted=True), symmetric=True).scale == np.float32(0.01)
    assert spanning(0, 0, Integer(8)).scale == 1
    assert spanning(0, 0.9, Integer(8, signed=False), power_of_two=True).scale == 2.0**-8
    assert spanning(0, 1e-45, Integer(8)).scale == np.float32(SMALLEST_SCALE)
    rows = spanning(np.zeros((2, 1)), np.float32([[2.55], [5.1]]), Integer(8, signed=False), blocks=Blocks.channels(0))
    np.testing.assert_allclose(rows.scale, [[0.01], [0.02]], rtol=1e-7)


@given(FORMATS, arrays.arrays(np.float32, (3, 2), elements=st.floats(np.float32(1e-37), np.float32(1e37), width=32)), st.integers(0, 9))
def test_plain_data_come_back_exactly(format: Format, scale: Array, seed: int) -> None:
    zero_point = np.random.default_rng(seed).integers(format.lowest, format.highest + 1, scale.shape)
    encoding = Encoding(format, scale, zero_point * (seed % 2), Blocks({0: 2, 1: 4}))
    if format.lowest <= 0 or seed % 2:
        assert from_dict(json.loads(json.dumps(to_dict(encoding)))) == encoding
    assert from_dict(to_dict(Encoding(format, scale[0, 0], zero_point[0, 0]))).scale == scale[0, 0]


@pytest.mark.parametrize("readable", [0, 10**6])
def test_very_many_scales_are_written_shortly_and_come_back_exactly(readable: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bitsmith.numerics.encoding.READABLE", readable)
    generator = np.random.default_rng(0)
    encoding = Encoding(Integer(8), generator.uniform(0.01, 0.1, (3, 4)).astype(np.float32), generator.integers(-9, 9, (3, 4)),
                        Blocks({0: 1, 1: 2}))
    written = json.loads(json.dumps(to_dict(encoding)))
    assert from_dict(written) == encoding
    if not readable:
        for spoilt in ("?", written["scale"]["<f4"][:-4], None):
            with pytest.raises(PlanError):
                from_dict({**written, "scale": {**written["scale"], "<f4": spoilt}})
        with pytest.raises(PlanError):
            from_dict({**written, "scale": {"shape": [3, 4]}})


@pytest.mark.parametrize("change", [
    {"format": "int99"}, {"format": 8}, {"scale": "x"}, {"scale": -1}, {"scale": 10**400}, {"scale": []}, {"scale": [[1], [1, 2]]},
    {"scale": [1.0, 2.0]}, {"zero_point": 200}, {"zero_point": 0.5}, {"zero_point": [0, 0]}, {"zero_point": 10**30}, {"zero_point": None},
    {"blocks": {"x": 1}}, {"blocks": {"0": 0}}, {"blocks": {"0": 1}}, {"blocks": [1]}, {"blocks": None},
])  # fmt: skip
def test_what_no_encoding_says_is_a_plan_error(change: dict[str, Any]) -> None:
    good: dict[str, Any] = {"format": "int8", "scale": 0.5, "zero_point": 3}
    assert from_dict(good) == Encoding(Integer(8), np.float32(0.5), np.int32(3))
    with pytest.raises(PlanError):
        from_dict(good | change)


def test_missing_keys_are_a_plan_error() -> None:
    for data in ({}, {"format": "int8"}, {"format": "int8", "scale": 1.0}):
        with pytest.raises(PlanError, match="This is not an encoding"):
            from_dict(data)


def test_int32_keeps_digits_that_float32_has_not() -> None:
    """A bias code may have 31 bits."""
    encoding = Encoding(Integer(32), np.float32(2.0**-10), np.int32(0))
    assert encoding.quantize(np.float32([2.0**20 / 2**10 * 1023])) == 2**20 * 1023


def test_equality_looks_at_everything() -> None:
    one = Encoding(Integer(8), np.float32(1), np.int32(0))
    others: list[Any] = [Encoding(Integer(7), one.scale, one.zero_point), Encoding(Integer(8), np.float32(2), np.int32(0)),
                         Encoding(Integer(8), one.scale, np.int32(1)), "an encoding"]
    assert one == Encoding(Integer(8), np.float32(1), np.int32(0))
    assert all(one != other for other in others)
    assert len({Blocks({0: 1, 1: 2}), Blocks({1: 2, 0: 1}), Blocks()}) == 2
