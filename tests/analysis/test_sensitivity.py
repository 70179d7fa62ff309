"""One layer narrowed at a time: the cut network against the whole one, layers that matter and that do not, and what is kept in a file."""

from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import networks
import numpy as np
import onnx
import onnx_ir as ir
import pytest

import bitsmith as bs
from bitsmith.analysis import sensitivity as room
from bitsmith.analysis.sensitivity_cut import Cut
from bitsmith.analysis.sensitivity_file import Sensitivity, load_sensitivity
from bitsmith.analysis.sensitivity_layers import Choices
from bitsmith.errors import BitsmithError, DataError, RecipeError
from bitsmith.planning.plan import Plan
from bitsmith.planning.recipe import Rule
from bitsmith.running.session import Session
from bitsmith.targets import target_named
from bitsmith.targets.onnx.insert import insert_quantization

EVERYTHING = bs.recipes.int8().with_everything()
QUICK = bs.SensitivitySettings((8, 3), recipe=EVERYTHING, samples=32)


def three_layers() -> onnx.ModelProto:
    """`heard` decides the output; `whispering` is a millionth of it; `dead` is multiplied by 0."""
    b = networks.Builder(21, seed=5)
    x = b.relu(b.conv("input", "first", (8, 3, 3, 3), {"pads": [1] * 4}))
    branches = []
    for name, factor in (("heard", 1.0), ("whispering", 1e-3), ("dead", 0.0)):
        y = b.conv(x, name, (8, 8, 3, 3), {"pads": [1] * 4})
        branches.append(b.node("Mul", [y, b.constant(f"{name}_factor", factor)], f"{name}_scaled"))
    total = b.node("Add", [b.node("Add", branches[:2], "two"), branches[2]], "three")
    pooled = b.node("GlobalAveragePool", [total], "pooled")
    b.linear(b.node("Flatten", [pooled], "flat"), "last", 8, 5)
    return b.model({"input": ("batch", 3, 8, 8)}, {"last_out": ("batch", 5)})


def images(count: int = 48, seed: int = 2) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 1, (count, 3, 8, 8)).astype(np.float32)


def choices_of(model: onnx.ModelProto, samples: int = 8) -> tuple[ir.Model, Choices, dict[str, Any]]:
    network, feeds = bs.load(model), networks.feeds(model, samples)
    statistics = bs.calibrate(network, feeds)
    return network, Choices(network.graph, statistics, EVERYTHING, target_named("onnx").accepts), feeds


@pytest.mark.parametrize("build", networks.NETWORKS.values(), ids=networks.NETWORKS)
def test_the_cut_network_computes_what_the_whole_one_does(build: Any) -> None:
    """Against Q/DQ at the layer's values alone, in a network that runs as a whole."""
    network, choices, feeds = choices_of(build())
    assert choices.layers
    found = {role: choices.encodings(role, 3) for role in ("weights", "activations")}
    plain = Session(network).run(feeds)
    for layer in choices.layers:
        cut = Cut(network, layer)
        arrived = cut.arrive(feeds)
        assert_near(cut.run(arrived, {}), plain)
        for role in found:
            setting = {name: found[role][name] for name in layer.names(role)}
            if setting:
                whole = Session(insert_quantization(network, Plan(setting), moves_codes=False), optimise=False)
                assert_near(cut.run(arrived, setting), whole.run(feeds))


