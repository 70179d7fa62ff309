"""Which kernels there are to choose from, by name, and what a compiler is to do with them."""

from collections.abc import Mapping

from bitsmith.targets.c.call import Describe
from bitsmith.targets.c.cortex_m import CORTEX_M
from bitsmith.targets.c.portable import PORTABLE
from bitsmith.targets.c.x86 import X86

FLAVOURS: Mapping[str, Mapping[type, Describe]] = {"portable": PORTABLE, "cortex-m": CORTEX_M, "x86": X86}
PLAIN = ("-O2",)
OPTIMISE: Mapping[str, tuple[str, ...]] = {"x86": ("-O3", "-march=native")}      # for this very processor
