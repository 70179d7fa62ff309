"""Layers, costs and widths of small networks, counted by hand."""

import networks
import numpy as np

import bitsmith as bs
from bitsmith.analysis.fingerprint import fingerprint


def test_macs_and_parameters_are_those_counted_by_hand() -> None:
    found = bs.inspect(bs.load(networks.mlp()))
    gemms = [layer for layer in found.layers if layer.operator == "Gemm"]
    weights = [bs.load(networks.mlp()).graph.initializers[layer.weights or ""].const_value for layer in gemms]
    sizes = [int(np.prod(w.shape.numpy())) for w in weights if w is not None]
    assert [layer.macs for layer in gemms] == sizes
    assert found.macs == sum(sizes)
    assert found.weight_bytes[8] == sum(sizes)
    assert found.weight_bytes[4] == -(-sum(sizes) // 2)
    assert found.weight_bytes[32] == 4 * sum(sizes)


def test_convolution_macs() -> None:
    found = bs.inspect(bs.load(networks.depthwise()))
    for layer in found.layers:
        if layer.operator == "Conv":
            assert layer.shape is not None
            assert layer.macs
            assert layer.low is not None


def test_what_stays_float_is_said() -> None:
    found = bs.inspect(bs.load(networks.attention()))
    assert {layer.integer for layer in found.layers if layer.operator == "Softmax"} == {"integer in C, else float"}


def test_fingerprint_is_that_of_structure_and_weights() -> None:
    one, same, other = (bs.load(networks.mlp(seed=seed)) for seed in (0, 0, 1))
    assert fingerprint(one) == fingerprint(same) != fingerprint(other)
