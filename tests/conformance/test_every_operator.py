"""Every operator of the table, between two convolutions: the program gives the codes that onnxruntime gives.

A new operator gets a line in CASES.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import networks
import numpy as np
import pytest
from quantizing import Chain, apart, between

from bitsmith.operators import OPERATORS

SAME, HALF, FLAT = (4, 6, 6), (4, 3, 3), (4, 1, 1)
STEPS = np.linspace(-2, 2, 4, dtype=np.float32).reshape(4, 1, 1)


@dataclass(frozen=True)
class Case:
    """The result's shape, constant operands behind the first, attributes. In float: bitsmith has no integers for it, and says so."""

    shape: Sequence[int] = SAME
    operands: Sequence[Any] = ()
    attributes: dict[str, Any] = field(default_factory=dict)
    in_float: bool = False


CASES: dict[str, Case] = {
    **dict.fromkeys(("Abs", "Celu", "Cos", "Elu", "Erf", "Exp", "Gelu", "HardSigmoid", "HardSwish", "LeakyRelu", "Mish", "Neg", "Relu",
                     "Selu", "Sigmoid", "Sign", "Sin", "Softplus", "Softsign", "Tanh", "ThresholdedRelu", "Identity"), Case()),
    **dict.fromkeys(("Max", "Min", "Mul", "Add", "Sub", "Sum", "PRelu"), Case(operands=[STEPS])),
    "Div": Case(operands=[STEPS + np.float32(5)]),
    "Pow": Case(operands=[np.float32(2)]),
    "Clip": Case(operands=[np.float32(-0.5), np.float32(0.25)]),
    "Dropout": Case(),
    "Reshape": Case((6, 12, 2), [np.array([0, 6, 12, 2])]),
    "Flatten": Case((144,)), "Squeeze": Case((4, 6, 6)), "Unsqueeze": Case((4, 6, 6, 1), [np.array([4])]),
    "Tile": Case((8, 6, 6), [np.array([1, 2, 1, 1])]),
    "Expand": Case(SAME, [np.array([1, 4, 6, 6])]),
    "DepthToSpace": Case((1, 12, 12), attributes={"blocksize": 2}),
    "SpaceToDepth": Case((16, 3, 3), attributes={"blocksize": 2}),
    "Transpose": Case((6, 6, 4), attributes={"perm": [0, 2, 3, 1]}),
    "Slice": Case((4, 6, 3), [np.array([0]), np.array([6]), np.array([3]), np.array([2])]),
    "Gather": Case((3, 6, 6), [np.array([3, 0, 0])], {"axis": 1}),
    "Pad": Case((4, 6, 8), [np.array([0, 0, 0, 1, 0, 0, 0, 1])]),
    "Resize": Case((4, 12, 12), [np.zeros(0, np.float32), np.float32([1, 1, 2, 2])],
                   {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}),
    "MaxPool": Case(HALF, attributes={"kernel_shape": [2, 2], "strides": [2, 2]}),
    "AveragePool": Case(HALF, attributes={"kernel_shape": [2, 2], "strides": [2, 2]}),
    "GlobalMaxPool": Case(FLAT), "GlobalAveragePool": Case(FLAT),
    "ReduceMean": Case(FLAT, [np.array([2, 3])]),
    "ReduceMax": Case(FLAT, [np.array([2, 3])], in_float=True), "ReduceMin": Case(FLAT, [np.array([2, 3])], in_float=True),
}  # fmt: skip
POSITIVE = ("Log", "Sqrt", "Reciprocal")                # defined, or finite, behind a Softplus only
IN_NETWORKS = {"Conv", "ConvTranspose", "Gemm", "MatMul", "Concat", "Split"}
APPLICATION = {"Cast", "ArgMax", "TopK"}               # tests/operators/test_raw.py, test_top_k.py
NORMALIZING = {"Softmax", "LayerNormalization"}         # tests/integer/test_normalization.py, tests/bit_exact/test_c_networks.py
WEIGHTS_ONLY = {"LSTM", "GRU", "RNN"}
FLATTENED = {"Flatten", "Squeeze", "Unsqueeze"}         # a Conv cannot follow


def test_no_operator_is_left_out() -> None:
    in_networks = {node.op_type for build in networks.NETWORKS.values() for node in build().graph.node}
    assert in_networks >= IN_NETWORKS
    assert {*CASES, *POSITIVE, *IN_NETWORKS, *APPLICATION, *NORMALIZING, *WEIGHTS_ONLY, "Swish"} == set(OPERATORS)


def check(chain: Chain, value: str, *, in_float: bool = False) -> None:
    """Of the value itself; what onnxruntime computes in float and then quantizes may be one code apart where a rounding is undecided."""
    assert value in chain.plan.encodings
    assert bool(chain.program.in_float) is in_float
    found = chain.program.codes(chain.feeds, [value])[value]
    for optimise in (True, False):
        off = apart(found, chain.codes(optimise=optimise)[value])
        assert off.max() <= 1
        assert np.count_nonzero(off) <= off.size / 500


@pytest.mark.parametrize("kind", sorted(set(CASES) - FLATTENED - {"Identity", "Dropout"}))
def test_operator(kind: str) -> None:
    case = CASES[kind]
    chain = Chain.of(between(kind, case.shape, operands=case.operands, attributes=case.attributes))
    check(chain, "middle" if "middle" in chain.plan.encodings else "before_out", in_float=case.in_float)


@pytest.mark.parametrize("kind", sorted(FLATTENED))
def test_operator_that_changes_the_rank(kind: str) -> None:
    b = networks.Builder(21, seed=1)
    x = b.conv("input", "before", (4, 1, 1, 1))
    operands = [b.constant("axes", [3] if kind == "Squeeze" else [1], np.int64)] if kind != "Flatten" else []
    x = b.node(kind, [x, *operands], "middle")
    weight = b.weight("weight", {"Flatten": 20, "Squeeze": 5, "Unsqueeze": 1}[kind], 3)
    shape = {"Flatten": (), "Squeeze": (4,), "Unsqueeze": (1, 4, 5)}[kind]
    b.node("MatMul", [x, weight], "product")
    check(Chain.of(b.model({"input": ("batch", 1, 5, 1)}, {"product": ("batch", *shape, 3)})), "middle")


@pytest.mark.parametrize("kind", POSITIVE)
def test_operator_of_positive_numbers(kind: str) -> None:
    """Two nodes, one table."""
    b = networks.Builder(21, seed=1)
    x = b.node(kind, [b.node("Softplus", [b.conv("input", "before", (4, 4, 1, 1))], "positive")], "middle")
    b.conv(x, "after", (2, 4, 1, 1))
    chain = Chain.of(b.model({"input": ("batch", 4, 6, 6)}, {"after_out": ("batch", 2, 6, 6)}))
    assert [type(i).__name__ for i in chain.program.instructions] == ["Convolve", "LookUp", "Convolve"]
    check(chain, "middle")
