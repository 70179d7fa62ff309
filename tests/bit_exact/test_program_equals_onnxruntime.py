"""The integer program, onnxruntime's integer kernels and the simulation give the same codes, for every value that has codes."""

from pathlib import Path

import networks
import numpy as np
import pytest
from quantizing import MARGIN, POWERS, Chain, apart, assert_same

from bitsmith.planning import recipes
from bitsmith.planning.recipe import Recipe

RECIPES = {"int8": recipes.int8(), "per_tensor_int8": recipes.per_tensor_int8(), "powers_of_two": POWERS}
CONVOLUTIONAL = ("conv_bn_relu", "depthwise", "one_dimensional", "rearranged")      # every operator has an integer kernel
FLOAT_PRODUCTS = {"Conv", "Gemm", "MatMul", "FusedConv", "FusedGemm", "FusedMatMul"}


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
@pytest.mark.parametrize("target", ["onnxruntime", "tensorrt"])
@pytest.mark.parametrize("opset", [21, 13])
@pytest.mark.parametrize("name", networks.NETWORKS)
def test_every_code(name: str, opset: int, target: str, recipe: Recipe) -> None:
    """At most one code apart anywhere, and none apart from the kernels where all of it is integers."""
    chain = Chain.of(networks.NETWORKS[name](opset), recipe, target)
    program = chain.program.codes(chain.feeds, chain.coded)
    optimised, simulated = chain.codes(optimise=True), chain.codes(optimise=False)
    for values in (optimised, simulated):
        assert {n: far for n in chain.coded if (far := apart(program[n], values[n]).max(initial=0)) > 1} == {}
        assert sum(np.count_nonzero(program[n] != values[n]) for n in chain.coded) <= sum(program[n].size for n in chain.coded) / 1000
    if name in CONVOLUTIONAL and target == "onnxruntime":
        assert not chain.program.in_float
        assert_same(program, optimised, chain.coded)
    if name in CONVOLUTIONAL and recipe is POWERS:
        assert_same(program, simulated, chain.coded)


@pytest.mark.parametrize("name", networks.NETWORKS)
def test_results(name: str) -> None:
    """Real numbers behind the last codes, as the file makes them without anything watched."""
    chain = Chain.of(networks.NETWORKS[name]())
    program, optimised = chain.program.run(chain.feeds), chain.results()
    for output in chain.program.outputs:
        np.testing.assert_allclose(program[output], optimised[output], rtol=0, atol=MARGIN)


@pytest.mark.parametrize("name", [*CONVOLUTIONAL, "mlp", "swish"])
def test_no_product_stays_float_in_onnxruntime(name: str, tmp_path: Path) -> None:
    kernels = Chain.of(networks.NETWORKS[name]()).kernels(tmp_path / "optimised.onnx")
    assert not FLOAT_PRODUCTS & set(kernels)
    assert {"QLinearConv", "QGemm", "MatMulIntegerToFloat"} & set(kernels)
