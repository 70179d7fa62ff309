"""A Gemm's factors go into constants, and its bias becomes a vector."""

import numpy as np
import onnx_ir as ir
import pytest
from small_graphs import build, check, numbers

from bitsmith.rewrites.unscale_gemm import unscale_gemm

TEXT = "(float[n,5] x) => (float[n,3] y) { y = Gemm<...) }"


def only(model: ir.Model) -> ir.Node:
    (node,) = model.graph
    return node


@pytest.mark.parametrize("shape", [(3,), (1, 3), (1,), (), (1, 1)])
def test_factors_and_shape(shape: tuple[int, ...]) -> None:
    model = build(TEXT, "alpha=0.5, beta=3.0>(x, w, c", w=numbers(5, 3), c=numbers(*shape))
    check(model, unscale_gemm)
    assert not {"alpha", "beta"} & set(only(model).attributes)
    found = model.graph.initializers["c"].const_value.numpy()
    np.testing.assert_array_equal(found, np.broadcast_to(numbers(*shape).ravel() * np.float32(3), 3))
    np.testing.assert_array_equal(model.graph.initializers["w"].const_value.numpy(), numbers(5, 3) / 2)


def test_rows_of_a_transposed_weight_are_counted() -> None:
    model = build(TEXT, "transB=1>(x, w, c", w=numbers(3, 5), c=np.float32(2))
    check(model, unscale_gemm)
    assert model.graph.initializers["c"].shape == (3,)


def test_bias_times_nothing_goes() -> None:
    model = build(TEXT, "beta=0.0>(x, w, c", w=numbers(5, 3), c=numbers(3))
    check(model, unscale_gemm)
    assert list(model.graph.initializers) == ["w"]


def test_factor_of_no_bias_goes() -> None:
    model = build(TEXT, "beta=2.0>(x, w", w=numbers(5, 3))
    check(model, unscale_gemm)
    assert "beta" not in only(model).attributes


def test_what_is_computed_keeps_its_factor() -> None:
    text = "(float[n,5] x, float[5,3] w, float[3] c) => (float[n,3] y) { y = Gemm<alpha=0.5, beta=3.0>(x, w, c) }"
    model = build(text)
    assert not unscale_gemm(model.graph)
    assert {"alpha", "beta"} <= set(only(model).attributes)


def test_bias_for_each_row_keeps_its_shape() -> None:
    model = build("(float[2,5] x) => (float[2,3] y) { y = Gemm(x, w, c) }", w=numbers(5, 3), c=numbers(2, 1))
    assert not unscale_gemm(model.graph)


def test_shared_constants_get_copies() -> None:
    text = "(float[n,5] x) => (float[n,3] y, float[n,3] z) { y = Gemm<alpha=0.5>(x, w, c) z = Gemm<beta=2.0>(x, w, c) }"
    model = build(text, w=numbers(5, 3), c=numbers(1, 3))
    check(model, unscale_gemm)
    assert sorted(model.graph.initializers) == ["c", "c_1", "w", "w_1"]
