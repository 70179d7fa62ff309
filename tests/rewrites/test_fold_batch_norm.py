"""Batch normalization goes into the product before it or behind it, where that is exact, and otherwise stays."""

from typing import Any

import numpy as np
import onnx_ir as ir
import pytest
from small_graphs import build, check, kinds, numbers

from bitsmith.rewrites.fold_batch_norm import fold_batch_norm

IMAGE = "(float[n,4,6,6] x) => (float[n,{out},{size},{size}] y) "


def norm(channels: int, seed: int = 0) -> dict[str, Any]:
    return {"g": numbers(channels, seed=seed, low=0.5, high=2), "b": numbers(channels, seed=seed + 1),
            "m": numbers(channels, seed=seed + 2), "v": numbers(channels, seed=seed + 3, low=0.1, high=3)}


def batch_norm(source: str, result: str) -> str:
    return f"{result} = BatchNormalization<epsilon=0.01>({source}, g, b, m, v)"


@pytest.mark.parametrize("biased", [False, True])
@pytest.mark.parametrize("groups", [1, 2, 4])
def test_behind_conv(groups: int, biased: bool) -> None:
    constants = {"w": numbers(8, 4 // groups, 3, 3), **({"c": numbers(8)} if biased else {}), **norm(8)}
    conv = f"t = Conv<group={groups}, pads=[1,1,1,1]>(x, w{', c' * biased})"
    model = build(IMAGE.format(out=8, size=6) + f"{{ {conv} {batch_norm('t', 'y')} }}", **constants)
    assert check(model, fold_batch_norm) == ["Conv"]
    assert list(model.graph.initializers) == ["w", "c" if biased else "w_bias"]
    assert model.graph[0].outputs[0].name == "y"


@pytest.mark.parametrize("groups", [1, 2])
def test_behind_transposed_conv(groups: int) -> None:
    constants = {"w": numbers(4, 6 // groups, 2, 2), **norm(6)}
    text = f"{{ t = ConvTranspose<group={groups}, strides=[2,2]>(x, w) {batch_norm('t', 'y')} }}"
    assert check(build(IMAGE.format(out=6, size=12) + text, **constants), fold_batch_norm) == ["ConvTranspose"]


def test_against_the_equation() -> None:
    given = norm(3)
    w, c = numbers(3, 4, 1, 1), numbers(3)
    model = build(IMAGE.format(out=3, size=6) + f"{{ t = Conv(x, w, c) {batch_norm('t', 'y')} }}", w=w, c=c, **given)
    fold_batch_norm(model.graph)
    g, b, m, v = (given[name].astype(np.float64) for name in "gbmv")
    factor = g / np.sqrt(v + np.float32(0.01))
    found = {name: value.const_value.numpy() for name, value in model.graph.initializers.items()}
    np.testing.assert_array_equal(found["w"], (w * factor[:, None, None, None]).astype(np.float32))
    np.testing.assert_array_equal(found["c"], (c * factor + (b - m * factor)).astype(np.float32))


@pytest.mark.parametrize(("shape", "attributes"), [((5, 3), ""), ((3, 5), "<transB=1>")])
def test_behind_gemm(shape: tuple[int, int], attributes: str) -> None:
    text = f"(float[n,5] x) => (float[n,3] y) {{ t = Gemm{attributes}(x, w) {batch_norm('t', 'y')} }}"
    assert check(build(text, w=numbers(*shape), **norm(3)), fold_batch_norm) == ["Gemm"]


def test_matmul_becomes_gemm_for_its_bias() -> None:
    model = build(f"(float[n,5] x) => (float[n,3] y) {{ t = MatMul(x, w) {batch_norm('t', 'y')} }}", w=numbers(5, 3), **norm(3))
    name = model.graph[0].name
    assert check(model, fold_batch_norm) == ["Gemm"]
    assert model.graph[0].name == name


def test_channels_of_a_matmul_of_rank_3_are_others() -> None:
    text = f"(float[n,3,5] x) => (float[n,3,3] y) {{ t = MatMul(x, w) {batch_norm('t', 'y')} }}"
    for given in (norm(3), {**norm(3), "b": np.zeros(3), "m": np.zeros(3)}):
        assert check(build(text, w=numbers(5, 3), **given), fold_batch_norm) == ["MatMul", "BatchNormalization"]


@pytest.mark.parametrize("groups", [1, 2])
def test_before_conv_without_padding(groups: int) -> None:
    text = IMAGE.format(out=6, size=4) + f"{{ {batch_norm('x', 't')} y = Conv<group={groups}>(t, w) }}"
    model = build(text, w=numbers(6, 4 // groups, 3, 3), **norm(4))
    assert check(model, fold_batch_norm) == ["Conv"]
    assert list(model.graph.initializers) == ["w", "w_bias"]


@pytest.mark.parametrize("attributes", ["<pads=[1,1,1,1]>", '<auto_pad="SAME_UPPER">'])
def test_before_padding_it_stays(attributes: str) -> None:
    """Outside the image the convolution sees 0, which is not the normalized 0."""
    text = IMAGE.format(out=6, size=6) + f"{{ {batch_norm('x', 't')} y = Conv{attributes}(t, w) }}"
    assert check(build(text, w=numbers(6, 4, 3, 3), **norm(4)), fold_batch_norm) == ["BatchNormalization", "Conv"]


@pytest.mark.parametrize("kind", ["Gemm", "MatMul"])
def test_before_a_matrix(kind: str) -> None:
    text = f"(float[n,5] x) => (float[n,3] y) {{ {batch_norm('x', 't')} y = {kind}(t, w) }}"
    assert check(build(text, w=numbers(5, 3), **norm(5)), fold_batch_norm) == ["Gemm"]


@pytest.mark.parametrize(
    "inside",
    [
        "t = Conv(x, w) y = BatchNormalization(t, g, b, m, v) z = Relu(t)",          # another node reads the product
        "z = Conv(x, w) y = BatchNormalization(z, g, b, m, v)",                      # the user reads it
        "t = Conv(x, w) u = Relu(t) y = BatchNormalization(u, g, b, m, v) z = Neg(x)",
        "t = Relu(x) y = BatchNormalization(t, g, b, m, v) z = Conv(y, w)",          # the user reads the normalization
        "t = Conv(x, w) u = ReduceSum<keepdims=0>(x, q) y = BatchNormalization(t, g, b, m, u) z = Neg(x)",
    ],
)
def test_stays_where_folding_would_change_results(inside: str) -> None:
    text = "(float[n,4,6,6] x) => (float[n,4,6,6] y, float[n,4,6,6] z) { ... }"
    model = build(text, inside, w=numbers(4, 4, 1, 1), q=np.array([0, 2, 3]), **norm(4))
    before = kinds(model)
    assert not fold_batch_norm(model.graph)
    assert kinds(model) == before


def test_shared_weights_and_biases_get_copies() -> None:
    text = "(float[n,4,6,6] x) => (float[n,4,6,6] y, float[n,4,6,6] z) {"
    text += f" t = Conv(x, w, c) {batch_norm('t', 'y')} z = Conv(x, w, c) }}"
    model = build(text, w=numbers(4, 4, 1, 1), c=numbers(4), **norm(4))
    assert check(model, fold_batch_norm) == ["Conv", "Conv"]
    assert [[value.name for value in node.inputs] for node in model.graph] == [["x", "w_1", "c_1"], ["x", "w", "c"]]


def test_names_do_not_collide() -> None:
    text = f"(float[n,4,6,6] x) => (float[n,4,6,6] y) {{ w_bias = Relu(x) t = Conv(w_bias, w) {batch_norm('t', 'y')} }}"
    model = build(text, w=numbers(4, 4, 1, 1), **norm(4))
    assert check(model, fold_batch_norm) == ["Relu", "Conv"]
    assert "w_bias_1" in model.graph.initializers


def test_no_bias_where_there_is_nothing_to_add() -> None:
    given = {**norm(4), "b": np.zeros(4), "m": np.zeros(4)}
    model = build(IMAGE.format(out=4, size=6) + f"{{ t = Conv(x, w) {batch_norm('t', 'y')} }}", w=numbers(4, 4, 1, 1), **given)
    assert check(model, fold_batch_norm) == ["Conv"]
    assert list(model.graph.initializers) == ["w"]


def test_negative_variance_stays_visible() -> None:
    given = {**norm(4), "v": np.full(4, -1.0)}
    model = build(IMAGE.format(out=4, size=6) + f"{{ t = Conv(x, w) {batch_norm('t', 'y')} }}", w=numbers(4, 4, 1, 1), **given)
    assert not fold_batch_norm(model.graph)


def test_weight_kept_column_by_column() -> None:
    model = build(IMAGE.format(out=4, size=4) + f"{{ t = Conv(x, w) {batch_norm('t', 'y')} }}", w=numbers(4, 4, 3, 3), **norm(4))
    model.graph.initializers["w"].const_value = ir.Tensor(np.asfortranarray(numbers(4, 4, 3, 3)), name="w")
    assert check(model, fold_batch_norm) == ["Conv"]


def test_reader_in_a_subgraph_counts() -> None:
    text = "(float[n,4,6,6] x, bool p) => (float[n,4,6,6] y, float[n,4,6,6] z) { t = Conv(x, w) " + batch_norm("t", "y")
    text += " z = If(p)<then_branch = a () => (float[n,4,6,6] i) { i = Relu(t) },"
    text += " else_branch = o () => (float[n,4,6,6] j) { j = Neg(t) }> }"
    model = build(text, w=numbers(4, 4, 1, 1), **norm(4))
    assert not fold_batch_norm(model.graph)
    assert kinds(model) == ["Conv", "BatchNormalization", "If"]
