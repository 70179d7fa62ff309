"""Floating point of 8 and 16 bits as codes: against ml_dtypes, against ONNX's operators, and against a search of all codes."""

from typing import Any

import ml_dtypes
import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import helper, numpy_helper

from bitsmith.errors import PlanError
from bitsmith.numerics import Encoding, parse_format
from bitsmith.numerics.encoding import from_dict, spanning, to_dict
from bitsmith.numerics.formats import Array
from bitsmith.numerics.minifloat import MINIFLOATS, Minifloat

LIBRARY: dict[str, Any] = {"float16": np.float16, "bfloat16": ml_dtypes.bfloat16, "float8_e4m3": ml_dtypes.float8_e4m3fn,
                           "float8_e5m2": ml_dtypes.float8_e5m2}
ONNX = {"float16": "FLOAT16", "bfloat16": "BFLOAT16", "float8_e4m3": "FLOAT8E4M3FN", "float8_e5m2": "FLOAT8E5M2"}
FLOATS = st.floats(width=32)
EVERY = pytest.mark.parametrize("format", MINIFLOATS.values(), ids=MINIFLOATS)
SMALL = pytest.mark.parametrize("format", [f for f in MINIFLOATS.values() if f.bits == 8], ids=lambda f: f.name)
ZERO = np.zeros((), np.int32)


def patterns(format: Minifloat) -> Array:
    return np.arange(1 << format.bits).astype(format.storage)


def around(format: Minifloat) -> Array:
    """All finite numbers, all points halfway between two, and their neighbours in float32."""
    numbers = np.unique(format.numbers[np.isfinite(format.numbers)].astype(np.float64))
    halfway = ((numbers[1:] + numbers[:-1]) / 2).astype(np.float32)
    reals = np.concatenate([numbers.astype(np.float32), halfway])
    with np.errstate(over="ignore"):
        return np.concatenate([reals, np.nextafter(reals, np.float32(np.inf)), np.nextafter(reals, np.float32(-np.inf))])


def saturated(reals: Array, format: Minifloat) -> Array:
    """The library's patterns of what is in range; it has infinities or NaN where we have the largest number."""
    with np.errstate(over="ignore"):
        return np.clip(reals, format.lowest, format.highest).astype(LIBRARY[format.name]).view(format.storage)


@EVERY
def test_every_pattern_is_the_librarys_number(format: Minifloat) -> None:
    theirs = patterns(format).view(LIBRARY[format.name]).astype(np.float32)
    np.testing.assert_array_equal(format.decode(patterns(format)), theirs)
    np.testing.assert_array_equal(np.signbit(format.numbers)[~np.isnan(theirs)], np.signbit(theirs)[~np.isnan(theirs)])
    assert parse_format(format.name) == format
    assert (format.lowest, format.highest) == (np.nanmin(theirs[np.isfinite(theirs)]), np.nanmax(theirs[np.isfinite(theirs)]))


@EVERY
def test_codes_come_back_as_themselves(format: Minifloat) -> None:
    finite = patterns(format)[np.isfinite(format.numbers)]
    np.testing.assert_array_equal(format.encode(format.decode(finite), ZERO), finite)
    assert np.isnan(format.decode(format.encode(np.float32([np.nan, -np.nan]), ZERO))).all()
    assert format.decode(format.encode(np.float32([np.inf, -np.inf]), ZERO)).tolist() == [format.highest, format.lowest]


@EVERY
def test_halfway_and_beside_it_as_the_library_says(format: Minifloat) -> None:
    reals = around(format)
    np.testing.assert_array_equal(format.encode(reals, ZERO), saturated(reals, format))


@EVERY
@given(reals=st.lists(FLOATS.filter(lambda x: not np.isnan(x)), min_size=1, max_size=20))
def test_any_float_as_the_library_says_and_in_order(format: Minifloat, reals: list[float]) -> None:
    x = np.sort(np.float32(reals))
    codes = format.encode(x, ZERO)
    np.testing.assert_array_equal(codes, saturated(x, format))
    assert (np.diff(format.decode(codes)) >= 0).all()


