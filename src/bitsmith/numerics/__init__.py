"""Pure arithmetic on arrays; knows no graph. The equation is derived in docs/quantization.md."""

from bitsmith.numerics.encoding import Blocks, Encoding
from bitsmith.numerics.formats import Format, Integer, parse_format
from bitsmith.numerics.minifloat import Minifloat
from bitsmith.numerics.powers_of_two import PowersOfTwo
from bitsmith.numerics.signs import Signs

__all__ = ["Blocks", "Encoding", "Format", "Integer", "Minifloat", "PowersOfTwo", "Signs", "parse_format"]
