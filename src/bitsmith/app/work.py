"""Long work: one job at a time in a thread of its own, with its progress, which can be cancelled and never leaves anything stuck."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from time import monotonic
from typing import Literal

from bitsmith.errors import BitsmithError
from bitsmith.loading.data import Data, Source
from bitsmith.loading.items import Chunk

Advance = Callable[[int, int | None], None]


class CancelledError(Exception):
    """The user does not want the running job any more. Not an error of bitsmith's."""


class BusyError(BitsmithError):
    """Another job runs."""


@dataclass(frozen=True)
class Notice:
    """What became of the last job, or of the last wish."""

    mood: Literal["good", "look", "act"]
    text: str


@dataclass
class Job:
    """What runs: its title, the step it is in, and how far that is."""

    title: str
    changed: Callable[[], None] = lambda: None
    step_title: str = ""
    done: int = 0
    total: int | None = None
    started: float = field(default_factory=monotonic)
    unwanted: threading.Event = field(default_factory=threading.Event)

    def look(self) -> None:
        """Raises CancelledError where the user has cancelled."""
        if self.unwanted.is_set():
            raise CancelledError

    @contextmanager
    def step(self, title: str) -> Iterator[Advance]:
        """One part of the job; its progress."""
        self.step_title = title
        self.advance(0, None)
        yield self.advance

    def advance(self, done: int, total: int | None) -> None:
        self.look()
        self.done, self.total = done, total
        self.changed()

    def watch(self, data: Data) -> Data:
        """Data that stop coming when the job is cancelled."""
        return replace(data, source=Watched(data.source, self))


@dataclass(frozen=True)
class Watched:
    """A source of samples that stop coming when the job is cancelled."""

    source: Source
    job: Job

    def chunks(self, size: int, step: int) -> Iterator[Chunk]:
        for chunk in self.source.chunks(size, step):
            self.job.look()
            yield chunk


class Work:
    """At most one job. `changed` is called whenever there is something new to show; `notice` is what became of the last job."""

    def __init__(self, changed: Callable[[], None] = lambda: None) -> None:
        self.changed = changed
        self.job: Job | None = None
        self.notice: Notice | None = None
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def start(self, title: str, do: Callable[[Job], Notice]) -> None:
        """Run it beside; what it returns is the notice. Raises BusyError where another job runs."""
        with self._lock:
            if self.job is not None:
                raise BusyError(f"'{self.job.title}' still runs; wait for its end, or cancel it.")
            self.job = job = Job(title, self.changed)
            self.notice = None
            self._thread = threading.Thread(target=self._run, args=(job, do), name="bitsmith-work", daemon=True)
            self._thread.start()
        self.changed()

    def _run(self, job: Job, do: Callable[[Job], Notice]) -> None:
        title = job.title
        notice = Notice("act", f"{title} stopped by an error of bitsmith, of which the terminal says more; what was finished is kept.")
        try:
            notice = do(job)
        except CancelledError:
            notice = Notice("look", f"{job.title}: cancelled. Nothing was changed.")
        except BitsmithError as problem:
            notice = Notice("act", str(problem))
        except MemoryError:
            notice = Notice("act", f"{job.title}: there is not enough memory for this network and these data.")
        except OSError as problem:
            notice = Notice("act", f"{problem.filename or 'The system'}: {problem.strerror or problem}.")
        finally:                    # whatever else it may be, threading prints
            with self._lock:
                self.job, self.notice = None, notice
            self.changed()

    def cancel(self) -> None:
        """The job ends as soon as it looks. Nothing where none runs."""
        job = self.job
        if job is not None:
            job.unwanted.set()
            self.changed()

    def wait(self, seconds: float | None = None) -> bool:
        """Until the job has ended; False where the time was too short."""
        thread = self._thread
        if thread is not None:
            thread.join(seconds)
        return thread is None or not thread.is_alive()
