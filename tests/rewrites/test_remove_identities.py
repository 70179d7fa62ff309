"""Nodes that do nothing go; those that only seem to do nothing stay."""

import numpy as np
import pytest
from small_graphs import build, check, kinds, numbers

from bitsmith.rewrites.remove_identities import remove_identities

IMAGE = "(float[n,2,3,4] x) => (float[n,2,3,4] y) { a = Relu(x) b = ... y = Neg(b) }"
SHAPES = {"like": np.array([0, 2, 3, 4]), "rest": np.array([-1, 2, 3, 4]), "none": np.zeros(8, np.int64), "zero": np.array([0, 0]),
          "ends": np.array([2**62, 3]), "axes": np.array([0, -2]), "ones": np.array([1, 1])}
NOTHING = ["Identity(a)", "Dropout(a)", "Cast<to=1>(a)", "Reshape(a, like)", "Reshape(a, rest)", "Transpose<perm=[0,1,2,3]>(a)",
           "Pad(a, none)", "Slice(a, zero, ends, axes)", "Slice(a, zero, ends, axes, ones)",
           "Concat<axis=1>(a)", "Sum(a)", "Max(a)", "Min(a)", "Mean(a)"]


@pytest.mark.parametrize("node", NOTHING)
def test_goes(node: str) -> None:
    assert check(build(IMAGE, node, **SHAPES), remove_identities, tolerance=0) == ["Relu", "Neg"]


@pytest.mark.parametrize("node", NOTHING)
def test_results_keep_their_names(node: str) -> None:
    text = "(float[n,2,3,4] x) => (float[n,2,3,4] y) { a = Relu(x) y = ... }"
    assert check(build(text, node, **SHAPES), remove_identities, tolerance=0) == ["Relu"]


@pytest.mark.parametrize("node", NOTHING)
def test_an_input_is_no_result(node: str) -> None:
    text = "(float[n,2,3,4] a) => (float[n,2,3,4] y) { y = ... }"
    assert len(check(build(text, node, **SHAPES), remove_identities, tolerance=0)) == 1


@pytest.mark.parametrize(
    ("node", "constants"),
    [
        ("Cast<to=11>(a)", {}),
        ("Transpose<perm=[0,1,3,2]>(a)", {}),
        ("Pad(a, p)", {"p": np.array([0, 0, 0, 1, 0, 0, 0, 0])}),
        ("Pad(a, p)", {"p": np.array([0, 0, 0, 1, 0, 0, 0, -1])}),
        ("Slice(a, s, e, i, t)", {"s": np.array([-1]), "e": np.array([-(2**62)]), "i": np.array([3]), "t": np.array([-1])}),
        ("Slice(a, s, e, i)", {"s": np.array([1]), "e": np.array([9]), "i": np.array([3])}),
        ("Slice(a, s, e, i)", {"s": np.array([0]), "e": np.array([9]), "i": np.array([0])}),    # of samples there may be ten
        ("Slice(a, s, e, i, t)", {"s": np.array([0]), "e": np.array([9]), "i": np.array([3]), "t": np.array([2])}),
        ("Reshape(a, s)", {"s": np.array([-1, 3, 2, 4])}),
        ("Concat<axis=3>(a, a)", {}),
        ("Dropout(a, r, t)", {"r": np.float32(0.5), "t": np.array(True)}),
    ],
)
def test_stays(node: str, constants: dict[str, np.ndarray]) -> None:
    text = "(float[n,2,3,4] x) => (float[k,l,o,u] y) { a = Relu(x) b = ... c = Cast<to=1>(b) y = Neg(c) }"
    model = build(text if "Cast" in node else text.replace("c = Cast<to=1>(b) y = Neg(c)", "y = Neg(b)"), node, **constants)
    before = kinds(model)
    assert not remove_identities(model.graph)
    assert kinds(model) == before


