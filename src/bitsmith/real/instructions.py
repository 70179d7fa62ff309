"""All instructions on float32 numbers. What only moves numbers is that of the integer program: it moves these as well."""

from bitsmith.real.elementwise import CURVES, FROM_LIBRARY, PAIRS, CurveOfCodes, RealCast, RealClamp, RealCurve, RealPair
from bitsmith.real.limits import NO_LIMITS, Limits
from bitsmith.real.normalization import RealNormalize
from bitsmith.real.pooling import RealAveragePool, RealMaxPool, RealMean, RealSoftmax
from bitsmith.real.products import RealConvolve, RealMultiply, RealMultiplyPair, Weights

__all__ = [
    "CURVES", "FROM_LIBRARY", "NO_LIMITS", "PAIRS", "CurveOfCodes", "Limits", "RealAveragePool", "RealCast", "RealClamp", "RealConvolve",
    "RealCurve", "RealMaxPool", "RealMean", "RealMultiply",
    "RealMultiplyPair", "RealNormalize", "RealPair", "RealSoftmax", "Weights", "from_library",
]


def from_library(instruction: object) -> bool:
    """True where a library of mathematics computes, so that last digits may differ."""
    return isinstance(instruction, RealSoftmax) or (isinstance(instruction, RealCurve | CurveOfCodes) and instruction.curve in FROM_LIBRARY)
