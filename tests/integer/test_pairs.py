"""Pairs that saturate: bounds are attained and never exceeded, counts are those of a loop, and onnxruntime adds up just so."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from bitsmith.integer.codes import CodeRange
from bitsmith.integer.pairs import BITS, could_saturate, count_saturated, in_pairs, pairs_of, worst_in_any_order, worst_pairs
from bitsmith.integer.products import Convolve, MatrixMultiply
from bitsmith.integer.windows import Window

Array = npt.NDArray[Any]
BYTES = CodeRange(7, 0, 255, np.dtype(np.uint8))
LEAST, MOST = -2**(BITS - 1), 2**(BITS - 1) - 1
rows = st.lists(st.integers(-128, 127), min_size=1, max_size=6)
ends = st.tuples(st.integers(0, 255), st.integers(0, 255)).map(sorted)


def convolution(weights: Array, groups: int = 1, source: CodeRange = BYTES) -> Convolve:
    window = Window.of(weights.shape[2:], pads=[(size // 2, size // 2) for size in weights.shape[2:]])
    return Convolve(("x",), "y", source, weights, np.zeros((), np.int32), window, groups=groups)


def product_of(weights: Array) -> MatrixMultiply:
    return MatrixMultiply(("x",), "y", BYTES, None, weights, np.zeros((), np.int32))


def random_codes(*shape: int) -> Array:
    return np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)


def random_weights(*shape: int) -> Array:
    return np.random.default_rng(1).integers(-128, 128, shape).astype(np.int8)


@given(rows, ends)
def test_the_bounds_of_pairs_are_the_extremes_over_the_ends(weights: list[int], between: list[int]) -> None:
    pairs = in_pairs(np.array([weights]))
    bounds = worst_pairs(pairs, *between)
    for index, (first, second) in enumerate(pairs[0].tolist()):
        sums = [first * a + second * b for a in between for b in between]
        assert (bounds.lowest[0, index], bounds.highest[0, index]) == (min(sums), max(sums))


@given(rows, ends)
def test_no_two_products_of_a_channel_leave_the_bounds_of_any_order(weights: list[int], between: list[int]) -> None:
    terms = in_pairs(np.array([weights])).ravel().tolist()
    sums = [terms[i] * a + terms[j] * b for i in range(len(terms)) for j in range(len(terms)) if i != j for a in between for b in between]
    bounds = worst_in_any_order(in_pairs(np.array([weights])), *between)
    assert (bounds.lowest[0], bounds.highest[0]) == (min(sums), max(sums))


@given(st.lists(st.integers(-64, 63), min_size=2, max_size=2))
def test_weights_of_seven_bits_never_saturate(weights: list[int]) -> None:
    assert not could_saturate(worst_pairs(in_pairs(np.array([weights])), 0, 255)).any()


def test_the_first_sum_that_saturates() -> None:
    pairs = in_pairs(np.array([[64, 64], [64, 65], [-64, -64], [-64, -65], [127, 1], [127, 2]]))
    assert could_saturate(worst_pairs(pairs, 0, 255)).ravel().tolist() == [False, True, False, True, False, True]


def test_pairs_that_are_not_added_up_so_are_none() -> None:
    depthwise = random_weights(4, 1, 3, 3)
    signed = CodeRange(0, -128, 127, np.dtype(np.int8))
    assert pairs_of(convolution(depthwise, groups=4)) is None
    assert pairs_of(convolution(random_weights(4, 2, 3, 3), source=signed)) is None
    assert pairs_of(convolution(random_weights(4, 2, 3, 3).view(np.uint8))) is None
    assert pairs_of(MatrixMultiply(("x", "y"), "z", BYTES, BYTES)) is None
    assert pairs_of(convolution(random_weights(8, 1, 3, 3), groups=4)) is not None


def channel_pairs(convolve: Convolve, codes: Array) -> Array:
    """Every sum of two products, [out, sums, pairs], by loops over positions: channels within positions, padding holds the zero point."""
    groups, inputs = convolve.groups, convolve.weights.shape[1]
    placed = convolve.window.place(codes, convolve.source.zero_point).astype(int)
    height, width = (size - length + 1 for size, length in zip(placed.shape[2:], convolve.window.kernel, strict=True))
    found = []
    for out, weights in enumerate(convolve.weights.astype(int)):
        group = out // (len(convolve.weights) // groups)
        sums = []
        for sample, y, x in np.ndindex(len(codes), height, width):
            seen = placed[sample, group * inputs:(group + 1) * inputs, y:y + weights.shape[1], x:x + weights.shape[2]]
            products = (seen * weights).transpose(1, 2, 0).ravel().tolist()
            products += [0] * (len(products) % 2)
            sums.append([a + b for a, b in zip(products[::2], products[1::2], strict=True)])
        found.append(sums)
    return np.array(found)


@pytest.mark.parametrize(("shape", "groups"), [((4, 3, 3, 3), 1), ((4, 2, 3, 3), 2), ((6, 1, 3, 3), 3), ((3, 4, 1, 1), 1)])
def test_saturated_pairs_of_convolutions_are_counted_one_by_one(shape: tuple[int, ...], groups: int) -> None:
    convolve, codes = convolution(random_weights(*shape), groups), random_codes(2, shape[1] * groups, 5, 4)
    pairs = pairs_of(convolve)
    assert pairs is not None
    sums = channel_pairs(convolve, codes)
    counted = ((sums < LEAST) | (sums > MOST)).sum((1, 2))
    assert counted.sum() > 0
    np.testing.assert_array_equal(count_saturated(convolve, pairs, codes), counted)


@pytest.mark.parametrize("terms", [6, 7])
def test_saturated_pairs_of_matrix_products_are_counted_one_by_one(terms: int) -> None:
    product, codes = product_of(random_weights(terms, 5)), random_codes(30, terms)
    products = np.pad(codes[:, :, None] * product.weights.astype(int), ((0, 0), (0, terms % 2), (0, 0)))
    sums = products[:, ::2] + products[:, 1::2]
    pairs = pairs_of(product)
    assert pairs is not None
    np.testing.assert_array_equal(count_saturated(product, pairs, codes), ((sums < LEAST) | (sums > MOST)).sum((0, 1)))


def run_unasked(kind: str, attributes: dict[str, Any], codes: Array, weights: Array) -> Array:
    """What onnxruntime makes of codes and weights whose scales are 1, at a zero point of 7, without the option for exact sums."""
    import onnxruntime

    if kind == "MatMulInteger":
        names, constants = ["x", "w"], []
    else:
        numbers = {"xs": 1.0, "xz": 7, "ws": 1.0, "wz": 0, "ys": 2000.0, "yz": 128}
        types = {"xz": TensorProto.UINT8, "wz": TensorProto.INT8, "yz": TensorProto.UINT8}
        names = ["x", "xs", "xz", "w", "ws", "wz", "ys", "yz"]
        constants = [helper.make_tensor(name, types.get(name, TensorProto.FLOAT), [], [value]) for name, value in numbers.items()]
    constants.append(helper.make_tensor("w", TensorProto.INT8, weights.shape, weights.tobytes(), raw=True))
    graph = helper.make_graph(
        [helper.make_node(kind, names, ["y"], **attributes)], "pairs", [helper.make_tensor_value_info("x", TensorProto.UINT8, codes.shape)],
        [helper.make_tensor_value_info("y", TensorProto.INT32 if kind == "MatMulInteger" else TensorProto.UINT8, None)], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {"x": codes})[0])


def saturates_here() -> bool:
    """True on x86 with AVX2 and without VNNI, as this file's module says of it."""
    path = Path("/proc/cpuinfo")
    words = set(path.read_text().split()) if path.exists() else set()
    return "avx2" in words and not {"avx512_vnni", "avx_vnni"} & words


