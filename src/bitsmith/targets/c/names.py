"""The user's names as C identifiers and as text within comments."""

import re
from collections.abc import Iterable

KEYWORDS = (
    "auto", "break", "case", "char", "const", "continue", "default", "do", "double", "else", "enum", "extern", "float", "for", "goto", "if",
    "inline", "int", "long", "register", "restrict", "return", "short", "signed", "sizeof", "static", "struct", "switch", "typedef",
    "union", "unsigned", "void", "volatile", "while", "bool", "true", "false", "asm", "typeof", "main",
)
LONGEST = 48            # characters: C99 promises 63 significant ones, and prefixes and suffixes take some
NOISE = re.compile(r"_output_0$")


class Names:
    """Identifiers given out so far; each name gets one of its own."""

    def __init__(self, taken: Iterable[str] = ()) -> None:
        self._given: dict[str, str] = {}
        self._taken = {name.lower() for name in (*KEYWORDS, *taken)}

    def identifier(self, name: str) -> str:
        """The identifier for a name: the same each time, and another one for each name, even where case is ignored."""
        if name not in self._given:
            plain = safe(name)
            found, number = plain, 1
            while found.lower() in self._taken:
                number += 1
                found = f"{plain}_{number}"
            self._taken.add(found.lower())
            self._given[name] = found
        return self._given[name]


def safe(name: str) -> str:
    """Letters, digits and single underscores, beginning with a letter, none at the end."""
    plain = re.sub(r"_+", "_", re.sub(r"[^0-9A-Za-z_]", "_", NOISE.sub("", name))).strip("_")[:LONGEST].strip("_")
    return plain if plain[:1].isalpha() else f"v_{plain}".rstrip("_")


def comment(text: str) -> str:
    """Text that neither ends a comment nor begins one, continues no line, and is ASCII."""
    plain = text.encode("ascii", "backslashreplace").decode().replace("\\", "/")
    printable = "".join(c if c.isprintable() else " " for c in plain)
    return printable.replace("*/", "* /").replace("/*", "/ *").replace("??", "? ?")
