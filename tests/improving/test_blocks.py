"""Blocks lie between values through which everything passes, and together they compute the network."""

from itertools import pairwise

import numpy as np

import bitsmith as bs
from bitsmith.graph import constant
from bitsmith.improving.blocks import find_blocks
from bitsmith.running.session import Session
from bitsmith.training.differentiable import run_nodes
from tests import networks


def test_a_residual_block_is_one_piece() -> None:
    network = bs.load(networks.conv_bn_relu())
    blocks = list(find_blocks(network.graph, {"conv1.weight", "conv2.weight", "fc.weight"}))
    assert len(blocks) == 3
    assert blocks[0].source == "input"
    assert all(block.source == before.result for before, block in pairwise(blocks))
    read = [{v.name for node in block.nodes for v in node.inputs if v is not None} for block in blocks]
    assert [name for names in read for name in sorted(names) if name.endswith(".weight")] == ["conv1.weight", "conv2.weight", "fc.weight"]
    assert "Add" in [node.op_type for node in blocks[1].nodes]


def test_blocks_one_after_the_other_compute_the_network() -> None:
    import torch

    for model in (networks.conv_bn_relu(), networks.mlp(), networks.depthwise()):
        network = bs.load(model)
        weights = {name for name, v in network.graph.initializers.items() if (a := constant(v)) is not None and a.ndim > 1}
        feeds = networks.feeds(model)
        (value,) = feeds.values()
        made = torch.from_numpy(value)
        blocks = list(find_blocks(network.graph, weights))
        for block in blocks:
            made = run_nodes(block.nodes, {block.source: made})[block.result]
        wanted = Session(network, [blocks[-1].result]).run(feeds)[blocks[-1].result]
        np.testing.assert_allclose(made.numpy(), wanted, rtol=1e-4, atol=1e-5)


def test_two_streams_from_the_beginning_make_no_first_block() -> None:
    network = bs.load(networks.two_in_two_out())
    weights = {name for name, v in network.graph.initializers.items() if (a := constant(v)) is not None and a.ndim > 1}
    assert all(block.source not in ("", None) for block in find_blocks(network.graph, weights))
    assert not any(v.name == block.source for block in find_blocks(network.graph, weights) for v in network.graph.inputs)
