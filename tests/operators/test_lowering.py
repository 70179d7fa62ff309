"""Nodes that lower to integers, and those that must not: each with its reason."""

import re
from collections.abc import Sequence
from typing import Any

import networks
import numpy as np
import onnx
import pytest
from quantizing import Chain, between, plan_for

from bitsmith.errors import LoweringError
from bitsmith.integer.bounds import Bounds
from bitsmith.integer.instructions import FIXED_POINT, AddRescaled, AveragePool, Mean
from bitsmith.loading.from_onnx import load
from bitsmith.lowering import lower
from bitsmith.planning import recipes
from bitsmith.planning.recipe import Rule
from bitsmith.targets import TARGETS

IMAGE = ("batch", 4, 6, 6)


def assert_exact(chain: Chain) -> None:
    """The same codes as onnxruntime, and nothing in float."""
    assert not chain.program.in_float
    found, expected = chain.program.codes(chain.feeds, chain.coded), chain.codes(optimise=True)
    for name in chain.coded:
        np.testing.assert_array_equal(found[name], expected[name], err_msg=name)


@pytest.mark.parametrize(("kind", "shape", "operands", "attributes"), [
    ("DepthToSpace", (1, 12, 12), (), {"blocksize": 2, "mode": "DCR"}),
    ("DepthToSpace", (1, 12, 12), (), {"blocksize": 2, "mode": "CRD"}),
    ("SpaceToDepth", (16, 3, 3), (), {"blocksize": 2}),
    ("Tile", (8, 6, 18), (np.array([1, 2, 1, 3]),), None),
    ("Transpose", (6, 4, 6), (), {"perm": [0, 2, 1, 3]}),
    ("Slice", (4, 2, 6), (np.array([4]), np.array([-9]), np.array([2]), np.array([-3])), None),
    ("Gather", (2, 6, 6), (np.array([-1, 0]),), {"axis": 1}),
    ("MaxPool", (4, 3, 3), (), {"kernel_shape": [2, 2], "strides": [2, 2]}),
    ("Pad", (4, 7, 9), (np.array([0, 0, 1, 3, 0, 0, 0, 0]),), {"mode": "reflect"}),
    ("Pad", (4, 4, 6), (np.array([0, 0, -1, 0, 0, 0, -1, 0]),), {"mode": "constant"}),
    ("AveragePool", (4, 3, 3), (), {"kernel_shape": [2, 2], "strides": [2, 2], "dilations": [1, 1]}),
    ("AveragePool", (4, 1, 1), (), {"kernel_shape": [6, 6]}),
    ("GlobalMaxPool", (4, 1, 1), (), None),
])  # fmt: skip
def test_moved_and_pooled_codes(kind: str, shape: Sequence[int], operands: Sequence[Any], attributes: dict[str, Any] | None) -> None:
    assert_exact(Chain.of(between(kind, shape, operands=operands, attributes=attributes)))


def test_expand() -> None:
    assert_exact(Chain.of(between("Expand", (4, 5, 6), operands=[np.array([1, 1, 5, 1])], image=("batch", 4, 1, 6))))


@pytest.mark.parametrize("repeats", [[2, 1, 1, 1]])
def test_tiling_samples_stays_float(repeats: list[int]) -> None:
    chain = Chain.of(between("Tile", (4, 6, 6), operands=[np.array(repeats)], image=(1, 4, 6, 6)), samples=1)
    assert chain.program.in_float == {"/middle": "Tile '/middle' repeats the samples."}


def test_a_window_over_everything_is_a_mean() -> None:
    def kinds(kernel: list[int], **attributes: Any) -> set[type]:
        chain = Chain.of(between("AveragePool", (4, 1, 1), attributes={"kernel_shape": kernel, **attributes}))
        return {type(i) for i in chain.program.instructions} & {Mean, AveragePool}

    assert kinds([6, 6]) == {Mean}
    assert kinds([4, 6], strides=[3, 1]) == {AveragePool}
    assert kinds([6, 6], pads=[1, 0, 0, 0], strides=[2, 1]) == {AveragePool}


