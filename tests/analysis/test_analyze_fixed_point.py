"""Types proposed for the tensors of a network hold what they are said to hold."""

import networks
import numpy as np
import onnx_ir as ir
import pytest

import bitsmith as bs
from bitsmith.analysis.fit import Fit
from bitsmith.analysis.fixed_point import analyze_fixed_point, compare_fraction_lengths
from bitsmith.analysis.tensors import parameters
from bitsmith.errors import RecipeError, StatisticsError
from bitsmith.numerics.fixed_point_type import FixedPointType, fixed_point
from bitsmith.numerics.formats import Array


@pytest.fixture(scope="module")
def network() -> ir.Model:
    return bs.load(networks.conv_bn_relu())


@pytest.fixture(scope="module")
def statistics(network: ir.Model) -> bs.Collection:
    return bs.calibrate(network, networks.feeds(networks.conv_bn_relu(), 32))


def mixed_network(values: Array) -> ir.Model:
    """x + these values."""
    b = networks.Builder(21, 0)
    b.node("Add", ["input", b.constant("offsets", values[None])], "output")
    return bs.load(b.model({"input": ("batch", len(values))}, {"output": ("batch", len(values))}))


def type_of(fit: Fit) -> FixedPointType:
    assert isinstance(fit.type, FixedPointType)
    return fit.type


def test_every_parameter_is_measured_exactly(network: ir.Model) -> None:
    found = analyze_fixed_point(network)
    arrays = dict(parameters(network.graph))
    assert [p.name for p in found.proposals] == list(arrays)
    assert arrays
    for name, array in arrays.items():
        proposal, expected = found[name], fixed_point(array, signed=bool(array.min() < 0))
        assert proposal.kind == "parameter"
        assert proposal.type == expected.type
        assert proposal.fit.maximum_error == expected.maximum_error
        assert proposal.fit.rms_error == pytest.approx(expected.rms_error)
        assert (proposal.numbers, proposal.minimum, proposal.maximum) == (array.size, array.min(), array.max())


def test_every_activation_is_there_and_nothing_saturates(network: ir.Model, statistics: bs.Collection) -> None:
    found = analyze_fixed_point(network, statistics)
    activations = {p.name: p for p in found.proposals if p.kind == "activation"}
    assert set(activations) == set(statistics)
    for name, proposal in activations.items():
        assert proposal.fit.beyond_range == 0
        assert proposal.type.signed == (statistics[name].minimum < 0)
        assert proposal.type.minimum - proposal.type.step / 2 <= proposal.minimum
        assert proposal.maximum <= proposal.type.maximum + proposal.type.step / 2
    assert any(not p.type.signed for p in activations.values()), "values behind a Relu need no sign"


def test_more_bits_are_never_worse_and_types_are_compared(network: ir.Model, statistics: bs.Collection) -> None:
    for proposal in analyze_fixed_point(network, statistics).proposals:
        assert list(proposal.compared) == ["int4", "int8", "int16", "half", "bfloat16"]
        errors = [proposal.compared[f"int{bits}"].rms_error for bits in (4, 8, 16)]
        assert errors == sorted(errors, reverse=True)
        assert proposal.compared["int8"] == proposal.fit
        assert proposal.compared["half"].rms_error <= proposal.compared["bfloat16"].rms_error


@pytest.mark.parametrize("scaling", ["largest", "least_error"])
def test_the_shortest_word_within_a_tolerance(network: ir.Model, statistics: bs.Collection, scaling: str) -> None:
    tolerance = 0.01
    found = analyze_fixed_point(network, statistics, tolerance=tolerance, scaling=scaling)  # type: ignore[arg-type]
    assert not found.intolerable
    assert len({p.type.word_length for p in found.proposals}) > 1
    by_length = {n: analyze_fixed_point(network, statistics, word_length=n, scaling=scaling) for n in range(2, 12)}  # type: ignore[arg-type]
    for proposal in found.proposals:
        enough = [n for n, tried in by_length.items() if tried[proposal.name].fit.relative_error <= tolerance]
        assert proposal.type.word_length == min(enough)


