"""Accumulators: what is proven is attained by some codes, what is seen stays within it, and pairs that saturate are told."""

from dataclasses import replace

import networks
import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from quantizing import Chain

import bitsmith as bs
from bitsmith.analysis.accumulators import Accumulators, accumulators, tell_of_pairs
from bitsmith.errors import DataError, LoweringError
from bitsmith.integer.products import Convolve, MatrixMultiply
from bitsmith.planning import recipes
from bitsmith.planning.recipe import Rule

SEVEN = recipes.int8().with_rules(Rule(weights=7))


def found_of(chain: Chain, *, data: bool = True) -> Accumulators:
    return accumulators(chain.network, chain.plan, chain.feeds if data else None)


@pytest.mark.parametrize("name", ["conv_bn_relu", "depthwise", "attention", "transposed", "mlp"])
def test_what_is_seen_is_within_what_is_proven(name: str) -> None:
    found = found_of(Chain.of(networks.NETWORKS[name]()))
    assert found.layers
    assert not found.left_out
    assert found.samples == 16
    for layer in found.layers:
        assert layer.seen is not None
        assert (layer.proven.lowest <= layer.seen.lowest).all()
        assert (layer.seen.highest <= layer.proven.highest).all()
        assert layer.sums.seen_bits <= layer.sums.bits
        assert all(layer.sums.seen_beyond[width] <= layer.sums.beyond[width] for width in (16, 24, 32))


@settings(deadline=None, max_examples=10)
@given(st.integers(0, 2**32 - 1))
def test_the_worst_case_is_attained_and_random_codes_stay_within_it(seed: int) -> None:
    """Every channel of a product, on the codes that its own signs ask for."""
    random = np.random.default_rng(seed)
    program = Chain.of(networks.mlp()).program
    product = next(i for i in program.instructions if isinstance(i, MatrixMultiply))
    plain, bounds = replace(product, requantize=None), product.bounds(0)
    low, high = product.source.low, product.source.high
    up = np.where(product.weights.T >= 0, high, low).astype(product.source.storage)
    down = np.where(product.weights.T >= 0, low, high).astype(product.source.storage)
    assert np.diagonal(plain.run(up)).tolist() == bounds.highest.tolist()
    assert np.diagonal(plain.run(down)).tolist() == bounds.lowest.tolist()
    sums = plain.run(random.integers(low, high + 1, (20, len(product.weights))).astype(product.source.storage))
    assert ((bounds.lowest <= sums) & (sums <= bounds.highest)).all()


def test_watching_changes_nothing() -> None:
    chain = Chain.of(networks.conv_bn_relu())
    before = chain.program.run(chain.feeds)
    found_of(chain)
    np.testing.assert_array_equal(next(iter(chain.program.run(chain.feeds).values())), next(iter(before.values())))


def test_seen_are_the_extremes_of_the_accumulators() -> None:
    chain = Chain.of(networks.conv_bn_relu())
    convolve = next(i for i in chain.program.instructions if isinstance(i, Convolve))
    sums = replace(convolve, requantize=None).run(chain.program.codes(chain.feeds, convolve.inputs)[convolve.inputs[0]])
    seen = found_of(chain).layers[0].seen
    assert seen is not None
    assert seen.lowest.tolist() == sums.min((0, 2, 3)).tolist()
    assert seen.highest.tolist() == sums.max((0, 2, 3)).tolist()


def heavy() -> onnx.ModelProto:
    """Two neighbouring weights of the largest magnitude and the same sign, in the first of two channels."""
    b = networks.Builder(21, seed=0)
    weights = np.full((16, 2), 0.01, np.float32)
    weights[:2, 0] = weights[0, 1] = 1.0
    b.node("MatMul", ["input", b.constant("weight", weights)], "product_out")
    return b.model({"input": ("batch", 16)}, {"product_out": ("batch", 2)})


def test_pairs_are_told_where_they_can_saturate_and_not_where_weights_have_seven_bits() -> None:
    chain = Chain.of(heavy())
    (layer,) = found_of(chain).layers
    assert (layer.sums.pairs, layer.sums.pairs_in_any_order) == (1, 1)
    told = tell_of_pairs(chain.network, chain.plan)
    assert told.made_with["saturates"].startswith("1 of 1 layers")
    assert told.reasons["weight"].endswith("1 of 2 channels could saturate on x86 without VNNI")
    assert told.encodings is chain.plan.encodings
    seven = Chain.of(heavy(), SEVEN)
    assert not found_of(seven).saturating
    assert tell_of_pairs(seven.network, seven.plan) is seven.plan


def test_pairs_that_saturate_are_counted_on_data() -> None:
    chain = Chain.of(heavy())
    samples = np.full((3, 16), chain.feeds["input"].max(), np.float32)
    samples[2] = 0
    (layer,) = accumulators(chain.network, chain.plan, samples).layers
    assert layer.sums.saturated == 2
    assert (layer.sums.seen_bits or 0) > 16


def test_only_targets_that_may_saturate_say_so() -> None:
    data = Chain.of(heavy()).feeds["input"]
    recipe = recipes.int8().with_everything().with_refinements()
    network = bs.load(heavy())
    said = {target: "saturates" in bs.quantize(network, data, recipe=recipe, target=target).plan.made_with
            for target in ("onnxruntime", "onnx", "c")}
    assert said == {"onnxruntime": True, "onnx": True, "c": False}


def test_layers_in_float_are_named_with_the_reason() -> None:
    recipe = recipes.int8().with_rules(Rule(match="/conv2_out", weights="float", activations="float"))
    found = found_of(Chain.of(networks.conv_bn_relu(), recipe), data=False)
    assert list(found.left_out) == ["/conv2_out"]
    assert found.left_out["/conv2_out"]


def test_ranges_found_at_run_time_have_no_accumulators() -> None:
    chain = Chain.of(networks.mlp(), recipes.dynamic_int8())
    with pytest.raises(LoweringError, match="run time"):
        found_of(chain)
    assert tell_of_pairs(chain.network, chain.plan) is chain.plan


def test_empty_data_are_an_error() -> None:
    chain = Chain.of(networks.mlp())
    with pytest.raises(DataError, match="empty"):
        accumulators(chain.network, chain.plan, iter(()))


def test_a_dictionary_says_it_all() -> None:
    found = found_of(Chain.of(networks.conv_bn_relu()))
    told = found.to_dict()
    assert told["samples"] == 16
    first = told["layers"][0]
    assert first["bits"] == max(first["by_channel"]["bits"])
    assert len(first["by_channel"]["seen_lowest"]) == first["channels"]
