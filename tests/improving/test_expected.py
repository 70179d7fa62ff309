"""What is expected of values without data is what drawn samples show."""

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitsmith.improving.expected import clamped, expect
from bitsmith.loading import from_onnx
from bitsmith.numerics.formats import Array
from bitsmith.rewrites.normal import Normal, note_normal
from bitsmith.running.session import Session
from tests import networks

DRAWN = 20_000
ENDS = st.floats(-4, 4)


@settings(max_examples=40, deadline=None)
@given(ENDS, st.floats(0, 3), ENDS, ENDS, st.booleans(), st.booleans())
def test_a_clamp_of_normal_numbers(mean: float, deviation: float, first: float, second: float, below: bool, above: bool) -> None:
    low, high = min(first, second) if below else -np.inf, max(first, second) if above else np.inf
    found = clamped(Normal(np.array([mean]), np.array([deviation**2])), low, high)
    places = (np.arange(-8, 8, 1e-3) + 5e-4)        # the slow way: a sum over the density
    density = np.exp(-(places**2) / 2)
    values = np.clip(mean + deviation * places, low, high)
    expected = float((values * density).sum() / density.sum())
    spread = float(((values - expected) ** 2 * density).sum() / density.sum())
    assert abs(found.mean[0] - expected) < 1e-4
    assert abs(found.variance[0] - spread) < 1e-3


def curves() -> onnx.ModelProto:
    """Everything that is followed, from `start` on."""
    b = networks.Builder(21, seed=4)
    start = b.node("Identity", ["input"], "start")
    silu = b.node("Mul", [start, b.node("Sigmoid", [start], "sigmoid")], "silu")
    hard = b.hard_swish(b.conv(silu, "c1", (6, 4, 1, 1)))
    grouped = b.clip(b.conv(hard, "c2", (4, 3, 1, 1), {"group": 2}), 0.0, 1.5)
    gates = b.node("HardSigmoid", [b.conv(b.node("GlobalAveragePool", [start], "squeezed"), "gate", (4, 4, 1, 1))], "gates")
    total = b.node("Add", [b.relu(start), b.node("Mul", [grouped, gates], "gated")], "total")
    both = b.node("Concat", [total, start], "both", {"axis": 1})
    padded = b.node("Pad", [both, b.constant("pads", [0, 1, 0, 0, 0, 2, 0, 0], np.int64)], "padded")
    cut = b.node("Slice", [padded, *(b.constant(n, v, np.int64) for n, v in (("from", [0]), ("to", [1]), ("along", [2])))], "cut")
    mean = b.axes_in("ReduceMean", cut, "mean", [2, 3], 18)
    b.linear(b.node("Reshape", [mean, b.constant("flat", [0, -1], np.int64)], "rows"), "fc", 11, 5)
    b.node("Identity", ["fc_out"], "output")
    return b.model({"input": ("batch", 4, 1, 1)}, {"output": ("batch", 5)})


def test_whole_networks_do_on_average_what_was_expected() -> None:
    network = from_onnx.load(curves())
    random = np.random.default_rng(0)
    normal = Normal(random.normal(size=4), random.uniform(0.2, 1.5, 4) ** 2)
    value = next(v for node in network.graph for v in node.outputs if v.name == "start")
    note_normal(value, normal)
    known = {v.name or "": found for v, found in expect(network.graph).items()}
    drawn = (normal.mean + np.sqrt(normal.variance) * random.normal(size=(DRAWN, 4))).astype(np.float32).reshape(DRAWN, 4, 1, 1)
    seen = Session(network, list(known), optimise=False).run({"input": drawn})
    for name in ("sigmoid", "silu", "c1_out", "c1_out_hswish", "c2_out", "gates", "gated", "total", "both", "padded", "mean", "fc_out"):
        rows: Array = seen[name].reshape(DRAWN, -1).astype(np.float64)
        np.testing.assert_allclose(known[name].mean, rows.mean(0), atol=0.06, err_msg=name)
    np.testing.assert_allclose(known["silu"].variance, seen["silu"].reshape(DRAWN, -1).var(0), rtol=0.06)


@pytest.mark.parametrize("broken", ["MaxPool", "Softmax"])
def test_what_cannot_be_followed_is_not_known(broken: str) -> None:
    b = networks.Builder(21, seed=4)
    attributes = {"kernel_shape": [1, 1]} if broken == "MaxPool" else {"axis": 1}
    b.node(broken, [b.node("Identity", ["input"], "start")], "output", attributes)
    network = from_onnx.load(b.model({"input": ("batch", 4, 1, 1)}, {"output": ("batch", 4, 1, 1)}))
    value = next(v for node in network.graph for v in node.outputs if v.name == "start")
    note_normal(value, Normal(np.zeros(4), np.ones(4)))
    assert {v.name for v in expect(network.graph)} == {"start"}


def test_nothing_noted_means_nothing_known() -> None:
    network = from_onnx.load(curves())
    assert expect(network.graph) == {}
    assert isinstance(network, ir.Model)
