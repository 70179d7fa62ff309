"""Counts per power of two equal a brute-force count with frexp over all numbers of all samples."""

from typing import Any

import networks
import numpy as np
import pytest

import bitsmith as bs
from bitsmith.analysis.significant_bits import SignificantBits, bits_of_array, count_significant_bits
from bitsmith.analysis.tensors import parameters
from bitsmith.errors import StatisticsError
from bitsmith.numerics.formats import Array
from bitsmith.running.session import Session


def brute_force(name: str, kind: str, numbers: Array) -> SignificantBits:
    """One number after the other."""
    negative: dict[int, int] = {}
    positive: dict[int, int] = {}
    for number in numbers[numbers != 0].tolist():
        side, exponent = (negative if number < 0 else positive), int(np.frexp(number)[1])
        side[exponent] = side.get(exponent, 0) + 1
    exponents = tuple(sorted({*negative, *positive}))
    counts = [tuple(side.get(exponent, 0) for exponent in exponents) for side in (negative, positive)]
    return SignificantBits(name, kind, exponents, counts[0], counts[1], int((numbers == 0).sum()))


@pytest.mark.parametrize("build", [networks.conv_bn_relu, networks.tokens, networks.swish], ids=lambda b: b.__name__)
def test_counts_are_those_of_all_numbers_of_all_samples(build: Any) -> None:
    model = build()
    network, feeds = bs.load(model), networks.feeds(model, 9)
    statistics = bs.calibrate(network, feeds)
    found = {bits.name: bits for bits in count_significant_bits(network, statistics)}
    values = Session(network, list(statistics)).run(feeds)
    assert set(found) == {*dict(parameters(network.graph)), *values}
    for name, array in parameters(network.graph):
        assert found[name] == brute_force(name, "parameter", array)
    for name, array in values.items():
        assert found[name] == brute_force(name, "activation", array)
        assert found[name].count == array.size


def test_without_statistics_there_are_parameters_only() -> None:
    network = bs.load(networks.mlp())
    assert {bits.kind for bits in count_significant_bits(network)} == {"parameter"}


def test_zeros_and_the_smallest_numbers_of_float32() -> None:
    numbers = np.array([0.0, -0.0, 1e-45, -1.5, 2.0, np.inf], np.float32)
    assert bits_of_array("x", numbers) == SignificantBits("x", "parameter", (-148, 1, 2), (0, 1, 0), (1, 0, 1), 2)
    assert bits_of_array("x", np.zeros(3, np.float32)) == SignificantBits("x", "parameter", (), (), (), 3)


def test_statistics_of_another_network_are_refused() -> None:
    model = networks.mlp()
    statistics = bs.calibrate(bs.load(model), networks.feeds(model))
    with pytest.raises(StatisticsError, match="another network"):
        count_significant_bits(bs.load(networks.swish()), statistics)


def test_rows_are_plain_data() -> None:
    row = count_significant_bits(bs.load(networks.mlp()))[0].to_dict()
    assert list(row) == ["name", "kind", "exponents", "negative", "positive", "zeros"]
    assert all(isinstance(n, int) for n in row["negative"])
