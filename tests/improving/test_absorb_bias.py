"""What a channel always has moves behind its Relu; the network computes the same."""

from contextlib import nullcontext

import numpy as np
import onnx
import pytest

import bitsmith as bs
from bitsmith.improving.absorb_bias import absorb_bias, constant_part, find_passages
from bitsmith.improving.channel_moments import Moments
from bitsmith.improving.draft import Draft
from bitsmith.planning.recipe import load_recipe
from bitsmith.running.session import Session
from bitsmith.workflow import first_draft
from tests import networks


def biased(*, pads: int = 0, clip: bool = False) -> onnx.ModelProto:
    """Conv, Relu, Conv, with channels of which two never are near zero."""
    b = networks.Builder(21, seed=7)
    x = b.node("Conv", ["input", b.weight("w1", 4, 3, 1, 1), b.constant("b1", [60, 0.2, 40, -1])], "x")
    x = b.clip(x, 0.0, 100.0) if clip else b.relu(x)
    b.conv(x, "second", (5, 4, 3, 3), {"pads": [pads] * 4})
    b.node("Identity", ["second_out"], "output")
    size = 4 + 2 * pads
    return b.model({"input": ("batch", 3, 6, 6)}, {"output": ("batch", 5, size, size)})


def draft_of(model: onnx.ModelProto) -> Draft:
    rows = networks.feeds(model, 24)
    return first_draft(bs.load(model), rows, load_recipe("int8").with_everything(), "onnxruntime", lambda title: nullcontext())


def test_high_channels_lose_their_constant_part_and_nothing_else_changes() -> None:
    draft = draft_of(biased())
    better = absorb_bias(draft)
    batch = next(iter(draft.samples("test").batches(100)))
    before, after = (Session(d.network, ["output", "x_relu"]).run(batch) for d in (draft, better))
    apart = np.abs(after["output"] - before["output"])
    assert (apart > 1e-3).mean() < 0.01         # behind the few numbers more than three deviations below the mean
    assert apart.max() < 0.2
    assert after["x_relu"].max() < before["x_relu"].max() / 3
    assert float(better.plan.encodings["x_relu"].highest) < float(draft.plan.encodings["x_relu"].highest) / 3
    assert "2 channels are in the biases" in better.plan.reasons["x"]


@pytest.mark.parametrize("model", [biased(pads=1), biased(clip=True), networks.conv_bn_relu()])
def test_zero_padding_and_upper_bounds_forbid_it(model: onnx.ModelProto) -> None:
    draft = draft_of(model)
    assert all(passage.name != "x" for passage in find_passages(draft.network.graph))
    assert absorb_bias(draft).plan.encodings == draft.plan.encodings


def test_the_constant_part_is_three_deviations_below_the_mean() -> None:
    rows = np.random.default_rng(0).normal([9.0, 1.0, -9.0], [2.0, 1.0, 0.1], (100_000, 3))
    np.testing.assert_allclose(constant_part(Moments.of(rows, 1)), [3.0, 0.0, 0.0], atol=0.05)
