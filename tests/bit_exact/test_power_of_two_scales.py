"""With power-of-two scales float32 sums of products are exact: simulation, integer program and onnxruntime agree in every code."""

import networks
import numpy as np
import pytest
from quantizing import POWERS, Chain, assert_same

from bitsmith.analysis.engines import Subject
from bitsmith.integer.codes import CodeRange
from bitsmith.integer.instructions import FIXED_POINT, FLOAT32

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


def test_a_shift_differs_from_them_in_ties_only() -> None:
    """It takes them upward, as C does, and onnxruntime to the even number of steps."""
    scale, codes = np.float32(2.0**-4), CodeRange(0, -128, 127, np.dtype(np.int8))
    sums = np.arange(-2000, 2000)
    upward, even = (arithmetic.requantize.of(scale, codes).apply(sums) for arithmetic in (FIXED_POINT, FLOAT32))
    ties = sums % 16 == 8
    np.testing.assert_array_equal(upward[~ties], even[~ties])
    np.testing.assert_array_equal(upward[ties], even[ties] + (sums[ties] // 16 % 2 == 0))