@SMALL
@given(real=st.floats(-500, 500, width=32) | st.floats(-(2.0**-7), 2.0**-7, width=32))
def test_the_nearest_of_all_codes(format: Minifloat, real: float) -> None:
    finite = patterns(format)[np.isfinite(format.numbers)]
    away = np.abs(format.numbers[finite].astype(np.float64) - real)
    nearest = finite[away == away.min()]
    (code,) = format.encode(np.float32([real]), ZERO)
    assert code in nearest
    if len({abs(float(format.numbers[c])) for c in nearest}) > 1:
        assert code % 2 == 0, "ties go to the even pattern"


def run(kind: str, held: dict[str, onnx.TensorProto], attributes: dict[str, int], dtype: int) -> Array:
    """One ONNX operator on constants in onnxruntime, its result as bytes or float32."""
    nodes = [helper.make_node(kind, list(held), ["y"], **attributes)]
    graph = helper.make_graph(nodes, "g", [], [helper.make_tensor_value_info("y", dtype, None)], list(held.values()))
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    (found,) = session.run_with_ort_values(["y"], {})
    return np.asarray(found.numpy())


def tensor(codes: Array, format: Minifloat, name: str) -> onnx.TensorProto:
    return helper.make_tensor(name, getattr(onnx.TensorProto, ONNX[format.name]), codes.shape, codes.tobytes(), raw=True)


@SMALL
@pytest.mark.parametrize("scale", [1.0, 0.37])
def test_onnx_quantizes_and_dequantizes_the_same(format: Minifloat, scale: float) -> None:
    """Its QuantizeLinear saturates, which Cast behind it shows as float32; every code is read by its DequantizeLinear."""
    encoding = Encoding(format, np.float32(scale), ZERO)
    held = {"c": tensor(patterns(format), format, "c"), "s": numpy_helper.from_array(np.float32(scale), "s")}
    reals = run("DequantizeLinear", held, {}, onnx.TensorProto.FLOAT)
    np.testing.assert_array_equal(encoding.dequantize(patterns(format)), reals)
    x = around(format)[np.abs(around(format)) < 1e30] * np.float32(scale)
    nodes = [helper.make_node("QuantizeLinear", ["x", "s", "z"], ["codes"]), helper.make_node("Cast", ["codes"], ["y"], to=1)]
    zero = tensor(patterns(format)[0], format, "z")
    constants = [numpy_helper.from_array(x, "x"), numpy_helper.from_array(np.float32(scale), "s"), zero]
    graph = helper.make_graph(nodes, "g", [], [helper.make_tensor_value_info("y", 1, None)], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    (found,) = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"]).run(None, {})
    np.testing.assert_array_equal(format.decode(encoding.quantize(x)), found)


@EVERY
def test_onnx_casts_every_pattern_to_the_same_number(format: Minifloat) -> None:
    reals = run("Cast", {"c": tensor(patterns(format), format, "c")}, {"to": onnx.TensorProto.FLOAT}, onnx.TensorProto.FLOAT)
    np.testing.assert_array_equal(format.decode(patterns(format)), reals)


@EVERY
@given(low=st.sampled_from([0.0, -0.75]) | st.floats(-(2.0**12), -(2.0**-12), width=32), high=st.floats(2.0**-12, 2.0**12, width=32))
def test_spanning(format: Minifloat, low: float, high: float) -> None:
    encoding = spanning(low, high, format)
    assert encoding.zero_point == 0
    assert from_dict(to_dict(encoding)) == encoding
    if not format.scaled:
        assert encoding.scale == 1
    else:
        assert encoding.highest == pytest.approx(max(high, -low), rel=1e-6)
    ends = np.float32([low, high])
    assert np.abs(encoding.simulate(ends) - ends).max() <= max(high, -low) * 2.0**-format.type.significant_bits * 1.001
    assert spanning(0, 0, format).scale == 1


def test_a_zero_point_is_refused() -> None:
    with pytest.raises(PlanError, match="float8_e4m3 has no zero points other than 0"):
        Encoding(MINIFLOATS["float8_e4m3"], np.float32(1), np.int32(3))
