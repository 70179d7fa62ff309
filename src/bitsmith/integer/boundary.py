"""Where codes meet real numbers."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bitsmith.numerics.encoding import Encoding
from bitsmith.numerics.formats import Array


@dataclass(frozen=True, eq=False)
class Quantize:
    """Real numbers -> codes."""

    inputs: tuple[str]
    output: str
    encoding: Encoding

    def run(self, real: Array) -> Array:
        return self.encoding.quantize(real)


@dataclass(frozen=True, eq=False)
class Dequantize:
    """Codes, or int32 accumulators by an int32 encoding -> float32."""

    inputs: tuple[str]
    output: str
    encoding: Encoding

    def run(self, codes: Array) -> Array:
        return self.encoding.dequantize(codes)


@dataclass(frozen=True, eq=False)
class CallFloat:
    """An operator that stays in floating point: real numbers in, real numbers out. Only numpy runs it; other targets refuse it by name.

    reason  why it has no integer arithmetic here
    """

    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    function: Callable[..., Sequence[Array]]
    reason: str = ""

    def run(self, *reals: Array) -> Sequence[Array]:
        return self.function(*reals)
