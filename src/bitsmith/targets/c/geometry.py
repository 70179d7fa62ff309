"""Where windows stand on a plane, as the kernels' fields, and how far a result may follow behind its source."""

from dataclasses import dataclass
from math import prod

import numpy as np

from bitsmith.errors import TargetError
from bitsmith.integer.windows import Sizes, Window, dilated_sizes
from bitsmith.numerics.formats import Array
from bitsmith.targets.c.stored import Stored, channels_last

PLANE = 2               # spatial axes; one-dimensional tensors are planes of one row


@dataclass(frozen=True)
class Geometry:
    """A window on a plane. All pairs are (vertical, horizontal)."""

    sizes: Sizes
    steps: Sizes            # elements of the source from row to row, from column to column, from channel to channel
    channels: int
    outputs: Sizes
    window: Window
    spread: Sizes

    @classmethod
    def of(cls, source: Stored, window: Window, owner: str, spread: Sizes = ()) -> "Geometry":
        """Raises TargetError for windows of three axes and more."""
        space = len(window.kernel)
        if not 1 <= space <= PLANE:
            raise TargetError(f"'{owner}' has a window of {space} axes; the target 'c' has kernels for 1 and 2. Choose 'onnxruntime'.")
        spread = spread or (1,) * space
        outputs = window.output_sizes(dilated_sizes(source.shape[1:], spread))
        flat = (1,) * (PLANE - space)
        wide = Window((*flat, *window.kernel), (*flat, *window.strides), (*flat, *window.dilations),
                      (*((0, 0),) * len(flat), *window.pads), window.ceil_mode)
        channel, *steps = source.strides
        return cls((*flat, *source.shape[1:]), (*(0,) * len(flat), *steps, channel), source.shape[0], (*flat, *outputs), wide,
                   (*flat, *spread))

    def fields(self) -> dict[str, int]:
        """What all kernels with windows have in common."""
        kinds = {"kernel": ("height", "width"), "stride": "yx", "dilation": "yx"}
        windows = {"kernel": self.window.kernel, "stride": self.window.strides, "dilation": self.window.dilations}
        found = dict(zip(("in_height", "in_width", "out_height", "out_width"), (*self.sizes, *self.outputs), strict=True))
        found |= dict(zip(("row_step", "column_step", "channel_step"), self.steps, strict=True))
        for kind, ends in kinds.items():
            found |= {f"{kind}_{end}": length for end, length in zip(ends, windows[kind], strict=True)}
        return found | {"pad_top": self.window.pads[0][0], "pad_left": self.window.pads[1][0]}

    def says(self) -> str:
        """For people: 3x3, stride 2, 16 x 32 x 32."""
        kernel, stride = ("x".join(map(str, pair)) for pair in (self.window.kernel, self.window.strides))
        return kernel + (f", stride {stride}" if prod(self.window.strides) > 1 else "")

    def leads(self, name: str, source: Stored, result: Stored) -> dict[str, int]:
        """{name of the source: bytes by which the result must begin before it to lie over it}; {} where it never may."""
        if not source.same_memory(source.in_order(channels_last(len(source.shape)))):
            return {}
        starts = [self._first_read(axis) for axis in range(PLANE)]
        first = (starts[0][:, None] * self.sizes[1] + starts[1]).reshape(-1) * self.channels * source.width
        written = np.arange(1, len(first) + 1) * (result.bytes // max(1, len(first)))
        return {name: furthest(written, first)}

    def trails(self, name: str, source: Stored, result: Stored) -> dict[str, int]:
        """{name of the source: bytes by which the result must begin behind it} for a kernel that runs backwards."""
        if not self.leads(name, source, result):
            return {}
        ends = [np.minimum(self._last_read(axis), self.sizes[axis] - 1) for axis in range(PLANE)]
        last = (ends[0][:, None] * self.sizes[1] + ends[1]).reshape(-1) + 1
        read = np.maximum.accumulate(last) * self.channels * source.width
        begun = np.arange(len(last)) * (result.bytes // max(1, len(last)))
        return {name: int(max(0, (read - begun).max(initial=0)))}

    def _last_read(self, axis: int) -> Array:
        """For each output index, the last input index that its window can see, as if nothing lay behind the input."""
        starts = np.arange(self.outputs[axis]) * self.window.strides[axis] - self.window.pads[axis][0]
        return np.maximum(0, (starts + self.window.extents[axis] - 1) // self.spread[axis])

    def _first_read(self, axis: int) -> Array:
        """For each output index, the first input index that its window can see."""
        starts = np.arange(self.outputs[axis]) * self.window.strides[axis] - self.window.pads[axis][0]
        return np.clip(starts // self.spread[axis], 0, self.sizes[axis])


def furthest(written: Array, first: Array) -> int:
    """How far writing runs ahead of reading: `written` bytes after each turn, `first` byte that this turn reads."""
    still_read = np.minimum.accumulate(first[::-1])[::-1]
    return int(max(0, (written - still_read).max(initial=0)))