@pytest.mark.parametrize(
    ("shape", "groups"), [((16, 16, 3, 3), 1), ((16, 3, 3, 3), 1), ((8, 5, 1, 1), 1), ((16, 8, 3, 3), 2), ((16, 1, 3, 3), 8)])
def test_onnxruntime_adds_up_convolutions_just_so(shape: tuple[int, ...], groups: int) -> None:
    convolve, codes = convolution(random_weights(*shape), groups), random_codes(2, shape[1] * groups, 6, 6)
    sums = channel_pairs(convolve, codes)
    sums = np.clip(sums, LEAST, MOST) if saturates_here() else sums
    steps = sums.sum(2) - 7 * convolve.weights.astype(int).sum((1, 2, 3))[:, None]
    codes_out = np.clip(np.rint(steps.astype(np.float32) * (np.float32(1) / np.float32(2000))) + 128, 0, 255)
    expected = codes_out.reshape(-1, 2, 6, 6).swapaxes(0, 1)
    found = run_unasked("QLinearConv", {"pads": [shape[2] // 2] * 4, "group": groups}, codes, convolve.weights)
    np.testing.assert_array_equal(found, expected)


@settings(deadline=None)
@given(st.integers(1, 40), st.integers(0, 2**32 - 1))
def test_onnxruntime_adds_up_matrix_products_just_so(terms: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    weights, codes = random.integers(-128, 128, (terms, 3)).astype(np.int8), random.integers(0, 256, (4, terms)).astype(np.uint8)
    products = np.pad(codes[:, :, None] * weights.astype(int), ((0, 0), (0, terms % 2), (0, 0)))
    sums = products[:, ::2] + products[:, 1::2]
    expected = (np.clip(sums, LEAST, MOST) if saturates_here() else sums).sum(1)
    np.testing.assert_array_equal(run_unasked("MatMulInteger", {}, codes, weights), expected)
