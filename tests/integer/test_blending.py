"""Blends equal exact fractions, rounded once; as resizing they are close to onnxruntime's."""

from fractions import Fraction
from math import floor
from typing import Any

import networks
import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from quantizing import plan_for

from bitsmith.errors import LoweringError
from bitsmith.integer.blending import SHORT, Neighbours
from bitsmith.integer.instructions import FIXED_POINT, FLOAT32, Blend
from bitsmith.loading.from_onnx import load
from bitsmith.lowering import lower
from bitsmith.planning import recipes
from bitsmith.planning.recipe import Recipe
from bitsmith.running.session import Session
from bitsmith.targets import TARGETS


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 2**32), st.integers(1, 5), st.integers(1, 5))
def test_exact_fractions(seed: int, height: int, width: int) -> None:
    random = np.random.default_rng(seed)
    codes = random.choice([-128, 127, 0, 5], (1, 2, height, width)).astype(np.int8)
    rows, columns = (Neighbours.at(random.uniform(0, n - 1, 4), n, SHORT) for n in (height, width))
    found = Blend(("x",), "y", {2: rows, 3: columns}, SHORT).run(codes)
    for channel, i, j in np.ndindex(2, 4, 4):
        total = Fraction(0)
        for row, down in ((rows.left[i], 2**SHORT - int(rows.weight[i])), (rows.right[i], int(rows.weight[i]))):
            for column, across in ((columns.left[j], 2**SHORT - int(columns.weight[j])), (columns.right[j], int(columns.weight[j]))):
                total += Fraction(int(codes[0, channel, row, column]) * down * across, 2 ** (2 * SHORT))
        assert found[0, channel, i, j] == floor(total + Fraction(1, 2))


def test_samples_and_three_axes_are_refused() -> None:
    line = Neighbours.at(np.zeros(1), 1, SHORT)
    for axes in ([0], [1, 2, 3], []):
        with pytest.raises(LoweringError, match="integers do one or two, never the samples"):
            Blend(("x",), "y", dict.fromkeys(axes, line), SHORT)


def resizing(how: dict[str, Any], scales: list[float]) -> onnx.ModelProto:
    b = networks.Builder(21, seed=1)
    x = b.conv("input", "before", (4, 3, 1, 1))
    b.node("Resize", [x, b.constant("roi", np.zeros(0, np.float32)), b.constant("scales", np.float32([1, 1, *scales]))], "resized",
           {"mode": "linear", **how})
    b.conv("resized", "after", (2, 4, 1, 1))
    height, width = (int(n * s) for n, s in zip((5, 6), scales, strict=True))
    return b.model({"input": ("batch", 3, 5, 6)}, {"after_out": ("batch", 2, height, width)})


@pytest.mark.parametrize("recipe", [recipes.int8(), recipes.int16()], ids=lambda recipe: recipe.name)
@pytest.mark.parametrize(("how", "scales"), [
    ({"coordinate_transformation_mode": "half_pixel"}, [2, 2]), ({"coordinate_transformation_mode": "align_corners"}, [3, 1]),
    ({"coordinate_transformation_mode": "asymmetric"}, [2, 3]), ({"coordinate_transformation_mode": "pytorch_half_pixel"}, [0.5, 1.5]),
])
def test_resizing_is_within_a_code_of_float(recipe: Recipe, how: dict[str, Any], scales: list[float]) -> None:
    """Codes of the resized value against those of what onnxruntime makes of the codes before."""
    model = resizing(how, scales)
    network, feeds = load(model.SerializeToString()), networks.feeds(model, 4)
    plan = plan_for(network, feeds, recipe, TARGETS["c"].accepts)
    program = lower(network, plan, arithmetic=FIXED_POINT)
    assert not program.in_float
    found = program.codes(feeds, ["before_out", "resized"])
    encoding = plan.encodings["resized"]
    assert encoding == plan.encodings["before_out"]
    b = networks.Builder(21, seed=1)
    alone = b.node("Resize", ["x", b.constant("roi", np.zeros(0, np.float32)), b.constant("scales", np.float32([1, 1, *scales]))], "y",
                   {"mode": "linear", **how})
    part = load(b.model({"x": ("batch", 4, 5, 6)}, {alone: ("batch", *found["resized"].shape[1:])}).SerializeToString())
    exact = Session(part).run({"x": encoding.dequantize(found["before_out"])})["y"] / np.float64(encoding.scale) + encoding.zero_point
    assert np.abs(found["resized"] - exact).max() < 0.65
    assert "resized" in str(lower(network, plan, arithmetic=FLOAT32).in_float)


def test_what_blends_more_than_neighbours_stays_float() -> None:
    model = resizing({"antialias": 1}, [0.5, 0.5])
    network = load(model.SerializeToString())
    plan = plan_for(network, networks.feeds(model, 4), recipes.int8(), TARGETS["c"].accepts)
    assert "more than neighbours" in str(lower(network, plan, arithmetic=FIXED_POINT).in_float)
