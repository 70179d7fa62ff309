"""Kernels as C text: files of `kernels/` with their placeholder types and names replaced. Each combination of types is printed once."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files

from bitsmith.real.instructions import CURVES, PAIRS
from bitsmith.targets.c.call import SHORT, Call

MARK = "/* kernel */\n"
# each part before those that call it
ORDER = ("nearest", "requantize", "weight_at", "weigh", "popcount", "squeeze", "dot", "dsp", "saturate", "extend", "widen", "strip",
         "terms", "block", "taps", "ties", "finish", "lanes", "scaling", "quads", "lines", "tiles", "x86_convolve",
         "real_weight", "real_limits", "real_finish", "real_dot", "combine", "curve")
# variants of parts that have the same types
TOLD_APART = ("int2", "int3", "int4", "binary", "signs", "from_zero", "shift", "even", "between", "capped", "wide", "scaled", "two", "four",
              *PAIRS, *CURVES)


@cache
def kernel_text(name: str) -> str:
    """What stands behind the mark of a file; before it are the types with which the file compiles by itself."""
    return (files("bitsmith.targets.c") / "kernels" / f"{name}.c").read_text(encoding="utf-8").partition(MARK)[2]


@dataclass
class Instances:
    """Kernels printed so far, by name."""

    prefix: str
    texts: dict[str, str] = field(default_factory=dict)

    def of(self, call: Call) -> str:
        """The name of a call's kernel; its text and its parts' are added where they are new. Sums have 32 bits where it is silent."""
        names: dict[str, str] = {}
        types = call.types if "sum_t" in call.types else {**call.types, "sum_t": "int32_t"}
        for role in ORDER:
            if role in call.parts:
                names[role] = self._add(role, call.parts[role], types, names)
        return self._add(call.kernel, call.kernel, types, names)

    def _add(self, role: str, file: str, types: Mapping[str, str], parts: Mapping[str, str]) -> str:
        text = kernel_text(file)
        used = {part: name for part, name in parts.items() if uses(text, part)}
        name = "_".join([self.prefix, role, *variants(role, file, used), *(SHORT[t] for word, t in types.items() if uses(text, word))])
        if name not in self.texts:
            words = {**types, **used, role: name, "KERNEL": f"{self.prefix.upper()}_KERNEL"}
            self.texts[name] = rename(text, words)
        return name


def variants(role: str, file: str, parts: Mapping[str, str]) -> list[str]:
    """What tells an instance from those with the same types: weight_at_int4 -> int4, also in what calls it."""
    own = file.removeprefix(role).strip("_").replace("multiplier", "")
    found = [own] if own else []
    for word in TOLD_APART:
        if word not in found and any(f"_{word}_" in f"{name}_" for name in parts.values()):
            found.append(word)
    return found


def uses(text: str, word: str) -> bool:
    return re.search(rf"\b{word}(?=_[a-z]|\b)", text) is not None


def rename(text: str, words: Mapping[str, str]) -> str:
    """Replace whole identifiers and those that begin with one and an underscore."""
    pattern = re.compile(rf"(?<!->)(?<!\.)\b({'|'.join(sorted(words, key=len, reverse=True))})(?=_[a-z]|\b)")
    return pattern.sub(lambda found: words[found.group(1)], text)