@pytest.mark.parametrize(("attributes", "size", "reason"), [
    ({"dilations": [2, 2]}, 2, "it averages over dilated windows"),
    ({"ceil_mode": 1, "count_include_pad": 1, "strides": [2, 2], "pads": [1] * 4}, 4,
     "it counts padding in windows that reach beyond it (ceil_mode and count_include_pad)"),
])  # fmt: skip
def test_averages_that_onnxruntime_does_not_do_right(attributes: dict[str, Any], size: int, reason: str) -> None:
    """They stay float in the file as well, although codes stand on both sides: else the file would be refused, or wrong."""
    chain = Chain.of(between("AveragePool", (4, size, size), attributes={"kernel_shape": [3, 3], **attributes}))
    assert chain.program.in_float == {"/middle": reason}
    assert chain.plan.reasons["/middle"] == f"float: {reason}"
    assert {"before_out", "middle"} <= chain.plan.encodings.keys()
    found, optimised, simulated = chain.program.codes(chain.feeds, ["middle"]), chain.codes(optimise=True), chain.codes(optimise=False)
    np.testing.assert_array_equal(found["middle"], optimised["middle"])
    np.testing.assert_array_equal(found["middle"], simulated["middle"])


def sum_of(shapes: Sequence[Sequence[int]], kind: str = "Add") -> onnx.ModelProto:
    """Two convolutions, pooled where a shape says 1, added."""
    b, parts = networks.Builder(21, seed=4), []
    for i, shape in enumerate(shapes):
        x = b.conv("input", f"part{i}", (3, 3, 1, 1))
        parts.append(x if shape[-1] > 1 else b.node("GlobalMaxPool", [x], f"pooled{i}"))
    b.conv(b.node(kind, parts, "middle"), "after", (2, 3, 1, 1))
    return b.model({"input": ("batch", 3, 9, 9)}, {"after_out": ("batch", 2, 9, 9)})


@pytest.mark.parametrize("shapes", [((9, 9), (1, 1)), ((1, 1), (9, 9)), ((9, 9), (9, 9))])
def test_sums_add_in_the_runtime_s_order(shapes: Sequence[Sequence[int]]) -> None:
    chain = Chain.of(sum_of(shapes), samples=200)
    assert_exact(chain)
    (add,) = [i for i in chain.program.instructions if isinstance(i, AddRescaled)]
    first, second = ("part0_out", "part1_out") if shapes[1] == (9, 9) else ("part0_out", "pooled1")
    assert add.inputs == ((second, "pooled0") if shapes[0] == (1, 1) else (first, second))


def test_a_difference_keeps_its_sign_when_it_is_turned() -> None:
    chain = Chain.of(sum_of(((1, 1), (9, 9)), "Sub"))
    found, simulated = chain.program.codes(chain.feeds, ["middle"])["middle"], chain.codes(optimise=False)["middle"]
    assert np.abs(found.astype(int) - simulated.astype(int)).max() <= 1
    assert not chain.program.in_float


@pytest.mark.parametrize("constant_first", [False, True])
def test_constant_operands(constant_first: bool) -> None:
    b = networks.Builder(21, seed=5)
    x = b.conv("input", "before", (4, 4, 3, 3))
    pair = [x, b.constant("shift", b.random.normal(0, 1, (4, 1, 1)))]
    b.conv(b.node("Add", pair[::-1] if constant_first else pair, "middle"), "after", (4, 4, 3, 3))
    chain = Chain.of(b.model({"input": IMAGE}, {"after_out": ("batch", 4, 2, 2)}))
    found, optimised = chain.program.codes(chain.feeds, chain.coded), chain.codes(optimise=True)
    for name in chain.coded:
        np.testing.assert_array_equal(found[name], optimised[name], err_msg=name)


def wide_sum(terms: int, weight: float) -> onnx.ModelProto:
    b = networks.Builder(21, seed=0)
    b.node("MatMul", ["input", b.constant("weight", np.full((terms, 3), weight))], "product")
    b.node("Relu", ["product"], "output")
    return b.model({"input": ("batch", terms)}, {"output": ("batch", 3)})


def test_an_accumulator_that_may_overflow_is_float_and_says_so() -> None:
    """All weights at 127, 16 bits in: 127 * 65535 * terms passes 2**31 with the 259th term."""
    recipe = recipes.int16()
    assert not Chain.of(wide_sum(250, 0.3), recipe).program.in_float.keys() & {"/product"}
    chain = Chain.of(wide_sum(600, 0.3), recipe)
    reason = chain.program.in_float["/product"]
    assert reason.startswith("The accumulator of MatMul '/product' may reach")
    assert reason.endswith("beyond int32: give it fewer bits.")
    np.testing.assert_allclose(chain.program.run(chain.feeds)["output"], chain.results(optimise=False)["output"], rtol=1e-5)


