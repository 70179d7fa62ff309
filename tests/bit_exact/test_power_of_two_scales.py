"""With power-of-two scales float32 sums of products are exact: simulation, integer programs and onnxruntime agree in every code."""

import networks
import pytest
from quantizing import POWERS, Chain, assert_same

from bitsmith.analysis.engines import Subject
from bitsmith.integer.instructions import SHIFT
from bitsmith.integer.program import made
from bitsmith.integer.requantization import EvenShift
from bitsmith.lowering import lower

EXACT = ("conv_bn_relu", "depthwise", "mlp", "one_dimensional", "rearranged", "transposed", "two_in_two_out")


@pytest.mark.parametrize("name", EXACT)
def test_all_engines_agree(name: str) -> None:
    chain = Chain.of(networks.NETWORKS[name](), POWERS)
    engines, values = Subject(chain.written).codes_engines()
    simulated, program, runtime = (engines[engine](chain.feeds) for engine in ("simulated", "program", "onnxruntime"))
    assert values
    for other in (simulated, runtime):
        assert_same(other.codes, program.codes, values)
        assert_same(other.outputs, program.outputs, program.outputs)


@pytest.mark.parametrize("name", [*EXACT, "swish"])
def test_shifts_alone_are_float32(name: str) -> None:
    """Every code of every value, ties among them: 512 samples."""
    chain = Chain.of(networks.NETWORKS[name](), POWERS, samples=512)
    names = [n for i in chain.program.instructions for n in made(i) if n in chain.plan.encodings]
    shifted = lower(chain.network, chain.plan, arithmetic=SHIFT)
    assert any(isinstance(getattr(i, "requantize", None), EvenShift) for i in shifted.instructions)
    assert_same(shifted.codes(chain.feeds, names), chain.program.codes(chain.feeds, names), names)
