"""Which estimators a plan uses where the recipe says nothing, and where it does; the reasons name them."""

import networks
import numpy as np
import onnx_ir as ir
import pytest

import bitsmith as bs
from bitsmith.calibration.collection import Collection
from bitsmith.errors import RecipeError

SAMPLES = np.random.default_rng(0).standard_normal((20, 3, 8, 8)).astype(np.float32)


@pytest.fixture(scope="module")
def network() -> ir.Model:
    return bs.load(networks.conv_bn_relu())


@pytest.fixture(scope="module")
def statistics(network: ir.Model) -> Collection:
    return bs.calibrate(network, {"x": SAMPLES})


def plan_with(network: ir.Model, statistics: Collection, rule: bs.Rule) -> bs.Plan:
    return bs.make_plan(network, statistics, recipe=bs.Recipe("mine", (rule,)), target="onnx")


@pytest.mark.parametrize(("bits", "estimator"), [(16, "percentile:99.9999"), (8, "percentile:99.9999"), (7, "mse"), (4, "mse")])
def test_activations_by_their_width(network: ir.Model, statistics: Collection, bits: int, estimator: str) -> None:
    assert f": {estimator} range [" in plan_with(network, statistics, bs.Rule(activations=bits)).reasons["input"]


@pytest.mark.parametrize(("bits", "granularity", "estimator"), [
    (8, "tensor", "min_max"), (4, "tensor", "lp:3"), (4, "channel", "min_max"), (2, "channel", "lp:3"),
])
def test_weights_by_width_and_granularity(
    network: ir.Model, statistics: Collection, bits: int, granularity: str, estimator: str
) -> None:
    plan = plan_with(network, statistics, bs.Rule(weights=bits, granularity=granularity))
    assert plan.reasons["conv1.weight"].startswith(f"int{bits}: {estimator} of the weights, per {granularity}")


@pytest.mark.parametrize("estimator", ["mse", "lp:2.4", "aciq:laplace", "percentile:99"])
@pytest.mark.parametrize("granularity", ["tensor", "channel", "channels:4", "group:3"])
def test_a_recipe_names_the_estimator_of_weights(network: ir.Model, statistics: Collection, estimator: str, granularity: str) -> None:
    rule = bs.Rule(weights=3, weight_estimator=estimator, granularity=granularity)
    everything = bs.Rule(weights=3, weight_estimator="min_max", granularity=granularity)
    plan, plain = (plan_with(network, statistics, asked) for asked in (rule, everything))
    assert f"{estimator} of the weights" in plan.reasons["conv1.weight"]
    assert plan.encodings["conv1.weight"].scale.shape == plain.encodings["conv1.weight"].scale.shape
    assert (plan.encodings["conv1.weight"].scale <= plain.encodings["conv1.weight"].scale * (1 + 1e-6)).all()


def test_mse_of_weights_has_less_error_than_min_max(network: ir.Model, statistics: Collection) -> None:
    weight = network.graph.initializers["conv2.weight"].const_value.numpy()
    error = {}
    for estimator in ("min_max", "mse"):
        rule = bs.Rule(weights=3, weight_estimator=estimator)
        error[estimator] = np.square(plan_with(network, statistics, rule).encodings["conv2.weight"].simulate(weight) - weight).sum()
    assert error["mse"] < error["min_max"]


def test_an_estimator_of_weights_that_does_not_exist() -> None:
    with pytest.raises(RecipeError, match="No range estimator is called 'best'"):
        bs.Rule(weight_estimator="best")
