"""Numbers one by one: from integers, sums, differences, products and quotients of two values, functions of one, clamps."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import erf, pi

import numpy as np

from bitsmith.numerics.encoding import Encoding
from bitsmith.numerics.formats import Array
from bitsmith.real.limits import NO_LIMITS, Limits

PAIRS: Mapping[str, Callable[[Array, Array], Array]] = {
    "add": np.add, "subtract": np.subtract, "multiply": np.multiply, "divide": np.divide,
    "leak": lambda left, right: np.where(left < 0, left * right, left),
}


@dataclass(frozen=True, eq=False)
class RealPair:
    """Two values that may broadcast. `operation` is one of PAIRS."""

    inputs: tuple[str, str]
    output: str
    operation: str
    limits: Limits = NO_LIMITS

    def run(self, left: Array, right: Array) -> Array:
        with np.errstate(all="ignore"):
            return self.limits.apply(PAIRS[self.operation](left, right))


@dataclass(frozen=True, eq=False)
class RealCast:
    """Integers, such as raw pixels, as the nearest numbers."""

    inputs: tuple[str]
    output: str

    def run(self, integers: Array) -> Array:
        return integers.astype(np.float32)


@dataclass(frozen=True, eq=False)
class RealClamp:
    """A clamp that nothing before it does."""

    inputs: tuple[str]
    output: str
    limits: Limits

    def run(self, reals: Array) -> Array:
        return self.limits.apply(reals)


def sigmoid(x: Array, a: np.float32, b: np.float32) -> Array:
    return np.float32(1) / (np.float32(1) + np.exp(-x))


def clamp_line(x: Array, a: np.float32, b: np.float32) -> Array:
    return Limits(0, 1).apply(a * x + b)


def elu(x: Array, a: np.float32, b: np.float32) -> Array:
    return np.where(x < 0, a * np.expm1(x), x)


errors = np.vectorize(erf, otypes=[np.float32])


def gelu(x: Array, a: np.float32, b: np.float32) -> Array:
    return np.asarray(np.float32(0.5) * x * (np.float32(1) + errors(x * np.float32(0.5**0.5))))


def gelu_by_tanh(x: Array, a: np.float32, b: np.float32) -> Array:
    cubic = x + np.float32(0.044715) * x * x * x
    return np.asarray(np.float32(0.5) * x * (np.float32(1) + np.tanh(np.float32((2 / pi) ** 0.5) * cubic)))


CURVES: Mapping[str, Callable[[Array, np.float32, np.float32], Array]] = {
    "abs": lambda x, a, b: np.abs(x),
    "elu": elu,
    "erf": lambda x, a, b: errors(x),
    "exp": lambda x, a, b: np.exp(x),
    "gelu": gelu,
    "gelu_tanh": gelu_by_tanh,
    "hard_sigmoid": clamp_line,
    "hard_swish": lambda x, a, b: x * clamp_line(x, a, b),
    "leaky_relu": lambda x, a, b: np.where(x < 0, a * x, x),
    "log": lambda x, a, b: np.log(x),
    "neg": lambda x, a, b: -x,
    "power": lambda x, a, b: np.power(x, a),
    "reciprocal": lambda x, a, b: np.float32(1) / x,
    "sigmoid": sigmoid,
    "softplus": lambda x, a, b: np.log1p(np.exp(-np.abs(x))) + np.where(x > 0, x, np.float32(0)),
    "sqrt": lambda x, a, b: np.sqrt(x),
    "tanh": lambda x, a, b: np.tanh(x),
}
"""By name: function(x, a, b) of float32 numbers, two of which the network may say."""
FROM_LIBRARY = frozenset({"elu", "erf", "exp", "gelu", "gelu_tanh", "log", "power", "sigmoid", "softplus", "tanh"})
"""Curves that a library of mathematics computes: the last digits are its own, and differ from library to library."""


@dataclass(frozen=True, eq=False)
class RealCurve:
    """A function of one value: one of CURVES."""

    inputs: tuple[str]
    output: str
    curve: str
    numbers: tuple[float, float] = (0.0, 0.0)

    def run(self, reals: Array) -> Array:
        with np.errstate(all="ignore"):
            return np.asarray(CURVES[self.curve](reals, *map(np.float32, self.numbers)), np.float32)


@dataclass(frozen=True, eq=False)
class CurveOfCodes:
    """Codes -> numbers -> a function of one value -> codes again: what a table holds beforehand."""

    inputs: tuple[str]
    output: str
    source: Encoding
    target: Encoding
    curve: str
    numbers: tuple[float, float] = (0.0, 0.0)

    def run(self, codes: Array) -> Array:
        return self.target.quantize(RealCurve(self.inputs, self.output, self.curve, self.numbers).run(self.source.dequantize(codes)))
