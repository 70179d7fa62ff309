"""Drives Debian's Chromium without a driver: JSON messages over two pipes (the DevTools protocol, --remote-debugging-pipe)."""

import base64
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic, sleep
from typing import Any

FOUND = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
OPTIONS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--remote-debugging-pipe",
           "--disable-background-networking", "--no-first-run", "--hide-scrollbars")


@dataclass
class Page:
    """One tab at a time: that of `session`. `events` holds everything the browser told, in order, of all tabs."""

    incoming: Any
    outgoing: Any
    session: str = ""
    count: int = 0
    waiting: bytes = b""
    events: list[dict[str, Any]] = field(default_factory=list)

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        self.count += 1
        message = {"id": self.count, "method": method, "params": parameters} | ({"sessionId": self.session} if self.session else {})
        os.write(self.outgoing, json.dumps(message).encode() + b"\0")
        while (answer := self.read()).get("id") != self.count:
            self.events.append(answer)
        assert "error" not in answer, answer
        found: dict[str, Any] = answer["result"]
        return found

    def read(self) -> dict[str, Any]:
        while b"\0" not in self.waiting:
            part = os.read(self.incoming, 1 << 20)
            assert part, "Chromium has ended"
            self.waiting += part
        message, self.waiting = self.waiting.split(b"\0", 1)
        found: dict[str, Any] = json.loads(message)
        return found

    def open(self, place: Path | str) -> str:
        """A file or an address in a new tab; which one."""
        self.session = ""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for part in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{part}.enable")
        self.go(place if isinstance(place, str) else place.as_uri())
        return self.session

    def go(self, address: str) -> None:
        """Load a page in this tab."""
        before = len(self.events)
        self.call("Page.navigate", url=address)
        while not any(e.get("method") == "Page.loadEventFired" for e in self.events[before:]):
            self.events.append(self.read())

    def run(self, script: str) -> Any:
        """The value of an expression."""
        found = self.call("Runtime.evaluate", expression=script, returnByValue=True, userGesture=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def wait(self, expression: str, seconds: float = 60) -> None:
        """Until an expression is true; in pages that are on their way it is not."""
        end = monotonic() + seconds
        while not self.run(f"(() => {{ try {{ return Boolean({expression}); }} catch {{ return false; }} }})()"):
            assert monotonic() < end, f"{expression} is not true: {self.run('document.body.innerText')}"
            sleep(0.05)

    def show(self, width: int, height: int, scheme: str) -> None:
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600)
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def picture(self, path: Path) -> None:
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"]))

    def complaints(self) -> list[str]:
        """Errors of the console, exceptions, and what the page's policy refused."""
        kinds = {"Runtime.exceptionThrown", "Log.entryAdded"}
        said = [e for e in self.events if e.get("method") in kinds or
                (e.get("method") == "Runtime.consoleAPICalled" and e["params"]["type"] in ("error", "warning"))]
        return [json.dumps(e["params"]) for e in said]

    def requests(self) -> list[str]:
        return [e["params"]["request"]["url"] for e in self.events if e.get("method") == "Network.requestWillBeSent"]


@contextmanager
def opened(place: Path | str) -> Iterator[Page]:
    """A page in a browser of its own, which is ended afterwards."""
    assert FOUND is not None
    (read_commands, commands), (answers, write_answers) = os.pipe(), os.pipe()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:      # its children may write a moment longer
        # The browser reads from 3 and writes to 4; a shell puts them there, whatever numbers the pipes have.
        script = f'exec {{commands}}<&{read_commands} {{answers}}>&{write_answers}; exec 3<&$commands 4>&$answers; exec "$0" "$@"'
        command = ["bash", "-c", script, FOUND, *OPTIONS, f"--user-data-dir={profile}"]
        browser = subprocess.Popen(command, pass_fds=(read_commands, write_answers), stderr=subprocess.DEVNULL)
        os.close(read_commands)
        os.close(write_answers)
        try:
            page = Page(answers, commands)
            page.open(place)
            yield page
        finally:
            browser.terminate()
            browser.wait(10)
            os.close(commands)
            os.close(answers)
