"""Vectors that several nodes read become one for each."""

import numpy as np
from small_graphs import build, check, numbers

from bitsmith.rewrites.unshare_biases import unshare_biases

TWO = "(float[n,4,6,6] x) => (float[n,4,6,6] y, float[n,4,6,6] z) { y = Conv(x, w, c) z = Conv(y, w, c) }"


def test_each_reader_has_its_own() -> None:
    model = build(TWO, w=numbers(4, 4, 1, 1), c=numbers(4))
    check(model, unshare_biases, tolerance=0)
    assert [[value.name for value in node.inputs] for node in model.graph] == [["x", "w", "c"], ["y", "w", "c_1"]]


def test_numbers_are_in_memory_once() -> None:
    model = build(TWO, w=numbers(4, 4, 1, 1), c=numbers(4))
    unshare_biases(model.graph)
    held = model.graph.initializers
    assert np.shares_memory(held["c"].const_value.numpy(), held["c_1"].const_value.numpy())


def test_matrices_scalars_and_integers_stay_shared() -> None:
    text = "(float[n,4] x) => (float[n,4] y, int64[k] z) { a = MatMul(x, w) b = MatMul(a, w) d = Mul(b, s) y = Mul(d, s)"
    text += " e = Shape(x) f = Add(e, i) z = Add(f, i) }"
    assert not unshare_biases(build(text, w=numbers(4, 4), s=np.float32(2), i=np.array([1, 2])).graph)


def test_two_operands_of_one_node_are_one_reader() -> None:
    text = "(float[n,4,6,6] x) => (float[n,4,6,6] y) { y = BatchNormalization(x, c, c, c, c) }"
    assert not unshare_biases(build(text, c=numbers(4, low=0.5)).graph)


def test_constant_that_is_handed_out_stays_what_it_is() -> None:
    model = build(TWO.replace("z)", "z, float[4] c)", 1), w=numbers(4, 4, 1, 1), c=numbers(4))
    assert check(model, unshare_biases, tolerance=0) == ["Conv", "Conv"]
    assert [node.inputs[2].name for node in model.graph] == ["c_1", "c_2"]


def test_scales_of_a_quantized_file_stay_shared() -> None:
    text = "(float[4,6] x) => (float[4,6] y) { a = QuantizeLinear<axis=0>(x, s) y = DequantizeLinear<axis=0>(a, s) }"
    assert not unshare_biases(build(text, s=numbers(4, low=0.5)).graph)


def test_subgraph_keeps_the_original() -> None:
    text = "(float[n,4,6,6] x, bool p) => (float[n,4,6,6] y, float[4] z) { y = Conv(x, w, c) z = If(p)<"
    text += "then_branch = a () => (float[4] i) { i = Relu(c) }, else_branch = o () => (float[4] j) { j = Neg(c) }> }"
    model = build(text, w=numbers(4, 4, 1, 1), c=numbers(4))
    assert unshare_biases(model.graph)
    assert not unshare_biases(model.graph)
    assert model.graph[0].inputs[2].name == "c_1"
    assert len(model.graph.initializers["c"].uses()) == 2
