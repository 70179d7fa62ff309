"""Operators on torch tensors mean what onnxruntime computes, and gradients flow."""

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from bitsmith.errors import LoweringError
from bitsmith.loading import from_onnx
from bitsmith.running.session import Session
from tests import networks

torch = pytest.importorskip("torch", reason="needs the extra torch")
from bitsmith.training.differentiable import MEANINGS, run_nodes, without_meaning  # noqa: E402

Array = np.ndarray[Any, Any]
CHANCE = np.random.default_rng(0)
X = CHANCE.normal(size=(2, 4, 7, 6)).astype(np.float32)


def weight(*shape: int) -> Array:
    return CHANCE.normal(size=shape).astype(np.float32)


def whole(*numbers: int) -> Array:
    return np.array(numbers, np.int64)


# operator, first input, further constant operands, attributes
CASES: list[tuple[str, Array, list[Array], dict[str, Any]]] = [
    ("Conv", X, [weight(6, 2, 3, 2), weight(6)], {"group": 2, "strides": [2, 1], "pads": [1, 0, 2, 1], "dilations": [1, 2]}),
    ("Conv", X, [weight(3, 4, 3, 3)], {"auto_pad": "SAME_LOWER", "strides": [2, 2]}),
    ("Conv", X, [weight(3, 4, 2, 3)], {"auto_pad": "SAME_UPPER", "strides": [1, 2]}),
    ("Conv", X[:, :, 0], [weight(4, 1, 3)], {"group": 4}),
    ("Gemm", X[0, 0], [weight(5, 6), weight(5)], {"transB": 1, "alpha": 0.5, "beta": 2.0}),
    ("Gemm", X[0, 0], [weight(7, 3)], {"transA": 1}),
    ("MatMul", X, [weight(6, 3)], {}),
    *[(kind, X, [weight(4, 1, 1)], {}) for kind in ("Add", "Sub", "Mul", "Div")],
    *[(kind, X, [], {}) for kind in ("Relu", "Sigmoid", "Tanh", "Erf", "HardSwish", "Identity", "GlobalAveragePool", "GlobalMaxPool")],
    ("Sqrt", np.abs(X), [], {}),
    ("Clip", X, [np.float32(-0.5), np.float32(0.7)], {}),
    ("LeakyRelu", X, [], {"alpha": 0.2}),
    ("HardSigmoid", X, [], {"alpha": 0.3, "beta": 0.4}),
    ("Softmax", X, [], {"axis": 1}),
    ("MaxPool", X, [], {"kernel_shape": [3, 2], "strides": [2, 1], "pads": [1, 0, 0, 1]}),
    ("AveragePool", X, [], {"kernel_shape": [3, 2], "strides": [2, 1], "pads": [1, 0, 0, 1]}),
    ("AveragePool", X, [], {"kernel_shape": [2, 2], "pads": [1, 1, 1, 1], "count_include_pad": 1}),
    ("AveragePool", X, [], {"kernel_shape": [2, 2], "auto_pad": "SAME_UPPER"}),
    ("ReduceMean", X, [whole(2, -1)], {"keepdims": 0}),
    ("ReduceMean", X, [], {}),
    ("Reshape", X, [whole(0, -1, 3)], {}),
    ("Flatten", X, [], {"axis": 2}),
    ("Transpose", X, [], {"perm": [0, 2, 3, 1]}),
    ("Transpose", X, [], {}),
    ("Squeeze", X[:, :1], [whole(1)], {}),
    ("Squeeze", X[:, :1], [], {}),
    ("Unsqueeze", X, [whole(1, -1)], {}),
    ("Concat", X, [X[:, :2]], {"axis": 1}),
    ("Pad", X, [whole(0, 1, 0, 2, 0, 0, 3, 1), np.float32(1.5)], {}),
    ("Slice", X, [whole(1, 5), whole(100, -100), whole(1, 2), whole(2, -2)], {}),
    ("Slice", X, [whole(1), whole(-1)], {}),
]


def network_of(kind: str, x: Array, rest: list[Array], attributes: dict[str, Any]) -> onnx.ModelProto:
    names = [f"c{i}" for i in range(len(rest))]
    graph = helper.make_graph(
        [helper.make_node(kind, ["x", *names], ["y"], name="one", **attributes)], "one",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, list(x.shape))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.asarray(a), name) for a, name in zip(rest, names, strict=True)],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


@pytest.mark.parametrize(("kind", "x", "rest", "attributes"), CASES, ids=[f"{i}-{c[0]}" for i, c in enumerate(CASES)])
def test_an_operator_means_what_onnxruntime_computes(kind: str, x: Array, rest: list[Array], attributes: dict[str, Any]) -> None:
    model = from_onnx.load(network_of(kind, x, rest, attributes))
    given = torch.from_numpy(x.copy()).requires_grad_()
    made = run_nodes(model.graph, {"x": given})["y"]
    np.testing.assert_allclose(made.detach().numpy(), Session(model).run({"x": x})["y"], rtol=1e-4, atol=1e-5)
    made.square().sum().backward()
    assert torch.isfinite(given.grad).all()


def test_every_meaning_is_tested() -> None:
    assert {case[0] for case in CASES} == set(MEANINGS)


def test_a_convolution_has_the_gradient_of_differences() -> None:
    model = from_onnx.load(network_of("Conv", X, [weight(3, 4, 3, 3)], {}))
    w = model.graph.initializers["c0"].const_value.numpy()
    held = torch.from_numpy(w.copy()).double().requires_grad_()
    x = torch.from_numpy(X).double()
    run_nodes(model.graph, {"x": x, "c0": held})["y"].square().sum().backward()
    nudge = torch.zeros_like(held)
    nudge[1, 2, 0, 1] = 1e-5
    ends = [float(run_nodes(model.graph, {"x": x, "c0": held.detach() + sign * nudge})["y"].square().sum()) for sign in (1, -1)]
    np.testing.assert_allclose(float(held.grad[1, 2, 0, 1]), (ends[0] - ends[1]) / 2e-5, rtol=1e-5)


def test_values_can_be_changed_on_the_way() -> None:
    model = from_onnx.load(networks.mlp())
    feeds = networks.feeds(networks.mlp())
    (x,) = feeds.values()
    found = run_nodes(model.graph, {"input": torch.from_numpy(x)}, lambda name, value: value * 0 if name == "hidden" else value)
    assert not found["hidden"].any()
    assert (found["output"] == found["output"][0]).all()


def test_what_has_no_meaning_is_said_by_name() -> None:
    model = from_onnx.load(network_of("Celu", X, [], {}))
    assert [node.op_type for node in without_meaning(model.graph)] == ["Celu"]
    with pytest.raises(LoweringError, match="Celu 'one' has no differentiable meaning"):
        run_nodes(model.graph, {"x": torch.from_numpy(X)})


@pytest.mark.parametrize(("kind", "rest", "attributes", "why"), [
    ("MaxPool", [], {"kernel_shape": [2, 2], "ceil_mode": 1}, "ceil_mode"),
    ("Pad", [whole(0, 0, 1, 1, 0, 0, 1, 1)], {"mode": "reflect"}, "otherwise than with a constant"),
])
def test_forms_without_meaning_are_refused(kind: str, rest: list[Array], attributes: dict[str, Any], why: str) -> None:
    model = from_onnx.load(network_of(kind, X, rest, attributes))
    with pytest.raises(LoweringError, match=why):
        run_nodes(model.graph, {"x": torch.from_numpy(X)})
