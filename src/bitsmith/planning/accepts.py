"""What a target can take. Planning sees a target only through this."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import onnx_ir as ir

from bitsmith.errors import TargetError
from bitsmith.numerics import Encoding, Format, parse_format


def no_advice(graph: ir.Graph) -> Mapping[str, str]:
    """Nothing is faster in float."""
    return {}


@dataclass(frozen=True)
class Accepts:
    """target              its name, for messages
    activations, weights   formats, most welcome first: a bare width takes the first that has it
    floats                 float arithmetic is at hand, so that codes are asked for only where they help
    zero_points            activations may have zero points other than 0; else values of both signs take signed formats
    blocked_weights        weights may have several scales within a channel
    dynamic                activation ranges may be found at run time
    ends_in_float          operators whose integer kernel needs no encoding of its output
    tensor_scales          operators that run faster with one scale for a whole weight, where their result is codes
    packs                  widths below a byte in which codes of weights are stored, the smallest first
    packs_in_blocks        the same for weights with several scales within a channel
    saturating_pairs       on some of its processors sums of two products uint8 * int8 saturate in 16 bits
    faster_in_float        nodes by name that this target runs faster in float, each with the reason
    """

    target: str
    activations: tuple[str, ...]
    weights: tuple[str, ...]
    floats: bool = True
    zero_points: bool = True
    blocked_weights: bool = True
    dynamic: bool = True
    ends_in_float: frozenset[str] = frozenset()
    tensor_scales: frozenset[str] = frozenset()
    packs: tuple[int, ...] = ()
    packs_in_blocks: tuple[int, ...] = (4,)
    saturating_pairs: bool = False
    faster_in_float: Callable[[ir.Graph], Mapping[str, str]] = no_advice

    def stored_bits(self, weight: Encoding) -> int:
        """Bits that each code of a weight takes in this target's files."""
        widths = self.packs_in_blocks if len(weight.blocks.sizes) > 1 else self.packs
        return next((width for width in widths if width >= weight.format.held_bits), 8 * weight.format.storage.itemsize)

    def choose(self, choice: str | int, role: str, owner: str, *, negative: bool = False) -> Format:
        """The format for a width, of values that may be negative, or for a format's name.

        Raises TargetError naming the owner when there is none.
        """
        offered: tuple[str, ...] = getattr(self, role)
        if isinstance(choice, int):
            for name in offered:
                format = parse_format(name)
                if format.bits == choice and (format.lowest < 0 or self.zero_points or not negative):
                    return format
        elif parse_format(choice).name.replace("-restricted", "").replace("-away", "") in offered:
            return parse_format(choice)
        wanted = f"{choice} bits" if isinstance(choice, int) else choice
        raise TargetError(
            f"{owner}: target '{self.target}' has no {wanted} {role}; it takes {', '.join(offered) or 'float'}. "
            "Change the recipe's rule for it, or choose the target 'onnx'."
        )
