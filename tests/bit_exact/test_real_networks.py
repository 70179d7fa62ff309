"""Real networks in all three engines; they lie in ../shared/real, where they do."""

import sys
from pathlib import Path

import numpy as np
import pytest
from quantizing import Chain, apart, assert_same

from bitsmith.loading.from_onnx import load
from bitsmith.planning import recipes
from bitsmith.rewrites.simplify import simplify

SAMPLES = {"resnet20": 200, "tiny_resnet8": 200, "tiny_dscnn": 200, "lenet5": 200, "lenet300": 200, "mobilenet_v1_025_224": 32,
           "ultraface_slim320": 16}
FLOAT_KERNELS = {"Conv", "Gemm", "MatMul", "FusedConv", "FusedGemm", "FusedMatMul"}


@pytest.mark.parametrize("name", SAMPLES)
def test_real_network(name: str, real_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No code differs from the integer kernels, no product stays float there, and the simulation says the same but for roundings."""
    monkeypatch.setattr(sys, "path", [*sys.path, str(real_folder)])
    import real

    network = load(real.model(name))
    simplify(network)
    feeds = {"input": real.inputs(name, limit=SAMPLES[name])[0]}
    chain = Chain(network, feeds, recipes.int8().with_everything())
    program, optimised, simulated = (chain.program.codes(feeds, chain.coded), chain.codes(optimise=True), chain.codes(optimise=False))
    assert_same(program, optimised, chain.coded)
    assert all(kind == "Softmax" for kind in (node.op_type for node in network.graph if node.name in chain.program.in_float))
    assert not FLOAT_KERNELS & set(chain.kernels(tmp_path / "optimised.onnx"))
    first, *_ = found = [np.count_nonzero(apart(program[n], simulated[n])) / program[n].size for n in chain.coded]
    assert first == 0
    assert sum(found[:4]) < 1e-3        # later values carry on what differs
    run, judged = chain.program.run(feeds), chain.results(optimise=False)
    for output in run:
        assert np.mean(run[output].argmax(-1) == judged[output].argmax(-1)) > 0.9


@pytest.mark.parametrize("name", SAMPLES)
def test_real_network_with_layers_in_float(name: str, real_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the target advises: what runs in float is computed as onnxruntime computes it there, so that the same codes follow."""
    monkeypatch.setattr(sys, "path", [*sys.path, str(real_folder)])
    import real

    network = load(real.model(name))
    simplify(network)
    chain = Chain(network, {"input": real.inputs(name, limit=16)[0]}, recipes.int8())
    assert chain.plan.in_float or name == "lenet300"
    found, expected = chain.program.run(chain.feeds), chain.results()
    for output in expected:
        np.testing.assert_allclose(found[output], expected[output], rtol=0, atol=1e-6)