def assert_near(found: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    """But for the last digits of float sums, which may in turn change single codes."""
    for name, array in expected.items():
        close = np.isclose(found[name], array, rtol=1e-3, atol=1e-3 * max(1e-9, float(np.abs(array).max())))
        assert close.mean() > 0.98, name


@pytest.mark.parametrize("batch", [1, 4, 5])
def test_networks_for_a_fixed_number_of_samples(batch: int) -> None:
    network = bs.load(networks.conv_bn_relu(batch=batch))
    free = networks.conv_bn_relu()
    feeds = networks.feeds(free, 20)
    fixed, loose = (bs.sensitivity(n, feeds, settings=QUICK) for n in (network, bs.load(free)))
    noises = [[e.noise for e in found.effects] for found in (fixed, loose)]
    np.testing.assert_allclose(*noises, rtol=0.3)


@pytest.mark.parametrize("fast", [False, True])
def test_a_layer_that_does_not_matter(fast: bool) -> None:
    found = bs.sensitivity(three_layers(), images(), settings=replace(QUICK, fast=fast))
    noise = {name: found.effect(f"/{name}_out", "weights", 3).noise for name in ("heard", "whispering", "dead")}
    assert noise["dead"] < 1e-12
    assert 1e-12 < noise["whispering"] < 1e-4 * noise["heard"]
    assert found.effect("/heard_out", "weights", 8).noise < 0.1 * noise["heard"]
    both, alone = (found.effect("/heard_out", role, 3).noise for role in ("both", "activations"))
    assert both > 0.5 * max(alone, noise["heard"])


def test_the_estimate_ranks_as_the_measurement_does() -> None:
    exact, fast = (bs.sensitivity(three_layers(), images(256), settings=replace(QUICK, widths=(8, 4, 3), fast=fast, samples=256))
                   for fast in (False, True))
    pairs = [(e.noise, fast.effect(e.layer, e.role, e.bits).noise) for e in exact.effects]
    ranks = np.argsort(np.argsort(np.asarray(pairs), axis=0, kind="stable"), axis=0, kind="stable")
    assert np.corrcoef(ranks.T)[0, 1] > 0.9
    assert fast.fast
    assert all(e.agreement is None for e in fast.effects)


def test_accuracy_with_labels() -> None:
    network = bs.load(three_layers())
    x = images()
    labels = Session(network).run({"input": x})["last_out"].argmax(1)
    found = bs.sensitivity(network, x, test=(x, labels), settings=QUICK)
    assert found.top1 == 1.0
    assert found.samples == 24                       # every second of 48, since 32 are allowed
    for effect in found.effects:
        assert effect.top1 == effect.agreement
    assert found.effect("/dead_out", "both", 3).top1 == 1.0
    assert found.rows()[0].drop == pytest.approx(1.0 - found.effects[0].top1)


class KilledError(Exception):
    """In the middle of the work."""


def test_a_killed_measurement_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, x = tmp_path / "net.sensitivity.json", images()
    whole = bs.sensitivity(three_layers(), x, settings=QUICK)

    @contextmanager
    def killing(title: str) -> Any:
        def advance(done: int, total: int | None) -> None:
            if title == "layers" and done > 6:
                raise KilledError

        yield advance

    with pytest.raises(KilledError):
        bs.sensitivity(three_layers(), x, settings=QUICK, path=path, progress=killing)
    kept = load_sensitivity(path)
    assert 0 < len(kept.effects) < len(whole.effects)
    cut = []
    monkeypatch.setattr(room, "Cut", lambda network, layer: cut.append(layer.name) or Cut(network, layer))
    again = bs.sensitivity(three_layers(), x, settings=QUICK, path=path)
    assert again.effects == whole.effects
    assert not {e.layer for e in kept.effects} & set(cut)
    assert load_sensitivity(path) == again


def test_a_file_of_another_measurement_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "net.sensitivity.json"
    bs.sensitivity(three_layers(), images(), settings=replace(QUICK, fast=True), path=path)
    with pytest.raises(BitsmithError, match="other samples"):
        bs.sensitivity(three_layers(), images(), test=images(seed=9), settings=replace(QUICK, fast=True), path=path)
    with pytest.raises(BitsmithError, match="fast"):
        bs.sensitivity(three_layers(), images(), settings=QUICK, path=path)
    path.write_text('{"effects": []}')
    with pytest.raises(BitsmithError, match="holds no sensitivities"):
        load_sensitivity(path)


def test_what_the_target_lacks_is_left_out_aloud() -> None:
    found = bs.sensitivity(three_layers(), images(), settings=replace(QUICK, widths=(8, 6, 4), target="tensorrt", fast=True))
    assert found.widths("weights") == [8, 4]
    assert found.widths("activations") == [8]
    assert any("6-bit weights" in said and "tensorrt" in said for said in found.left_out)


def test_what_the_recipe_keeps_in_float_stays_so() -> None:
    recipe = EVERYTHING.with_rules(Rule("/heard_out", weights="float", activations="float"))
    found = bs.sensitivity(three_layers(), images(), settings=replace(QUICK, recipe=recipe, fast=True))
    assert "/heard_out" not in {e.layer for e in found.effects}
    assert found.effect("/whispering_out", "weights", 3) is not None


def test_rules_speak_of_one_layer_even_under_odd_names() -> None:
    """A node called like an operator, one called like a pattern, and two of one name."""
    b = networks.Builder(21, seed=1)
    x = b.conv("input", "a", (4, 3, 1, 1))
    b.conv(b.conv(b.conv(x, "b", (4, 4, 1, 1)), "c", (4, 4, 1, 1)), "d", (4, 4, 1, 1))
    for node, name in zip(b.nodes, ("Conv", "x[1-9]*", "same", "same"), strict=True):
        node.name = name
    _, choices, _ = choices_of(b.model({"input": ("batch", 3, 4, 4)}, {"d_out": ("batch", 4, 4, 4)}))
    for layer in choices.layers:
        if layer.weights:
            asked = EVERYTHING.with_rules(*layer.rules("weights", 3))
            plan = bs.make_plan(bs.load(b.model({"input": ("batch", 3, 4, 4)}, {"d_out": ("batch", 4, 4, 4)})), choices.statistics,
                                recipe=asked, target="onnx")
            assert [n for n in ("a", "b", "c", "d") if plan.encodings[f"{n}.weight"].format.bits == 3] == [layer.weights[0][0]]


def test_mistakes_are_told() -> None:
    with pytest.raises(RecipeError, match="2 to 16"):
        bs.SensitivitySettings((1,))
    with pytest.raises(RecipeError, match="weights, activations, both"):
        bs.SensitivitySettings(roles=("biases",))
    network = bs.load(three_layers())
    with pytest.raises(DataError, match="only statistics"):
        bs.sensitivity(network, bs.calibrate(network, images()), settings=QUICK)
    with pytest.raises(DataError, match="calibration data"):
        bs.sensitivity(network, None, test=images(), settings=QUICK)
    with pytest.raises(DataError, match="read again"):
        bs.sensitivity(network, images(), test=iter([images(4)]), settings=QUICK)


def test_an_effect_without_noise() -> None:
    found = Sensitivity({"fast": False})
    assert found.effect("x", "weights", 8) is None
    assert not found.fast
