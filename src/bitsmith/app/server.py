"""Opens the page to the user's browser: a socket on this machine alone, a token, and an orderly end."""

import errno
import os
import secrets
import socket
import webbrowser
from collections.abc import Callable
from pathlib import Path

import uvicorn

from bitsmith.app.guard import ADDRESS, Guard
from bitsmith.app.routes import make_app
from bitsmith.app.studio import Studio
from bitsmith.errors import BitsmithError

LAST_SECONDS = 5        # that a job is given to end
MOST_AT_ONCE = 64       # requests
LONGEST_HEADERS = 16384


class PageServer(uvicorn.Server):
    """Says where it is as soon as it listens."""

    def __init__(self, config: uvicorn.Config, listening: Callable[[], None]) -> None:
        super().__init__(config)
        self.listening = listening

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listening()


def make_server(studio: Studio, port: int, ready: Callable[[str], None]) -> PageServer:
    """The pages behind their guard; `ready` is told the address, token and all."""
    token = secrets.token_urlsafe(24)
    server: PageServer | None = None
    app = Guard(make_app(studio, lambda: server is not None and server.should_exit), token, port)
    config = uvicorn.Config(
        app, log_config=None, log_level="error", access_log=False, lifespan="off", ws="none", limit_concurrency=MOST_AT_ONCE,
        timeout_graceful_shutdown=1, server_header=False, h11_max_incomplete_event_size=LONGEST_HEADERS, http="h11", loop="asyncio",
    )
    server = PageServer(config, lambda: ready(f"http://{ADDRESS}:{port}/?token={token}"))
    return server


def serve(studio: Studio, listening: socket.socket, *, browser: bool, say: Callable[[str], None]) -> None:
    """Until Ctrl-C."""

    def ready(address: str) -> None:
        say(address)
        if browser:
            webbrowser.open(address)

    with listening:
        try:
            make_server(studio, listening.getsockname()[1], ready).run([listening])
        except KeyboardInterrupt:       # the way to end it
            pass
        finally:
            studio.close(LAST_SECONDS)


def open_socket(port: int) -> socket.socket:
    """On this machine alone; port 0 for any that is free. Raises BitsmithError where it is taken or not allowed."""
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    if os.name == "posix":      # elsewhere it would let two programs share a port
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((ADDRESS, port))
        listening.listen()
    except OSError as problem:
        listening.close()
        why = "another program uses it" if problem.errno == errno.EADDRINUSE else problem.strerror
        raise BitsmithError(f"Cannot listen on port {port}: {why}. Choose another with --port, or leave it out.") from problem
    return listening


def default_folder(network: Path) -> Path:
    """`net.bitsmith` beside `net.onnx`."""
    return network.with_suffix(".bitsmith")
