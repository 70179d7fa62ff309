"""Which code of several is the largest."""

from dataclasses import dataclass

import numpy as np

from bitsmith.errors import LoweringError
from bitsmith.numerics.formats import Array

BYTE, WORD = 2**8, 2**16


@dataclass(frozen=True, eq=False)
class ArgMax:
    """The place of the largest code along an axis; of equal ones the first, or the last. In the narrowest integers that hold all places.

    axis      not 0, the batch
    keep_axis whether it stays, with length 1
    """

    inputs: tuple[str]
    output: str
    axis: int
    keep_axis: bool = False
    last: bool = False

    def __post_init__(self) -> None:
        if self.axis < 1:
            raise LoweringError(f"'{self.output}' is an arg-max over axis {self.axis}; axes count from the front, and 0 is the batch.")

    def run(self, codes: Array) -> Array:
        length = codes.shape[self.axis]
        places = np.flip(codes, self.axis).argmax(self.axis, keepdims=self.keep_axis) if self.last else codes.argmax(
            self.axis, keepdims=self.keep_axis)
        kind = np.uint8 if length <= BYTE else np.uint16 if length <= WORD else np.int32
        return np.asarray(length - 1 - places if self.last else places).astype(kind)
