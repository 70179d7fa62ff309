"""Pure arithmetic on arrays; knows no graph. The equation is derived in docs/quantization.md."""

from bitsmith.numerics.encoding import Blocks, Encoding
from bitsmith.numerics.formats import Format, Integer, parse_format

__all__ = ["Blocks", "Encoding", "Format", "Integer", "parse_format"]
