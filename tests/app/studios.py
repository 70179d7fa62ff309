"""Studios over the digits that ship with the package, and pages served by a real server: no browser needed."""

import http.client
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path
from time import monotonic, sleep
from typing import Any
from urllib.parse import urlencode

import onnx_ir as ir

from bitsmith.analysis.fingerprint import fingerprint
from bitsmith.app.folder import Folder, digest_of
from bitsmith.app.server import make_server, open_socket
from bitsmith.app.studio import Given, Samples, Studio
from bitsmith.loading.data import Data, open_data
from bitsmith.loading.items import Chunk
from bitsmith.workflow import load

SHIPPED = Path(str(files("bitsmith") / "data"))
NET, DATA, TEST = (SHIPPED / name for name in ("digits.onnx", "digits-calibration.npz", "digits-test.npz"))
STEM = "/stem_norm/BatchNormalization_output_0"     # the value of the first layer


def samples(path: Path, network: ir.Model) -> Samples:
    return Samples(path.name, digest_of(path), open_data(path, network))


def make_studio(folder: Path, test: Samples | None = None, path: Path = NET) -> Studio:
    network = load(path)
    given = Given(path, network, samples(DATA, network), test or samples(TEST, network))
    return Studio(given, Folder(folder, fingerprint(network)))


def finish(studio: Studio) -> str:
    """Wait for the job; what became of it."""
    assert studio.work.wait(60)
    assert studio.work.job is None
    assert studio.work.notice is not None
    return studio.work.notice.text


@dataclass(frozen=True)
class Gate:
    """A source of samples that stops in the middle until it is opened."""

    data: Data
    reached: threading.Event
    opened: threading.Event

    def chunks(self, size: int, step: int) -> Iterator[Chunk]:
        for number, chunk in enumerate(self.data.source.chunks(size, step)):
            if number == 2:
                self.reached.set()
                assert self.opened.wait(60)
            yield chunk


def gated(given: Samples) -> tuple[Samples, Gate]:
    """The same samples behind a gate."""
    gate = Gate(given.data, threading.Event(), threading.Event())
    return replace(given, data=replace(given.data, source=gate)), gate


@dataclass(frozen=True)
class Answer:
    status: int
    text: str
    headers: dict[str, str]


@dataclass
class Client:
    """Asks a running server; sends the cookie once it has it."""

    port: int
    token: str
    cookie: str = ""

    def ask(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> Answer:
        """Just these headers, beside the cookie and what HTTP itself needs."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            given = {"Cookie": self.cookie} if self.cookie else {}
            connection.request(method, path, body, {**given, **(headers or {})})
            found = connection.getresponse()
            return Answer(found.status, found.read().decode(errors="replace"), {k.lower(): v for k, v in found.getheaders()})
        finally:
            connection.close()

    def get(self, path: str) -> Answer:
        return self.ask("GET", path)

    def post(self, path: str, **fields: str) -> Answer:
        return self.ask("POST", path, urlencode(fields), {"Content-Type": "application/x-www-form-urlencoded"})

    def enter(self) -> Answer:
        answer = self.get(f"/?token={self.token}")
        self.cookie = answer.headers["set-cookie"].partition(";")[0]
        return answer


@contextmanager
def served(studio: Studio) -> Iterator[Client]:
    """The studio's pages on a port of their own."""
    said: list[str] = []
    ready = threading.Event()

    def listen(address: str) -> None:
        said.append(address)
        ready.set()

    with open_socket(0) as listening:
        server = make_server(studio, listening.getsockname()[1], listen)
        thread = threading.Thread(target=server.run, args=([listening],))
        thread.start()
        try:
            assert ready.wait(30)
            address, _, token = said[0].partition("/?token=")
            yield Client(int(address.rpartition(":")[2]), token)
        finally:
            server.should_exit = True
            thread.join(30)
            studio.close(30)


def wait_for(condition: Any, seconds: float = 60) -> None:
    end = monotonic() + seconds
    while not condition():
        assert monotonic() < end
        sleep(0.02)
