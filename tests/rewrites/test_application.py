"""Raw numbers in and answers out: the network computes what preprocessing and an arg-max around it would."""

from typing import Any

import networks
import numpy as np
import onnx_ir as ir
import pytest

from bitsmith.errors import BitsmithError
from bitsmith.loading.from_onnx import load
from bitsmith.rewrites.application import end_with, take_raw_input
from bitsmith.running.session import Session

MEAN, STD = np.float32([0.4, 0.5, 0.6]).reshape(3, 1, 1), np.float32([0.2, 0.3, 0.4]).reshape(3, 1, 1)


def network() -> ir.Model:
    return load(networks.conv_bn_relu().SerializeToString())


def pixels(kind: str = "uint8") -> Any:
    limits = np.iinfo(kind)
    return np.random.default_rng(1).integers(limits.min, limits.max + 1, (4, 3, 8, 8)).astype(kind)


@pytest.mark.parametrize("kind", ["uint8", "int8", "uint16", "int16"])
def test_normalization_is_part_of_the_network(kind: str) -> None:
    before = network()
    after = take_raw_input(before, kind, scale=1 / 255, mean=MEAN.ravel().tolist(), std=STD.ravel().tolist())
    raw = pixels(kind)
    expected = Session(before).run({"input": (raw.astype(np.float32) / 255 - MEAN) / STD})
    found = Session(after).run({"input": raw})
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, rtol=1e-4, atol=1e-3)
    assert [v.dtype for v in before.graph.inputs] == [ir.DataType.FLOAT]


def test_what_changes_nothing_is_left_out() -> None:
    kinds = [node.op_type for node in take_raw_input(network(), "uint8").graph]
    assert kinds[0] == "Cast"
    assert {"Mul", "Sub", "Div"}.isdisjoint(kinds)


def test_a_network_of_nothing_but_its_input() -> None:
    b = networks.Builder(21, seed=1)
    b.node("Identity", ["input"], "output")
    built = load(b.model({"input": ("batch", 3)}, {"output": ("batch", 3)}))
    assert Session(take_raw_input(built, "int8", scale=2.0)).run({"input": np.int8([[-1, 0, 1]])})["output"].tolist() == [[-2, 0, 2]]


@pytest.mark.parametrize(("end", "kind"), [("arg-max", np.int64), ("softmax", np.float32)])
def test_ends(end: str, kind: type) -> None:
    raw = pixels().astype(np.float32)
    (scores,) = Session(network()).run({"input": raw}).values()
    ((name, found),) = Session(end_with(network(), end)).run({"input": raw}).items()
    assert name.endswith(end.replace("-", "_"))
    assert found.dtype == kind
    np.testing.assert_array_equal(found if end == "arg-max" else found.argmax(1), scores.argmax(1))


@pytest.mark.parametrize(("given", "message"), [
    ({"kind": "float"}, "Raw input is uint8, int8, uint16, int16, not 'float'"),
    ({"kind": "uint8", "std": 0}, "The std of raw input is one finite number"),
    ({"kind": "uint8", "scale": float("nan")}, "The scale of raw input"),
    ({"kind": "uint8", "mean": [1, 2], "std": [1, 2, 3]}, "scale, mean and std of 1, 2, 3 numbers"),
    ({"kind": "uint8", "mean": [1, 2]}, r"has 2 numbers for its channels, and the input is"),
])
def test_ill_numbers_are_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(BitsmithError, match=message):
        take_raw_input(network(), **given)


def test_networks_that_do_not_fit_are_refused() -> None:
    two = load(networks.NETWORKS["two_in_two_out"]().SerializeToString())
    with pytest.raises(BitsmithError, match="one input of real numbers, and this one has 2"):
        take_raw_input(two, "uint8")
    with pytest.raises(BitsmithError, match="one output of scores"):
        end_with(two, "arg-max")
    with pytest.raises(BitsmithError, match="arg-max or softmax, not 'top-5'"):
        end_with(network(), "top-5")
