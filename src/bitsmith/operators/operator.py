"""What quantization may know of an ONNX operator."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING

import onnx_ir as ir

from bitsmith.numerics import Encoding, Format

if TYPE_CHECKING:
    from bitsmith.integer.instructions import Instruction
    from bitsmith.operators.site import Site


class Flow(Enum):
    """How encodings pass through an operator."""

    FREE = auto()               # inputs and outputs have encodings of their own (Conv, Add)
    INPUT_TO_OUTPUT = auto()    # the first input's codes come out, moved (Reshape, MaxPool)
    OUTPUT_TO_INPUT = auto()    # a clamp: the saturation of the output's encoding does its work (Relu, Clip)
    SHARED = auto()             # all inputs and the output have one encoding (Concat)
    TO_PLACES = auto()          # integers that are no codes come out (ArgMax): on codes, where its input has them
    NONE = auto()               # asks for no encodings (Sigmoid): between those of its neighbours a table does it, else it is float


@dataclass(frozen=True)
class Parameter:
    """One operand that is a weight: where it stands, and along which axes its channels and its sums run."""

    index: int
    channel_axis: int | None    # one scale for each index of it makes the output's channels
    sum_axis: int | None        # the axis along which groups of weights may have scales of their own


def no_parameters(node: ir.Node) -> Sequence[Parameter]:
    """The operator has no weights."""
    return ()


def fits(node: ir.Node) -> str:
    """Nothing stands in the way."""
    return ""


def never(node: ir.Node) -> bool:
    return False


@dataclass(frozen=True)
class Operator:
    """flow        how encodings pass
    parameters  the constant operands of a node that are weights
    bias        index of the operand that is added to the accumulator, at the scale input * weight
    pointwise   each output element depends on one element of each input: chains of these become tables
    obstacle    why this node cannot run on codes ("" when it can)
    weights_only  its arithmetic stays float; only its weights are narrowed
    without_float  whether a node's integers are only for targets without float arithmetic, so that elsewhere it stays float
    encode      the encoding of its result in a format, where that is known beforehand
    lower       to instructions; None: no arithmetic of its own in integers
    """

    flow: Flow = Flow.FREE
    parameters: Callable[[ir.Node], Sequence[Parameter]] = no_parameters
    bias: int | None = None
    pointwise: bool = False
    obstacle: Callable[[ir.Node], str] = fits
    weights_only: bool = False
    without_float: Callable[[ir.Node], bool] = never
    encode: Callable[[Format], Encoding] | None = None
    lower: "Callable[[Site], Sequence[Instruction]] | None" = None

    @property
    def is_product(self) -> bool:
        """True for those with weights of their own: their kernels are what codes are for, and may end in real numbers."""
        return self.parameters is not no_parameters and not self.weights_only
