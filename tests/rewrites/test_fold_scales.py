"""Constants behind a product go into it where they are one number, or one for each of its channels."""

import numpy as np
import pytest
from small_graphs import build, check, kinds, numbers

from bitsmith.rewrites.fold_scales import fold_scales

CONV = "(float[n,4,6,6] x) => (float[n,4,6,6] y) { t = Conv(x, w) y = ... }"
MATRIX = "(float[n,5] x) => (float[n,3] y) { t = ... }"


@pytest.mark.parametrize("shape", [(), (1,), (4, 1, 1), (1, 4, 1, 1), (1, 1, 1, 1)])
@pytest.mark.parametrize("node", ["Mul(t, s)", "Mul(s, t)", "Div(t, s)", "Add(t, s)", "Add(s, t)", "Sub(t, s)", "Sub(s, t)"])
def test_behind_conv(node: str, shape: tuple[int, ...]) -> None:
    model = build(CONV, node, w=numbers(4, 4, 1, 1), s=numbers(*shape, low=0.5, high=2))
    assert check(model, fold_scales) == ["Conv"]
    assert list(model.graph.initializers) == (["w"] if node[0] in "MD" else ["w", "w_bias"])


@pytest.mark.parametrize("shape", [(), (3,), (1, 3)])
@pytest.mark.parametrize("node", ["Mul(t, s)", "Div(t, s)", "Add(t, s)", "Sub(s, t)"])
@pytest.mark.parametrize("kind", ["Gemm", "MatMul"])
def test_behind_a_matrix(kind: str, node: str, shape: tuple[int, ...]) -> None:
    model = build(MATRIX, f"{kind}(x, w) y = {node}", w=numbers(5, 3), s=numbers(*shape, low=0.5, high=2))
    assert check(model, fold_scales) == [kind if node[0] in "MD" else "Gemm"]


def test_behind_a_matmul_of_rank_3() -> None:
    text = "(float[n,7,5] x) => (float[n,7,3] y) { t = MatMul(x, w) y = ...(t, s) }"
    assert check(build(text, "Mul", w=numbers(5, 3), s=numbers(3)), fold_scales) == ["MatMul"]
    assert check(build(text, "Add", w=numbers(5, 3), s=numbers(3)), fold_scales) == ["MatMul", "Add"]
    assert check(build(text, "Mul", w=numbers(5, 3), s=numbers(7, 1)), fold_scales) == ["MatMul", "Mul"]


@pytest.mark.parametrize("shape", [(6,), (4, 6, 1), (1, 4, 6, 6), (6, 1)])
def test_other_axes_stay(shape: tuple[int, ...]) -> None:
    assert check(build(CONV, "Mul(t, s)", w=numbers(4, 4, 1, 1), s=numbers(*shape)), fold_scales) == ["Conv", "Mul"]


@pytest.mark.parametrize("shape", [(1, 1, 1, 1, 1), (3, 1, 1)])
def test_what_makes_the_output_larger_stays(shape: tuple[int, ...]) -> None:
    text = "(float[n,4,6,6] x) => (float... y) { t = Conv(x, w) y = Mul(t, s) }"
    larger = "[1,n,1,6,6]" if len(shape) == 5 else "[n,3,6,6]"
    assert check(build(text, larger, w=numbers(1, 4, 1, 1), s=numbers(*shape)), fold_scales) == ["Conv", "Mul"]


@pytest.mark.parametrize("inside", ["t = Conv(x, w) y = Div(s, t)", "t = Conv(x, w) y = Mul(t, t)", "t = Conv(x, w) y = Mul(t, x)",
                                    "t = Relu(x) y = Mul(t, s)", "t = Conv(x, w) u = Mul(t, s) y = Add(u, t)", "y = Mul(x, s)"])
def test_everything_else_stays(inside: str) -> None:
    model = build(f"(float[n,4,6,6] x) => (float[n,4,6,6] y) {{ {inside} }}", w=numbers(4, 4, 1, 1), s=np.float32(2))
    before = kinds(model)
    assert not fold_scales(model.graph)
    assert kinds(model) == before


def test_division_by_zero_stays() -> None:
    model = build(CONV, "Div(t, s)", w=numbers(4, 4, 1, 1), s=np.zeros(1))
    assert not fold_scales(model.graph)


def test_chain_as_batch_norm_is_spelt_by_some_exporters() -> None:
    text = "(float[n,4,6,6] x) => (float[n,4,6,6] y) { t = Conv(x, w) c = Sub(t, m) d = Div(c, s) e = Mul(d, g) y = Add(e, b) }"
    given = {name: numbers(4, 1, 1, seed=i, low=0.5, high=2) for i, name in enumerate("msgb")}
    model = build(text, w=numbers(4, 4, 1, 1), **given)
    assert check(model, fold_scales) == ["Conv"]
    assert list(model.graph.initializers) == ["w", "w_bias"]
