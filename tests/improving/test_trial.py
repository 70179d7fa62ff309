"""Many scales tried on one network: what is run behind a change gives the very numbers of a run from the inputs."""

from collections.abc import Callable

import numpy as np
import onnx
import pytest

import bitsmith as bs
from bitsmith.improving import trial as trials
from bitsmith.improving.draft import Draft
from bitsmith.improving.frontier import MOST_KEPT
from bitsmith.improving.loss import OutputLoss, read_samples
from bitsmith.improving.scale_groups import find_groups
from bitsmith.improving.trial import Trial, nodes_behind, read_by
from bitsmith.targets import target_named
from tests import networks

NETWORKS = [networks.conv_bn_relu, networks.depthwise, networks.attention, networks.swish, networks.two_in_two_out]


def draft_of(model: onnx.ModelProto) -> Draft:
    network = bs.load(model)
    recipe = bs.Recipe("narrow", (bs.Rule(weights=4, activations=4),), everything=True)
    data = bs.open_data(networks.feeds(model, 256), network)
    statistics = bs.calibrate(network, data)
    plan = bs.make_plan(network, statistics, recipe=recipe, target="onnx")
    return Draft(network, network, statistics, plan, data, recipe, target_named("onnx"))


def trial_of(draft: Draft) -> Trial:
    network = draft.simulated()
    return Trial(draft, network, find_groups(draft, network), OutputLoss(draft.reference, *read_samples(draft.samples("test"))), None)


@pytest.mark.parametrize("build", NETWORKS)
@pytest.mark.parametrize("most", [MOST_KEPT, 2**16, 0])
def test_what_lies_behind_a_change_gives_the_numbers_of_a_whole_run(
    build: Callable[[], onnx.ModelProto], most: int, monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Along lines through all groups twice, some steps kept and some not, and once along a line that changes all of them."""
    monkeypatch.setattr(trials, "MOST_KEPT", most)
    draft = draft_of(build())
    trial, whole = trial_of(draft), trial_of(draft)
    count, cuts = len(trial.groups), set()
    here = np.zeros(count)
    for turn, direction in enumerate([*np.eye(count), np.ones(count), *np.eye(count)]):
        trial.about(here, direction)
        cuts.add(trial.cut)
        for step in (-0.1, 0.07):
            assert trial.decide(here + step * direction) == whole.decide(here + step * direction)
        if turn % 3:
            here = here + 0.07 * direction
    assert trial.confirm(here) == whole.confirm(here)
    assert whole.cut == 0
    assert cuts == {MOST_KEPT: set(range(count)), 0: {0}}.get(most, cuts)


def test_a_place_elsewhere_is_run_from_the_inputs() -> None:
    draft = draft_of(networks.conv_bn_relu())
    trial, whole = trial_of(draft), trial_of(draft)
    last = np.eye(len(trial.groups))[-1]
    trial.about(np.zeros(len(last)), last)
    assert trial.cut == len(last) - 1
    for place in (last, -last, np.ones(len(last))):
        assert trial.decide(place) == whole.decide(place)
    moved = np.full(len(last), 0.2)
    trial.about(moved, last)
    assert trial.decide(moved + last) == whole.decide(moved + last)


@pytest.mark.parametrize("build", NETWORKS)
def test_groups_are_sorted_by_what_reads_them_and_less_and_less_lies_behind(build: Callable[[], onnx.ModelProto]) -> None:
    trial = trial_of(draft_of(build()))
    graph, behind = trial.network.graph, nodes_behind(trial.network.graph, trial.groups)
    for group, nodes, later in zip(trial.groups, behind, [*behind[1:], set()], strict=True):
        readers = {node for node in graph if {v.name for v in node.inputs if v is not None} & set(group.held)}
        assert readers <= nodes
        assert nodes >= later
        assert all(use.node in nodes for node in nodes for v in node.outputs for use in v.uses())
        held = {name for one in trial.groups for name in one.held}
        made = {v.name for node in graph if node not in nodes for v in node.outputs} | {v.name for v in graph.inputs}
        assert set(read_by(graph, nodes)) <= made | held