def test_reshape_of_two_free_axes() -> None:
    """-1 of [n, m] is m only where the other axis is copied."""
    text = "(float[n,m] x) => (float[k,l] y) { a = Relu(x) y = Reshape(a, s) }"
    assert check(build(text, s=np.array([0, -1])), remove_identities, tolerance=0) == ["Relu"]
    for shape in ([0, 1], [1, -1]):
        model = build(text, s=np.array(shape))
        assert not remove_identities(model.graph)


def test_reshape_to_a_shape_that_is_fed() -> None:
    assert not remove_identities(build("(float[n,m] x, int64[2] s) => (float[k,l] y) { a = Relu(x) y = Reshape(a, s) }").graph)


def test_reshape_that_fixes_the_number_of_samples_stays() -> None:
    text = "(float[n,6] x) => (float[1,6] y) { a = Relu(x) y = Reshape(a, s) }"
    assert not remove_identities(build(text, s=np.array([1, 6])).graph)


def test_flatten_of_rank_2() -> None:
    assert check(build("(float[n,6] x) => (float[n,6] y) { a = Relu(x) y = Flatten(a) }"), remove_identities, tolerance=0) == ["Relu"]


@pytest.mark.parametrize(("one", "two", "left"), [
    ("<perm=[0,2,3,1]>", "<perm=[0,3,1,2]>", ["Relu", "Neg"]),
    ("", "", ["Relu", "Neg"]),
    ("<perm=[0,2,3,1]>", "<perm=[0,2,3,1]>", ["Relu", "Transpose", "Transpose", "Neg"]),
])  # fmt: skip
def test_transposes_that_cancel(one: str, two: str, left: list[str]) -> None:
    text = f"(float[n,3,3,3] x) => (float[n,3,3,3] y) {{ a = Relu(x) b = Transpose{one}(a) c = Transpose{two}(b) y = Neg(c) }}"
    assert check(build(text), remove_identities, tolerance=0) == left


def test_first_of_two_transposes_stays_for_others() -> None:
    text = "(float[n,3] x) => (float[n,3] y, float[3,n] z) { b = Transpose(x) c = Transpose(b) y = Neg(c) z = Exp(b) }"
    assert sorted(check(build(text), remove_identities, tolerance=0)) == ["Exp", "Neg", "Transpose"]


def test_mask_that_is_read_keeps_its_dropout() -> None:
    model = build("(float[n,3] x) => (float[n,3] y, bool[n,3] z) { b, m = Dropout(x) y = Neg(b) z = Not(m) }")
    assert not remove_identities(model.graph)
    assert "Dropout" in kinds(model)


def test_two_results_stay_two() -> None:
    model = build("(float[n,3] x) => (float[n,3] y, float[n,3] z) { y = Neg(x) z = Identity(y) }")
    assert check(model, remove_identities) == ["Neg", "Identity"]


def test_result_that_other_nodes_read_as_well() -> None:
    text = "(float[n,3] x) => (float[n,3] y, float[n,3] z) { a = Neg(x) y = Identity(a) b = Exp(a) z = Add(b, y) }"
    model = build(text)
    assert check(model, remove_identities) == ["Neg", "Exp", "Add"]
    assert model.graph[0].outputs[0].name == "y"


def test_constant_that_is_a_result_stays() -> None:
    model = build("(float[n,3] x) => (float[n,3] y, float[3] z) { y = Add(x, c) z = Identity(c) }", c=numbers(3))
    assert "Add" in check(model, remove_identities)


def test_value_read_in_a_subgraph() -> None:
    text = "(float[n,3] x, bool p) => (float[n,3] y) { a = Neg(x) b = Identity(a) y = If(p)<"
    text += "then_branch = t () => (float[n,3] i) { i = Exp(b) }, else_branch = o () => (float[n,3] j) { j = Abs(b) }> }"
    model = build(text)
    assert remove_identities(model.graph)
    assert kinds(model) == ["Neg", "If"]
    assert all(use.node.inputs[0] is model.graph[0].outputs[0] for use in model.graph[0].outputs[0].uses())


def test_nodes_of_other_domains_stay() -> None:
    text = "(float[n,3] x) => (float[n,3] y) { a = other.Identity(x) y = Neg(a) }"
    assert not remove_identities(build(text).graph)
