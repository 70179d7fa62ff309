"""The working folder: statistics, choices and attempts as files. What is in it is whole, whenever the program was ended.

    about.json                   which network it is of
    choices.json                 what is chosen at present
    calibration-<data>.stats     statistics, by the digest of the data
    float-<data>.json            the float network's evaluation, by the digest of the test data
    attempts/3/                  one attempt: attempt.json, the network (.onnx, or C in a .zip), its plan, its report; renamed to its
                                 place when all is there
    exported/                    what the user liked
"""

import hashlib
import json
import re
import shutil
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from bitsmith.errors import BitsmithError
from bitsmith.files import write_atomically

KIND = "bitsmith app"
VERSION = 1
NUMBERED = re.compile(r"-(\d+)\.[a-z.]+$")          # a file of an attempt
OLDEST = (1980, 1, 1, 0, 0, 0)                       # that an archive can say: the same content gives the same bytes
UNFINISHED = re.compile(r"\.(new-|about\.json\.|choices\.json\.|(calibration|float)-[0-9a-f]+\.)")


class Folder:
    """One program at a time works in it.

    Raises BitsmithError where it cannot be made, holds something else, is of another network or in use.
    """

    def __init__(self, path: Path, network: str) -> None:
        self.path = path
        self.lock: IO[str] | None = None
        try:
            path.mkdir(exist_ok=True)
            names = sorted(entry.name for entry in path.iterdir())
            if names and "about.json" not in names and names != ["lock"] and not all(UNFINISHED.match(n) or n == "lock" for n in names):
                raise BitsmithError(f"'{path}' holds other things; name an empty or new folder with --folder.")
            self.lock = lock(path / "lock")
            self.check(network)
            self.sweep()
            (path / "attempts").mkdir(exist_ok=True)
        except OSError as problem:
            raise BitsmithError(f"Cannot work in '{path}': {problem.strerror or problem}. Choose another with --folder.") from problem

    def check(self, network: str) -> None:
        """It is of this network, or of none yet."""
        about = self.path / "about.json"
        if not about.exists():
            write_json(about, {"kind": KIND, "version": VERSION, "network": network})
        found = read_json(about)
        if found.get("kind") != KIND or found.get("version") != VERSION:
            raise BitsmithError(f"'{about}' is not what this bitsmith writes; choose another folder with --folder.")
        if found.get("network") != network:
            raise BitsmithError(f"'{self.path}' holds work on another network (or this one has changed since: {found.get('network')}, "
                                f"now {network}); choose another folder with --folder, or remove that one.")

    def sweep(self) -> None:
        """Remove what an ended program left half-done."""
        for entry in self.path.iterdir():
            if UNFINISHED.match(entry.name):
                shutil.rmtree(entry) if entry.is_dir() else entry.unlink()

    @contextmanager
    def new_attempt(self) -> Iterator[Path]:
        """A folder to fill; it is removed unless `keep` moves it to its place."""
        made = Path(tempfile.mkdtemp(prefix=".new-", dir=self.path))
        try:
            yield made
        finally:
            shutil.rmtree(made, ignore_errors=True)

    def keep(self, made: Path, number: int) -> Path:
        """Move a filled folder to its place, all at once."""
        made.chmod(0o755)
        return made.rename(self.attempt(number))

    def remove(self, number: int) -> None:
        """Take an attempt away, all at once. What was exported stays."""
        with self.new_attempt() as away:
            self.attempt(number).rename(away / str(number))

    def attempt(self, number: int) -> Path:
        return self.path / "attempts" / str(number)

    def next_number(self) -> int:
        """One more than the highest there is, readable or not, or was exported."""
        there = [int(e.name) for e in (self.path / "attempts").iterdir() if e.name.isdecimal()]
        exported = [NUMBERED.search(e.name) for e in self.exported.iterdir()] if self.exported.is_dir() else []
        return 1 + max([*there, *(int(found[1]) for found in exported if found)], default=0)

    def statistics(self, data: str) -> Path:
        return self.path / f"calibration-{data}.stats"

    def float_evaluation(self, data: str) -> Path:
        return self.path / f"float-{data}.json"

    @property
    def choices(self) -> Path:
        return self.path / "choices.json"

    @property
    def exported(self) -> Path:
        return self.path / "exported"

    def close(self) -> None:
        if self.lock is not None:
            self.lock.close()


def lock(path: Path) -> IO[str]:
    """Held until it is closed or the program ends, however it does. Raises BitsmithError where another program holds it."""
    held = path.open("a")
    if sys.platform != "win32":
        import fcntl

        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            held.close()
            raise BitsmithError(f"Another `bitsmith app` works in '{path.parent}'; use its page, or choose another folder with --folder."
                                ) from None
    return held


def write_json(path: Path, data: Any) -> None:
    write_atomically(path, (json.dumps(data, indent=1) + "\n").encode())


def read_json(path: Path) -> dict[str, Any]:
    """Raises BitsmithError where it is no JSON object."""
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as problem:
        raise BitsmithError(f"'{path}' cannot be read: {problem}.") from problem
    if not isinstance(found, dict):
        raise BitsmithError(f"'{path}' cannot be read: it holds no JSON object.")
    return found


def pack(folder: Path, path: Path) -> None:
    """All files of a folder in one archive, in a folder of the archive's name."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(folder.iterdir()):
            entry = zipfile.ZipInfo(f"{path.stem}/{file.name}", OLDEST)
            entry.external_attr, entry.compress_type = 0o644 << 16, zipfile.ZIP_DEFLATED
            archive.writestr(entry, file.read_bytes())


def digest_of(path: Path, more: object = "") -> str:
    """12 hexadecimal digits of a file's bytes, or of the names, sizes and times of all files in a folder, and of what else matters.

    Raises BitsmithError where it cannot be read.
    """
    found = hashlib.sha256(repr(more).encode())
    try:
        if path.is_dir():
            for file in sorted(path.rglob("*")):
                found.update(f"{file.relative_to(path)} {file.stat().st_size} {file.stat().st_mtime_ns}\n".encode(errors="surrogateescape"))
        else:
            with path.open("rb") as content:
                found.update(hashlib.file_digest(content, "sha256").digest())
    except OSError as problem:
        raise BitsmithError(f"'{path}' cannot be read: {problem.strerror or problem}.") from problem
    return found.hexdigest()[:12]
