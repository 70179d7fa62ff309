"""Files appear whole or not at all."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bitsmith.errors import BitsmithError


def check_output(path: Path, suffix: str = "", read: Path | None = None) -> None:
    """Before long work: can `path` be written, does it end in `suffix`, and is it another file than the one that is `read`?

    Raises BitsmithError where it cannot, does not or is not.
    """
    if not path.name or path.is_dir():
        raise BitsmithError(f"Cannot write '{path}': that is a folder; name a file in it.")
    if not path.name.endswith(suffix) or path.name == suffix:
        raise BitsmithError(f"The output '{path}' must end in {suffix}.")
    if not path.parent.is_dir():
        raise BitsmithError(f"Cannot write '{path}': there is no folder '{path.parent}'.")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise BitsmithError(f"Cannot write '{path}': nothing may be written in '{path.parent}'.")
    if read is not None and path.exists() and read.exists() and path.samefile(read):
        raise BitsmithError(f"The output '{path}' is the network itself; choose another, so that both can be compared.")


@contextmanager
def written_beside(path: Path) -> Iterator[Path]:
    """A temporary path in the same folder, renamed to `path` when the block ends well and deleted when it does not.

    Raises BitsmithError where the folder does not exist or cannot be written.
    """
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    except OSError as problem:
        raise BitsmithError(f"Cannot write '{path}': {problem.strerror}. Choose another output with -o.") from problem
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o666 & ~current_umask())
        temporary.replace(path)
    except OSError as problem:
        raise BitsmithError(f"Cannot write '{path}': {problem.strerror or problem}.") from problem
    finally:
        temporary.unlink(missing_ok=True)


def write_atomically(path: Path, content: bytes) -> None:
    """Write beside, then rename."""
    with written_beside(path) as temporary:
        temporary.write_bytes(content)


def current_umask() -> int:
    """The process's umask, which can only be read by setting it."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