def test_a_tolerance_that_no_word_keeps_is_told() -> None:
    network = mixed_network(np.array([0.001, 0.7, 1.0]))
    found = analyze_fixed_point(network, tolerance=1e-12)
    assert found.intolerable == ("offsets",)
    assert found["offsets"].type.word_length == 32
    assert found.to_dict()["intolerable"] == ["offsets"]


def test_least_error_takes_part_of_the_range_for_precision() -> None:
    network = mixed_network(np.append(np.linspace(-1, 1, 100_000), 3.9))
    kept, lost = analyze_fixed_point(network)["offsets"], analyze_fixed_point(network, scaling="least_error")["offsets"]
    assert (kept.type.fraction_length, lost.type.fraction_length) == (5, 6)
    assert lost.fit.rms_error < kept.fit.rms_error
    assert lost.fit.beyond_range > 0 == kept.fit.beyond_range


def test_the_trade_off_between_precision_and_range() -> None:
    values = np.random.default_rng(3).laplace(0, 0.01, 10_000).astype(np.float32)
    found = compare_fraction_lengths(mixed_network(values), "offsets")
    lengths = [type_of(fit).fraction_length for fit in found.fits]
    assert lengths == list(range(lengths[0], lengths[-1] + 1))
    assert {found.largest, found.least_error} < set(lengths)
    for fit in found.fits:
        expected = fixed_point(values, 8, type_of(fit).fraction_length)
        assert (fit.below_precision, fit.beyond_range) == (expected.below_precision, expected.beyond_range)
    below, beyond = [f.below_precision for f in found.fits], [f.beyond_range for f in found.fits]
    assert below == sorted(below, reverse=True)
    assert beyond == sorted(beyond)
    assert below[0] > below[-1]
    assert beyond[-1] > beyond[0] == 0
    assert [row["fraction_length"] for row in found.to_dict()["fraction_lengths"]] == lengths


def test_the_trade_off_of_an_activation(network: ir.Model, statistics: bs.Collection) -> None:
    name = list(statistics)[-1]
    found = compare_fraction_lengths(network, name, statistics, word_length=6)
    assert all(type_of(fit).word_length == 6 for fit in found.fits)
    assert {type_of(f).fraction_length: f.beyond_range for f in found.fits}[found.largest] == 0


def test_settings_of_operators_are_no_parameters() -> None:
    names = [name for name, _ in parameters(bs.load(networks.depthwise()).graph)]
    assert "dw.weight" in names
    assert not [name for name in names if "min" in name or "max" in name]
    assert "scales" not in [name for name, _ in parameters(bs.load(networks.rearranged()).graph)]


def test_infinite_masks_and_empty_constants_do_no_harm() -> None:
    found = analyze_fixed_point(mixed_network(np.array([-np.inf, 0.0, 1.5])))
    assert (found["offsets"].numbers, found["offsets"].maximum) == (2, 1.5)
    assert not analyze_fixed_point(mixed_network(np.array([-np.inf, -np.inf]))).proposals


def test_mistakes_are_named(network: ir.Model, statistics: bs.Collection) -> None:
    with pytest.raises(RecipeError, match="called 'nothing'"):
        compare_fraction_lengths(network, "nothing")
    with pytest.raises(RecipeError, match="called 'nothing'"):
        analyze_fixed_point(network)["nothing"]
    with pytest.raises(RecipeError, match=r"not 1\.5"):
        analyze_fixed_point(network, tolerance=1.5)
    with pytest.raises(RecipeError, match="'most'"):
        analyze_fixed_point(network, scaling="most")  # type: ignore[arg-type]
    with pytest.raises(RecipeError, match="2 to 32 bits, not 40"):
        analyze_fixed_point(network, word_length=40)
    with pytest.raises(StatisticsError, match="another network"):
        analyze_fixed_point(bs.load(networks.mlp()), statistics)


def test_json_has_every_figure(network: ir.Model) -> None:
    said = {"name", "signed", "word_length", "fraction_length", "below_precision", "beyond_range", "rms_error", "maximum_error", "snr_db"}
    for row in analyze_fixed_point(network).to_dict()["tensors"]:
        assert said <= set(row)
        assert set(row["compared"]) == {"int4", "int8", "int16", "half", "bfloat16"}
