"""One node as its lowering sees it: operands, encodings, and what becomes of its output."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import onnx_ir as ir

from bitsmith.integer.requantization import Requantize
from bitsmith.numerics.encoding import Encoding
from bitsmith.numerics.formats import Array


@dataclass(frozen=True)
class Site:
    """node        the ONNX node
    encodings   of every encoded value by name, weights and biases included
    output      name of the value whose codes come out: the node's own output or that of the clamps behind it
    low, high   codes that those clamps permit; the whole format where there are none
    requantize  (real multiplier(s), output zero point, low, high) -> the chosen way back to codes
    """

    node: ir.Node
    encodings: Mapping[str, Encoding]
    output: str
    low: int
    high: int
    requantize: Callable[[Array, int, int, int], Requantize]