@pytest.mark.parametrize(("terms", "reason"), [
    (6000, ""), (20_000, "The accumulator of MatMul '/product' may reach .*, beyond int44: give it fewer bits."),
])
def test_two_values_of_16_bits_have_44_bits_to_add_up_in(terms: int, reason: str) -> None:
    """With zero points in the middle a product is up to 2**30: the sums are exact, or refused."""
    b = networks.Builder(21, seed=0)
    b.node("MatMul", ["input", b.node("Transpose", ["input"], "column", {"perm": [0, 2, 1]})], "product")
    model = b.model({"input": ("batch", 1, terms)}, {"product": ("batch", 1, 1)})
    network, feeds = load(model.SerializeToString()), networks.feeds(model, 2)
    program = lower(network, plan_for(network, feeds, recipes.int16(), TARGETS["c"].accepts), arithmetic=FIXED_POINT)
    assert re.fullmatch(reason, program.in_float.get("/product", ""))


def test_weights_and_16_bits_have_them_too_where_they_end_in_codes() -> None:
    """What is refused above where it ends in real numbers, for which int32 is all that there is."""
    model = wide_sum(600, 0.3)
    network, feeds = load(model.SerializeToString()), networks.feeds(model, 2)
    program = lower(network, plan_for(network, feeds, recipes.int16(), TARGETS["c"].accepts), arithmetic=FIXED_POINT)
    assert not program.in_float
    assert program.instructions[0].bounds(600).width > 32  # type: ignore[union-attr]


def test_bounds_that_just_fit() -> None:
    low, high = np.array([-(2**31), -(2**31)]), np.array([2**31 - 1, 2**31])
    assert list(Bounds(low, high).fit(32)) == [True, False]


def test_dynamic_plans_have_no_program() -> None:
    chain = Chain.of(networks.mlp(), recipes.dynamic_int8())
    with pytest.raises(LoweringError, match="is found at run time: there is no integer program; use a static recipe"):
        lower(chain.network, chain.plan)


def test_every_float_node_has_a_reason() -> None:
    program = Chain.of(networks.attention()).program
    assert program.in_float["/weights"] == "Softmax is integers only where all rounding is"
    assert program.in_float["/q_out"] == "'q_matmul' stays float"
    assert all(program.in_float.values())


def test_nodes_with_graphs_of_their_own_have_no_program() -> None:
    b = networks.Builder(21, seed=0)
    x = b.conv("input", "conv", (2, 2, 1, 1))
    value = onnx.helper.make_tensor_value_info("chosen", onnx.TensorProto.FLOAT, None)
    branch = onnx.helper.make_graph([onnx.helper.make_node("Relu", [x], ["chosen"])], "branch", [], [value])
    b.node("If", [b.constant("which", True, np.bool_)], "output", {"then_branch": branch, "else_branch": branch})
    network = Chain.of(b.model({"input": ("batch", 2, 3, 3)}, {"output": ("batch", 2, 3, 3)}))
    with pytest.raises(LoweringError, match="If '/output' holds a graph of its own"):
        lower(network.network, network.plan)


def test_clips_with_computed_bounds_are_no_clamps() -> None:
    b = networks.Builder(21, seed=0)
    x = b.conv("input", "conv", (4, 4, 1, 1))
    low = b.axes_in("ReduceMean", "limit", "low", [0], 18)
    y = b.node("Clip", [x, b.axes_in("Squeeze", low, "least", [0], 13)], "clipped")
    b.conv(y, "after", (2, 4, 1, 1))
    chain = Chain.of(b.model({"input": IMAGE, "limit": ("batch",)}, {"after_out": ("batch", 2, 6, 6)}))
    assert "conv_out" in chain.plan.encodings
    np.testing.assert_array_equal(chain.program.codes(chain.feeds, ["clipped"])["clipped"], chain.codes(optimise=False)["clipped"])


@pytest.mark.parametrize("rules", [[], [Rule(match="conv2", weights=4)]])
def test_arithmetic_can_be_fixed_point(rules: list[Rule]) -> None:
    from bitsmith.integer.instructions import FIXED_POINT

    chain = Chain.of(networks.conv_bn_relu(), recipes.int8().with_rules(*rules))
    fixed, usual = lower(chain.network, chain.plan, arithmetic=FIXED_POINT).codes(chain.feeds, chain.coded), chain.program
    expected = usual.codes(chain.feeds, chain.coded)
    assert all(np.abs(fixed[n].astype(int) - expected[n].astype(int)).max() <= 2 for n in chain.coded)
