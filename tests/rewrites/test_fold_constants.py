"""What needs no input is computed once, unless it is random, quantized, handed out or too large."""

import numpy as np
import onnx_ir as ir
import pytest
from small_graphs import build, check, kinds, numbers

from bitsmith.rewrites.fold_constants import fold_constants

ADD = "(float[n,3] x) => (float[n,3] y) { ... y = Add(x, k) }"


@pytest.mark.parametrize(
    ("inside", "expected"),
    [
        ("k = Exp(c)", lambda c: np.exp(c)),
        ("a = Mul(c, c) b = Sqrt(a) k = Neg(b)", lambda c: -np.sqrt(c * c)),
        ("i = Cast<to=11>(c) k = Cast<to=1>(i)", lambda c: c),
        ("k, l = Split<num_outputs=2, axis=0>(d)", lambda c: c),
        ("k = Clip(c, , h)", lambda c: np.minimum(c, 0)),
    ],
)
def test_folds(inside: str, expected: object) -> None:
    held = {"c": numbers(3), "d": np.concatenate([numbers(3), numbers(3, seed=1)]), "h": np.float32(0)}
    model = build(ADD, inside, **held)
    assert check(model, fold_constants, tolerance=1e-7) == ["Add"]
    assert list(model.graph.initializers) == ["k"]
    np.testing.assert_allclose(model.graph.initializers["k"].const_value.numpy(), expected(held["c"]), rtol=1e-6)


def test_result_stays_a_node() -> None:
    text = "(float[n,3] x) => (float[n,3] y, float[3] k) { k = Exp(c) y = Add(x, k) }"
    model = build(text, c=numbers(3))
    assert not fold_constants(model.graph)
    assert kinds(model) == ["Exp", "Add"]


@pytest.mark.parametrize("inside", ["k = Bernoulli(c)", "k = RandomUniformLike(c)", "k = RandomNormal<shape=[3]>()",
                                    "k = Multinomial<dtype=6>(e)",
                                    "q = QuantizeLinear(c, s) k = DequantizeLinear(q, s)", "k = other.Exp(c)", "k = Exp(f)"])
def test_stays(inside: str) -> None:
    text = "(float[n,3] x, float[3] f) => (float[n,3] y) { ... k2 = Cast<to=1>(k) y = Add(x, k2) }"
    held = {"c": numbers(3, low=0), "e": numbers(1, 3, low=0), "s": np.float32(0.1)}
    model = build(text, inside, **held)
    before = kinds(model)
    assert not fold_constants(model.graph)
    assert kinds(model) == before


def test_constants_that_callers_may_replace_are_none() -> None:
    """An initializer that is among the inputs is a default; the normal form has none, but a graph may."""
    model = build(ADD, "k = Exp(c)", c=numbers(3))
    model.graph.inputs.append(model.graph.initializers["c"])
    assert not fold_constants(model.graph)


@pytest.mark.parametrize("inside", [
    "k = ConstantOfShape(i)", "k = Expand(c, i)", "k = Tile(c, i)", "h = Squeeze(i) r = Range(z, h, z) k = Cast<to=1>(r)",
    "k = MatMul(column, row)", "j = Abs(i) k = Expand(c, j)",
])  # fmt: skip
def test_large_results_are_not_computed(inside: str) -> None:
    """Each would take 2 MB and more, from 16 kB at most: the network would be larger than its file."""
    held = {"c": numbers(1), "i": np.array([2**19]), "z": np.array(1), "column": numbers(2000, 1), "row": numbers(1, 2000)}
    model = build("(float[1] x) => (float[k,l] y) { ... y = Add(x, k) }", inside, **held)
    fold_constants(model.graph)
    assert kinds(model)[-2] in inside
    assert all(value.const_value.nbytes < 20_000 for value in model.graph.initializers.values())


def test_large_results_of_large_operands_are() -> None:
    model = build("(float[600,500] x) => (float[600,500] y) { k = Transpose(c) y = Add(x, k) }", c=numbers(500, 600))
    assert check(model, fold_constants) == ["Add"]


