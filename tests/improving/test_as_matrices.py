"""A product as matrices is what onnxruntime computes; weights come back as they were."""

from typing import Any

import numpy as np
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper, numpy_helper

from bitsmith.improving.as_matrices import Product, product_of
from bitsmith.loading import from_onnx
from bitsmith.running.session import Session

Array = np.ndarray[Any, Any]
CASES: dict[str, tuple[str, tuple[int, ...], tuple[int, ...], dict[str, Any]]] = {
    "plain": ("Conv", (3, 5, 7, 6), (4, 5, 3, 3), {}),
    "strided": ("Conv", (2, 4, 9, 8), (6, 4, 3, 2), {"strides": [2, 1], "pads": [1, 0, 2, 1], "dilations": [1, 2]}),
    "same": ("Conv", (2, 4, 9, 8), (6, 4, 3, 3), {"auto_pad": "SAME_LOWER", "strides": [2, 2]}),
    "grouped": ("Conv", (2, 4, 5, 5), (6, 2, 3, 3), {"group": 2, "pads": [1, 1, 1, 1]}),
    "depthwise": ("Conv", (2, 4, 5), (4, 1, 3), {"group": 4}),
    "transposed": ("ConvTranspose", (2, 4, 5, 4), (4, 3, 3, 2), {"strides": [2, 3], "pads": [1, 0, 0, 1], "output_padding": [1, 2]}),
    "transposed groups": ("ConvTranspose", (2, 4, 5, 4), (4, 3, 3, 2), {"group": 2, "dilations": [1, 2]}),
    "gemm": ("Gemm", (5, 7), (7, 3), {}),
    "gemm transposed": ("Gemm", (5, 7), (3, 7), {"transB": 1}),
    "matmul": ("MatMul", (2, 3, 4, 6), (6, 5), {}),
}


def network(case: str) -> ir.Model:
    kind, inputs, weight, attributes = CASES[case]
    held = numpy_helper.from_array(np.random.default_rng(0).normal(size=weight).astype(np.float32), "w")
    graph = helper.make_graph(
        [helper.make_node(kind, ["x", "w"], ["y"], name="product", **attributes)], "one",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, list(inputs))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)], [held],
    )
    return from_onnx.load(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10))


def product_in(model: ir.Model) -> tuple[Product, Array]:
    (node,) = model.graph
    found, weight = product_of(node), node.inputs[1]
    assert isinstance(found, Product)
    assert weight is not None
    assert weight.const_value is not None
    return found, weight.const_value.numpy()


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("every", [1, 3])
def test_rows_times_weights_are_results(case: str, every: int) -> None:
    model = network(case)
    product, weight = product_in(model)
    x = np.random.default_rng(1).normal(size=CASES[case][1]).astype(np.float32)
    y = Session(model).run({"x": x})["y"]

    def some(total: int) -> Array:
        return np.arange(0, total, every)

    made = product.rows(x, some) @ product.weights(weight).swapaxes(1, 2)
    np.testing.assert_allclose(made, product.results(y, some), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("case", CASES)
def test_weights_come_back(case: str) -> None:
    product, weight = product_in(network(case))
    np.testing.assert_array_equal(product.restore(product.weights(weight)), weight)


@pytest.mark.parametrize(("kind", "inputs", "weight", "attributes", "why"), [
    ("Gemm", (5, 7), (7, 3), {"alpha": 2.0}, "not written as one product"),
    ("MatMul", (2, 5, 7), (2, 7, 3), {}, "not written as one product"),
    ("ConvTranspose", (2, 4, 5), (4, 3, 3), {"auto_pad": "SAME_UPPER"}, "not written as one product"),
])
def test_others_are_named(kind: str, inputs: tuple[int, ...], weight: tuple[int, ...], attributes: dict[str, Any], why: str,
                          monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(CASES, "odd", (kind, inputs, weight, attributes))
    (node,) = network("odd").graph
    assert why in str(product_of(node))
