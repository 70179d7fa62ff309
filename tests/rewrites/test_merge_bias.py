"""MatMul and Add become a Gemm where Gemm can take both."""

import numpy as np
import pytest
from small_graphs import build, check, kinds, numbers

from bitsmith.rewrites.merge_bias import merge_bias

TEXT = "(float[n,5] x) => (float[n,3] y) { t = MatMul(x, w) y = ... }"


@pytest.mark.parametrize("shape", [(3,), (1, 3), (1,), (), (1, 1)])
@pytest.mark.parametrize("node", ["Add(t, c)", "Add(c, t)"])
def test_merges(node: str, shape: tuple[int, ...]) -> None:
    model = build(TEXT, node, w=numbers(5, 3), c=numbers(*shape))
    name = model.graph[0].name
    assert check(model, merge_bias, tolerance=3e-7) == ["Gemm"]
    assert model.graph[0].name == name
    assert [value.name for value in model.graph[0].inputs] == ["x", "w", "c"]


@pytest.mark.parametrize("node", ["Add(t, t)", "Sub(t, c)", "other.Add(t, c)"])
def test_other_nodes_stay(node: str) -> None:
    model = build(TEXT, node, w=numbers(5, 3), c=numbers(3))
    before = kinds(model)
    assert not merge_bias(model.graph)
    assert kinds(model) == before


@pytest.mark.parametrize(
    ("text", "shape"),
    [
        ("(float[n,7,5] x) => (float[n,7,3] y) { t = MatMul(x, w) y = Add(t, c) }", (3,)),      # Gemm has rank 2
        ("(float[2,5] x) => (float[2,3] y) { t = MatMul(x, w) y = Add(t, c) }", (2, 1)),        # one for each row
        ("(float[n,5] x) => (float[1,n,3] y) { t = MatMul(x, w) y = Add(t, c) }", (1, 1, 3)),   # more axes than a Gemm gives
        ("(float[n,5] x) => (float[n,3] y, float[n,3] t) { t = MatMul(x, w) y = Add(t, c) }", (3,)),
        ("(float[n,5] x, float[3] d) => (float[n,3] y) { t = MatMul(x, w) y = Add(t, d) z = Neg(c) }", (3,)),
    ],
)
def test_stays_apart(text: str, shape: tuple[int, ...]) -> None:
    model = build(text, w=numbers(5, 3), c=numbers(*shape))
    assert not merge_bias(model.graph)
    assert kinds(model)[:2] == ["MatMul", "Add"]


def test_integers_stay() -> None:
    text = "(int32[n,5] x) => (int32[n,3] y) { t = MatMul(x, w) y = Add(t, c) }"
    assert not merge_bias(build(text, w=np.ones((5, 3), np.int32), c=np.ones(3, np.int32)).graph)


def test_addition_in_a_subgraph_stays_there() -> None:
    text = "(float[n,5] x, float[n,3] x3, bool p) => (float[n,3] y) { t = MatMul(x, w) y = If(p)<"
    text += "then_branch = a () => (float[n,3] i) { i = Add(t, c) }, else_branch = o () => (float[n,3] j) { j = Add(x3, c) }> }"
    model = build(text, w=numbers(5, 3), c=numbers(3))
    assert not merge_bias(model.graph)
    assert kinds(model) == ["MatMul", "If"]
