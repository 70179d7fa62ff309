"""What quantization may know of an ONNX operator."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto

import onnx_ir as ir

from bitsmith.integer.instructions import Instruction
from bitsmith.operators.site import Site


class Flow(Enum):
    """How encodings pass through an operator."""

    FREE = auto()               # inputs and outputs have encodings of their own (Conv, Add)
    INPUT_TO_OUTPUT = auto()    # the first input's codes come out, moved (Reshape, MaxPool)
    OUTPUT_TO_INPUT = auto()    # a clamp: the saturation of the output's encoding does its work (Relu, Clip)
    SHARED = auto()             # all inputs and the output have one encoding (Concat)


@dataclass(frozen=True)
class Parameter:
    """One operand that is a weight: where it stands, and along which axes its channels and its sums run."""

    index: int
    channel_axis: int           # one scale for each index of it makes the output's channels
    sum_axis: int | None        # the axis along which groups of weights may have scales of their own


Parameters = Callable[[ir.Node], Sequence[Parameter]]
Lower = Callable[[Site], Sequence[Instruction]]


def no_parameters(node: ir.Node) -> Sequence[Parameter]:
    return ()


@dataclass(frozen=True)
class Operator:
    """flow          how encodings pass
    parameters    the constant operands of a node that are weights
    bias          index of the operand that is added to the accumulator, at the scale input * weight
    inputs        indices of the operands that carry activations; None: all but parameters and bias
    pointwise     each output element depends on one element of each input: chains of these become tables
    needs_output  the integer kernel ends in a requantization: without an encoding of its output it runs in float
    lower         to instructions; None: it stays float unless a table covers it, and the plan says so
    """

    flow: Flow = Flow.FREE
    parameters: Parameters = no_parameters
    bias: int | None = None
    inputs: tuple[int, ...] | None = None
    pointwise: bool = False
    lower: Lower | None = None


Operators = Mapping[str, Operator]
