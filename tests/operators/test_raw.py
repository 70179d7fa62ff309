"""Raw inputs are codes already: as they come where the network multiplies and shifts them alike, by a table for each channel elsewhere."""

from typing import Any

import networks
import numpy as np
import pytest
from quantizing import POWERS, plan_for

from bitsmith.integer.instructions import FIXED_POINT, Interpolate, LookUp, Reshape
from bitsmith.integer.program import Program
from bitsmith.loading.from_onnx import load
from bitsmith.lowering import lower
from bitsmith.planning import recipes
from bitsmith.planning.plan import Plan
from bitsmith.planning.recipe import Recipe
from bitsmith.rewrites.application import end_with, take_raw_input
from bitsmith.rewrites.simplify import simplify
from bitsmith.targets import TARGETS

RAW = np.random.default_rng(0).integers(0, 256, (8, 3, 8, 8)).astype(np.uint8)


def quantized(recipe: Recipe | None = None, target: str = "c", **numbers: Any) -> tuple[Plan, Program]:
    network = load(networks.conv_bn_relu().SerializeToString())
    simplify(network)
    network = end_with(take_raw_input(network, "uint8", **numbers), "arg-max")
    plan = plan_for(network, {"input": RAW}, (recipe or recipes.int8()).with_everything(), TARGETS[target].accepts)
    return plan, lower(network, plan, arithmetic=FIXED_POINT)


@pytest.mark.parametrize(("numbers", "zero"), [({"scale": 1 / 255}, 0), ({}, 0), ({"mean": 128, "std": 64}, 128)])
def test_pixels_as_they_come(numbers: dict[str, Any], zero: int) -> None:
    plan, program = quantized(**numbers)
    assert isinstance(program.instructions[0], Reshape)
    encoding = plan.encodings["input_numbers"]
    assert (int(encoding.zero_point), float(encoding.scale)) == (zero, pytest.approx(numbers.get("scale", 1) / numbers.get("std", 1)))
    assert plan.reasons["input_numbers"] == "uint8: the raw input as it comes"
    np.testing.assert_array_equal(program.codes({"input": RAW}, ["input_numbers"])["input_numbers"], RAW)
    assert not program.in_float


@pytest.mark.parametrize("target", ["c", "onnxruntime"])
def test_a_table_for_each_channel(target: str) -> None:
    mean, std = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
    plan, program = quantized(target=target, scale=1 / 255, mean=mean, std=std)
    table = program.instructions[0]
    assert isinstance(table, LookUp)
    assert table.table.shape == (3, 256)
    real = (RAW.astype(np.float64) / 255 - np.reshape(mean, (3, 1, 1))) / np.reshape(std, (3, 1, 1))
    encoding = plan.encodings["input_numbers"]
    found = program.codes({"input": RAW}, ["input_numbers"])["input_numbers"]
    inside = (real > encoding.lowest) & (real < encoding.highest)
    assert np.abs(encoding.dequantize(found) - real)[inside].max() < 0.501 * encoding.scale
    assert inside.mean() > 0.9


def test_where_the_raw_numbers_do_not_suit() -> None:
    """A zero between two codes, scales that must be powers of two, wider codes: a table, as for any other function."""
    for recipe, numbers in ((None, {"mean": 127.5}), (POWERS, {"scale": 1 / 255}), (recipes.int16(), {})):
        _, program = quantized(recipe, **numbers)
        assert isinstance(program.instructions[0], LookUp)
    _, program = quantized(POWERS, scale=1 / 256)
    assert isinstance(program.instructions[0], Reshape)


@pytest.mark.parametrize("recipe", [recipes.int8(), recipes.int16()], ids=lambda recipe: recipe.name)
def test_samples_of_16_bits(recipe: Recipe) -> None:
    """A short table, wherever they go; it is a line, and so hardly off."""
    network = load(networks.conv_bn_relu().SerializeToString())
    simplify(network)
    network = take_raw_input(network, "int16", scale=1 / 3000, mean=[0.1, 0.2, 0.3])
    samples = np.random.default_rng(0).normal(0, 3000, (8, 3, 8, 8)).clip(-32768, 32767).astype(np.int16)
    plan = plan_for(network, {"input": samples}, recipe, TARGETS["c"].accepts)
    table = lower(network, plan, arithmetic=FIXED_POINT).instructions[0]
    assert isinstance(table, Interpolate)
    assert table.table.shape == (3, 513)
    assert table.error <= 1
