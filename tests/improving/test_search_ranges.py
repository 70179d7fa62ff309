"""All scales searched together: never worse where it says so, biases in step with the scales, the method on plain functions."""

import networks
import numpy as np
import onnx_ir as ir
import pytest

import bitsmith as bs
from bitsmith.improving.draft import Draft
from bitsmith.improving.loss import OutputLoss, Run, cross_entropies, read_samples
from bitsmith.improving.round_weights import round_weights
from bitsmith.improving.scale_groups import Group, find_activations, find_groups, find_weights, scale_plan
from bitsmith.improving.search_ranges import powell, search_ranges
from bitsmith.improving.trial import Trial
from bitsmith.numerics.formats import Array
from bitsmith.running.session import Session
from bitsmith.targets import target_named

SAMPLES = np.random.default_rng(3).standard_normal((128, 3, 8, 8)).astype(np.float32)
SAMPLES[5] *= 6         # an outlier, so that there is something to find


@pytest.fixture(scope="module")
def network() -> ir.Model:
    return bs.load(networks.conv_bn_relu())


def draft_of(network: ir.Model, labels: Array | None, weights: int = 8) -> Draft:
    recipe = bs.Recipe("narrow", (bs.Rule(weights=weights, activations=4, estimator="min_max"),))
    data = bs.open_data({"x": SAMPLES} if labels is None else {"x": SAMPLES, "y": labels}, network)
    statistics = bs.calibrate(network, data)
    plan = bs.make_plan(network, statistics, recipe=recipe, target="onnx")
    return Draft(network, network, statistics, plan, data, recipe, target_named("onnx"))


@pytest.mark.parametrize("labelled", [False, True])
def test_other_samples_confirm_that_the_loss_is_lower(network: ir.Model, labelled: bool) -> None:
    draft = draft_of(network, np.arange(128) % 5 if labelled else None)
    found = search_ranges(draft)
    measured = OutputLoss(network, *read_samples(draft.samples("test")))
    before, after = (measured.confirm(runner(d)) for d in (draft, found))
    changed = found.plan.encodings != draft.plan.encodings
    assert after < before if changed else "in vain" in str(found.plan.reasons)
    if not labelled:
        assert changed
        assert measured.measure in found.plan.reasons["input"]


def runner(draft: Draft) -> Run:
    session, (samples, _) = Session(draft.simulated(), optimise=False), read_samples(draft.samples("test"))
    return lambda number: list(session.run(samples[number]).values())


@pytest.mark.parametrize("weights", [8, 3])
def test_what_was_tried_is_what_is_planned(network: ir.Model, weights: int) -> None:
    """The loss with scales, weights and biases as inputs is that of the finished plan."""
    draft = draft_of(network, None, weights)
    simulated = draft.simulated()
    groups = find_groups(draft, simulated)
    assert {group.weights is None for group in groups} == {True, False}
    loss = OutputLoss(network, *read_samples(draft.samples("test")))
    trial = Trial(draft, simulated, groups, loss, None)
    factors = np.linspace(-0.3, 0.1, len(groups))
    planned = Draft(network, network, draft.statistics, scale_plan(draft, groups, factors), draft.data, draft.recipe, draft.target)
    assert trial.decide(factors) == pytest.approx(loss.decide(runner(planned)), rel=1e-6)
    assert trial.decide(np.zeros(len(groups))) == pytest.approx(loss.decide(runner(draft)), rel=1e-6)


def test_values_that_share_an_encoding_still_do_and_biases_follow(network: ir.Model) -> None:
    draft = draft_of(network, None)
    found = search_ranges(draft)
    for group in find_activations(draft.plan, draft.simulated()):
        assert len({float(found.plan.encodings[name].scale) for name in group.values}) == 1
    assert set(found.plan.encodings) == set(draft.plan.encodings)
    bs.verify(found.simulated(), {"x": SAMPLES[:8]})


def test_weights_of_few_bits_are_searched_and_lose_less(network: ir.Model) -> None:
    draft = draft_of(network, None, weights=2)
    found = search_ranges(draft)
    scaled = [g.values[0] for g in find_weights(draft, draft.simulated()) if found.plan.encodings[g.values[0]] != g.encoding]
    assert scaled
    for name in scaled:
        before, after = draft.plan.encodings[name], found.plan.encodings[name]
        factors = after.scale / before.scale
        assert factors == pytest.approx(np.full_like(factors, factors.flat[0]))
        assert "searched" in found.plan.reasons[name]
    measured = OutputLoss(network, *read_samples(draft.samples("test")))
    assert measured.confirm(runner(found)) < measured.confirm(runner(draft))


def test_a_network_for_one_number_of_samples_is_searched(network: ir.Model) -> None:
    fixed = network.clone()
    for value in (*fixed.graph.inputs, *fixed.graph.outputs):
        assert value.shape is not None
        value.shape = ir.Shape([48, *list(value.shape)[1:]])        # of 128 samples the last 32 fill no batch
    found = search_ranges(draft_of(fixed, None))
    assert "range searched" in found.plan.reasons["input"]


def test_large_weights_are_searched(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that onnxruntime reads where they lie."""
    monkeypatch.setattr("bitsmith.running.serialized.LARGE", 64)
    draft = draft_of(bs.load(networks.conv_bn_relu()), None, weights=2)
    assert any("searched" in draft_found for draft_found in search_ranges(draft).plan.reasons.values())


def test_weights_that_were_rounded_with_care_are_left(network: ir.Model) -> None:
    draft = round_weights(draft_of(network, None, weights=3))
    assert find_weights(draft, draft.simulated()) == []


def test_powell_finds_the_bottom_of_a_bowl() -> None:
    turn = np.array([[2.0, 0.8], [0.8, 1.0]])
    bottom = np.array([0.15, -0.1])
    found = powell(lambda x: float((x - bottom) @ turn @ (x - bottom)), np.zeros(2), list(np.eye(2)), lambda here, direction: None)
    assert found == pytest.approx(bottom, abs=0.03)


def test_cross_entropy_is_minus_the_logarithm_of_the_probability() -> None:
    logits, labels = np.array([[2.0, 0.0, -1.0], [0.0, 500.0, 0.0]], np.float32), np.array([0, 2])
    probabilities = np.exp(logits[0]) / np.exp(logits[0]).sum()
    assert cross_entropies(logits, labels) == pytest.approx([-np.log(probabilities[0]), 500.0])


def test_a_scale_grows_by_its_factor(network: ir.Model) -> None:
    encoding = draft_of(network, None).plan.encodings["input"]
    group = Group(("input",), encoding, ("input_scale",))
    assert float(group.scaled(np.log(3)).scale) == pytest.approx(3 * float(encoding.scale))
    assert group.scaled(0.0) == encoding


def test_scales_that_are_powers_of_two_are_searched_and_stay_such() -> None:
    """Twice too wide from the start, so that there is something to find."""
    samples, model = np.clip(SAMPLES, -4.1, 4.1), networks.conv_bn_relu()
    recipe = bs.Recipe("powers", (bs.Rule(weights=4, activations=4, power_of_two=True, estimator="min_max"),), everything=True)
    plain, found = (bs.quantize(model, {"x": samples}, recipe=recipe.with_refinements(*names)).plan for names in ((), ("search_ranges",)))
    changed = [name for name, encoding in found.encodings.items() if encoding != plain.encodings[name]]
    assert changed
    assert all((np.frexp(encoding.scale)[0] == 0.5).all() for encoding in found.encodings.values())
    assert "range searched" in found.reasons["input"]
