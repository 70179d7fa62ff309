"""One node as its lowering sees it: operands, encodings, and what becomes of its result."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from bitsmith.errors import LoweringError
from bitsmith.graph import constant
from bitsmith.integer.codes import CodeRange
from bitsmith.integer.instructions import FLOAT32, Arithmetic, Constant, Instruction
from bitsmith.numerics.encoding import Encoding
from bitsmith.numerics.formats import Array
from bitsmith.numerics.signs import BINARY


@dataclass(frozen=True)
class Site:
    """node        the ONNX node
    encodings   of every value that has codes, by name
    output      name of what the node's instruction makes: its own result, or that of the clamps behind it
    codes       which codes may come out, clamps included; None: the result has no encoding
    arithmetic  how everything that is not exact is rounded
    """

    node: ir.Node
    encodings: Mapping[str, Encoding]
    output: str
    codes: CodeRange | None
    arithmetic: Arithmetic

    @property
    def name(self) -> str:
        return f"{self.node.op_type} '{self.node.name}'"

    def value(self, index: int) -> ir.Value:
        """An operand. Raises LoweringError where it was left out."""
        found = self.node.inputs[index] if index < len(self.node.inputs) else None
        if found is None:
            raise LoweringError(f"{self.name} has no operand {index}.")
        return found

    def input(self, index: int) -> str:
        return self.value(index).name or ""

    def encoding(self, index: int) -> Encoding:
        """Of an operand. Raises LoweringError where it has none."""
        if self.input(index) not in self.encodings:
            raise LoweringError(f"{self.name} reads '{self.input(index)}', which has no encoding.")
        return self.encodings[self.input(index)]

    def source(self, index: int) -> CodeRange:
        return CodeRange.of(self.encoding(index))

    @property
    def target(self) -> Encoding:
        """The encoding of what comes out."""
        return self.encodings[self.output]

    @property
    def codes_out(self) -> CodeRange:
        """Which codes may come out. Raises LoweringError where the result has no encoding."""
        if self.codes is None:
            raise LoweringError(f"The result of {self.name} has no encoding.")
        if self.target.format == BINARY:
            raise LoweringError(f"{self.name} has no integer arithmetic that ends in binary codes: products and tables have.")
        return self.codes

    def check_integers(self) -> None:
        """Raises LoweringError where anything is rounded in float: then this is float altogether."""
        if self.arithmetic is FLOAT32:
            raise LoweringError(f"{self.name} is integers only where all rounding is")

    def stored(self, index: int) -> Array:
        """The codes of a constant operand."""
        array = constant(self.value(index))
        if array is None:
            raise LoweringError(f"{self.name} computes '{self.input(index)}', which must be constant.")
        return self.encoding(index).quantize(array)

    def dims(self, index: int) -> tuple[int | None, ...]:
        """An operand's shape, with None for free dimensions. Raises LoweringError where not even its rank is known."""
        return dims_of(self.value(index), self.name)

    def sizes(self, index: int) -> tuple[int, ...]:
        """An operand's dimensions behind the batch, all known."""
        return known(self.dims(index)[1:], self.name)

    def constants(self, indices: Sequence[int]) -> list[Instruction]:
        """Instructions that put constant operands in place, with a batch axis of length 1."""
        rank = len(dims_of(self.node.outputs[0], self.name))
        return [Constant(self.input(i), lift(self.stored(i), rank, self.name)) for i in indices if constant(self.value(i)) is not None]


def dims_of(value: ir.Value, name: str) -> tuple[int | None, ...]:
    if value.shape is None:
        raise LoweringError(f"{name}: the shape of '{value.name}' is not known.")
    return tuple(d if isinstance(d, int) else None for d in value.shape)


def known(dims: Sequence[int | None], name: str) -> tuple[int, ...]:
    """The dimensions, none of them free."""
    if any(d is None for d in dims):
        raise LoweringError(f"{name} needs shapes that are known before the network runs, not {tuple(dims)}.")
    return tuple(d for d in dims if d is not None)


def lift(codes: Array, rank: int, name: str) -> Array:
    """A constant with axes of length 1 in front, up to the rank; axis 0 is the batch."""
    lifted = codes.reshape((1,) * (rank - codes.ndim) + codes.shape)
    if len(lifted) != 1:
        raise LoweringError(f"{name} has a constant of shape {codes.shape}, which differs from sample to sample.")
    return np.ascontiguousarray(lifted)
