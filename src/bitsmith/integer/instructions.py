"""The instructions of the integer program: everything that a quantized network can be made of. Targets print a kernel for each."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from bitsmith.integer.arithmetic import AddRescaled, Clamp, LookUp, MultiplyRescaled, Rescale
from bitsmith.integer.blending import Blend
from bitsmith.integer.boundary import CallFloat, Dequantize, Quantize
from bitsmith.integer.interpolation import Interpolate
from bitsmith.integer.movement import Concatenate, Constant, Gather, Reshape, Take, Transpose
from bitsmith.integer.normalization import LayerNormalize, Softmax
from bitsmith.integer.pooling import AveragePool, MaxPool, Mean
from bitsmith.integer.products import Convolve, MatrixMultiply
from bitsmith.integer.requantization import EvenShift, FixedPoint, FloatScale, Requantize
from bitsmith.integer.rescaling import Average, EvenAverage, EvenTotal, FixedAverage, FixedTotal, FloatAverage, FloatTotal, Total
from bitsmith.integer.selection import ArgMax, Pick, TopK
from bitsmith.numerics.formats import Array

__all__ = [
    "FIXED_POINT", "FLOAT32", "SHIFT", "AddRescaled", "ArgMax", "Arithmetic", "AveragePool", "Blend", "CallFloat", "Clamp",
    "Concatenate", "Constant", "Convolve", "Dequantize", "Gather", "Instruction", "Interpolate", "LayerNormalize", "LookUp",
    "MatrixMultiply", "MaxPool", "Mean", "MultiplyRescaled", "Pick", "Quantize", "Rescale", "Reshape", "Softmax", "Take", "TopK",
    "Transpose",
]


class Instruction(Protocol):
    """A frozen record: names of the values it reads and of the one it makes, its parameters, and its meaning on arrays.

    Axis 0 of every value is the batch; a value of length 1 there serves every sample.
    """

    @property
    def inputs(self) -> tuple[str, ...]: ...
    @property
    def output(self) -> str: ...
    @property
    def run(self) -> Callable[..., Array]: ...


@dataclass(frozen=True)
class Arithmetic:
    """How everything that is not exact is rounded: one choice for a whole program.

    words       how accumulators become codes, for people
    requantize  (multiplier, codes) -> the way from accumulators to codes
    product     the same for the product of two activations
    total       of AddRescaled
    average     of AveragePool
    """

    name: str
    words: str
    requantize: type[Requantize]
    product: Callable[..., Requantize]
    total: type[Total]
    average: type[Average]


FLOAT32 = Arithmetic("float32", "float scale, ties to even", FloatScale, partial(FloatScale.of, zero_first=True), FloatTotal, FloatAverage)
FIXED_POINT = Arithmetic(
    "fixed_point", "integer multiplier of 31 bits and shift, rounded once, ties upward", FixedPoint, FixedPoint.of, FixedTotal,
    FixedAverage)
SHIFT = Arithmetic(
    "shift", "shift alone, as scales are powers of two, rounded once, ties to even", EvenShift, partial(EvenShift.of, zero_first=True),
    EvenTotal, EvenAverage)