def test_moderate_growth_is_welcome() -> None:
    model = build("(float[100,200] x) => (float[100,200] y) { k = Expand(c, s) y = Add(x, k) }", c=numbers(1), s=np.array([100, 200]))
    assert check(model, fold_constants) == ["Add"]


def test_how_many_are_not_zero() -> None:
    model = build("(int64[n,3] x) => (int64[n,3] y) { k = NonZero(c) y = Add(x, k) }", c=np.array([0.0, 1, 2, 0, 3]))
    assert fold_constants(model.graph)
    np.testing.assert_array_equal(model.graph.initializers["k"].const_value.numpy(), [[1, 2, 4]])


@pytest.mark.parametrize(("inside", "sizes"), [
    ("s = Shape<start=1>(x)", [3, 4]), ("s = Shape<start=-2, end=-1>(x)", [3]), ("s = Shape(r)", [4]),
    ("h = Shape(x) s = Gather(h, i)", [4, 3]), ("h = Size(r) s = Unsqueeze(h, o)", [4]),
])  # fmt: skip
def test_known_sizes(inside: str, sizes: list[int]) -> None:
    text = "(float[n,3,4] x, float[4] r) => (int64[k] y) { ... y = Neg(s) }"
    model = build(text, inside, i=np.array([-1, 1]), o=np.array([0]))
    assert fold_constants(model.graph)
    assert not fold_constants(model.graph)
    np.testing.assert_array_equal(model.graph.initializers["s"].const_value.numpy(), sizes)
    assert kinds(model) == ["Neg"]


@pytest.mark.parametrize("inside", ["s = Shape(x)", "h = Shape(x) s = Gather(h, i)", "s = Size(x)"])
def test_sizes_that_the_input_decides(inside: str) -> None:
    model = build("(float[n,3] x) => (int64[k] y) { ... y = Neg(s) }", inside, i=np.array([0]))
    assert not fold_constants(model.graph)


def test_what_cannot_be_computed_stays() -> None:
    """onnxruntime has no kernel for it; whoever runs the network will hear of it."""
    model = build("(float[n,3] x) => (float[n,3] y) { k = Gather(c, i) y = Add(x, k) }", c=numbers(3), i=np.array([7, 8, 9]))
    assert not fold_constants(model.graph)
    assert kinds(model) == ["Gather", "Add"]


def test_subgraphs_read_the_folded_value() -> None:
    text = "(float[n,3] x, bool p) => (float[n,3] y) { k = Exp(c) y = If(p)<"
    text += "then_branch = t () => (float[n,3] i) { i = Add(x, k) }, else_branch = o () => (float[n,3] j) { j = Sub(x, k) }> }"
    model = build(text, c=numbers(3))
    assert fold_constants(model.graph)
    assert kinds(model) == ["If"]
    assert len(model.graph.initializers["k"].uses()) == 2


def test_nodes_with_subgraphs_stay() -> None:
    text = "(float[n,3] x) => (float[n,3] y) { k = If(p)<"
    text += "then_branch = t () => (float[3] i) { i = Exp(c) }, else_branch = o () => (float[3] j) { j = Neg(c) }> y = Add(x, k) }"
    model = build(text, c=numbers(3), p=np.array(True))
    assert not fold_constants(model.graph)


@pytest.mark.parametrize("node", ["ConstantOfShape(i)", "Expand(c, i)", "Tile(c, i)"])
def test_sizes_are_judged_before_anything_is_computed(node: str) -> None:
    """Terabytes, and shape inference has not seen it yet."""
    model = build("(float[1] x) => (float[k] y) { k = ... y = Add(x, k) }", node, c=numbers(1), i=np.array([7]))
    model.graph.initializers["i"].const_value = ir.Tensor(np.array([2**40]), name="i")
    model.graph[0].outputs[0].shape = None
    assert not fold_constants(model.graph)
