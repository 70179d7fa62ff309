"""Which address shows and does what. Forms in, parts of the page out; every mistake is one plain sentence."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from time import monotonic
from urllib.parse import parse_qs

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from bitsmith.app.choices import Choices
from bitsmith.app.guard import LARGEST_BODY
from bitsmith.app.pages import NEVER, Board, draw_attempt, draw_style, draw_tensor, read
from bitsmith.app.studio import MissingError, Studio
from bitsmith.app.work import BusyError
from bitsmith.errors import BitsmithError

Form = dict[str, list[str]]
LONGEST_WAIT = 15.0     # seconds until a browser is told that nothing changed
GLANCE = 0.1            # seconds between looks; so often at most is the page drawn
MOST_FIELDS = 64
LARGEST_NUMBER = 10**9
TYPES = {"app.js": "text/javascript", "page.js": "text/javascript", "icon.svg": "image/svg+xml"}
ICONS = ("/icon.svg", "/favicon.ico")
# A report is a page of its own, whose policy in the file names its one script; here it may not act in our name.
REPORT_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'; sandbox allow-scripts"


@dataclass(frozen=True)
class Desk:
    """Answers requests about one studio. `closing` says that the server wants to end."""

    studio: Studio
    board: Board
    closing: Callable[[], bool]

    async def page(self, request: Request) -> Response:
        return HTMLResponse(await run_in_threadpool(self.board.page))

    async def changes(self, request: Request) -> Response:
        """The parts that changed since the drawing that was seen; waits until there are some."""
        seen, end = number_of(request.query_params.get("seen", str(NEVER))), monotonic() + LONGEST_WAIT
        while seen == self.studio.revision and monotonic() < end and not self.closing():
            await asyncio.sleep(GLANCE)
        number, parts = await run_in_threadpool(self.board.changes, seen)
        return JSONResponse({"seen": number, "parts": parts})

    async def tensor(self, request: Request) -> Response:
        return HTMLResponse(await run_in_threadpool(draw_tensor, self.studio, request.query_params.get("name", "")))

    async def attempt(self, request: Request) -> Response:
        return HTMLResponse(await run_in_threadpool(draw_attempt, self.studio, number_in(request)))

    async def file(self, request: Request) -> Response:
        """A file of an attempt to keep, or its report to look at."""
        path = self.studio.file_of(number_in(request), request.path_params["kind"])
        if not path.is_file():
            raise MissingError(f"'{path}' is gone.")
        if "look" in request.query_params and path.suffix == ".html":
            return FileResponse(path, media_type="text/html; charset=utf-8", headers={"content-security-policy": REPORT_POLICY})
        return FileResponse(path, filename=path.name, media_type="application/octet-stream")

    async def calibrate(self, request: Request) -> Response:
        return await self.do(request, lambda form: self.studio.calibrate())

    async def validate(self, request: Request) -> Response:
        return await self.do(request, lambda form: self.studio.validate())

    async def cancel(self, request: Request) -> Response:
        return await self.do(request, lambda form: self.studio.work.cancel())

    async def format(self, request: Request) -> Response:
        """Another format for the weights or the results of one layer."""

        def choose(form: Form) -> None:
            role = field(form, "role")
            if role not in ("weights", "activations"):
                raise BadFormError(f"There is no role {role[:200]!r}; it is 'weights' or 'activations'.")
            self.studio.choose_format(field(form, "key"), "weights" if role == "weights" else "activations", field(form, "format"))

        return await self.do(request, choose)

    async def recipe(self, request: Request) -> Response:
        """Another recipe for the whole network; formats of single layers stay."""

        def choose(form: Form) -> None:
            recipe, target, ends = (field(form, name) for name in ("recipe", "target", "ends"))
            everything, refine = "everything" in form, tuple(form.get("refine", ()))
            self.studio.change(lambda now: Choices(recipe, target, ends, everything, refine, now.weights, now.activations))

        return await self.do(request, choose)

    async def forget(self, request: Request) -> Response:
        """All layers as the recipe says."""
        return await self.do(request, lambda form: self.studio.change(lambda now: replace(now, weights={}, activations={})))

    async def again(self, request: Request) -> Response:
        return await self.do(request, lambda form: self.studio.choose_again(number_in(request)))

    async def remove(self, request: Request) -> Response:
        return await self.do(request, lambda form: self.studio.remove(number_in(request)))

    async def export(self, request: Request) -> Response:
        return await self.do(request, lambda form: self.studio.export(number_in(request)))

    async def do(self, request: Request, act: Callable[[Form], object]) -> Response:
        """Read the form, do it, and say nothing: what changed is told with the next changes."""
        form = await read_form(request)
        await run_in_threadpool(act, form)
        return Response(status_code=204)


class BadFormError(BitsmithError):
    """A request that no page of ours sends."""


async def read_form(request: Request) -> Form:
    """The fields of a form. Raises HTTPException where it is none or too long."""
    if not request.headers.get("content-type", "application/x-www-form-urlencoded").startswith("application/x-www-form-urlencoded"):
        raise HTTPException(415, "Only forms are understood (application/x-www-form-urlencoded).")
    body = bytearray()
    try:
        async for part in request.stream():
            body += part
            if len(body) > LARGEST_BODY:
                raise HTTPException(413, "The form is too long.")
        return parse_qs(body.decode(), keep_blank_values=True, strict_parsing=bool(body), max_num_fields=MOST_FIELDS, errors="strict")
    except ClientDisconnect:
        raise HTTPException(400, "The form ended early.") from None
    except ValueError:
        raise HTTPException(400, "The form cannot be read.") from None


def field(form: Form, name: str) -> str:
    """A form's only value of this name. Raises BadFormError where there is none, or several."""
    values = form.get(name, [])
    if len(values) != 1:
        raise BadFormError(f"The form needs one '{name}' and has {len(values)}.")
    return values[0]


def number_of(text: str) -> int:
    """Raises HTTPException for anything but a whole number of reasonable size."""
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdecimal() and len(digits) <= len(str(LARGEST_NUMBER))):
        raise HTTPException(400, f"{text[:80]!r} is no number.")
    return int(text)


def number_in(request: Request) -> int:
    return number_of(request.path_params["number"])


def style(request: Request) -> Response:
    return Response(draw_style(), media_type="text/css")


def script(request: Request) -> Response:
    name = "icon.svg" if request.url.path in ICONS else request.url.path.removeprefix("/")
    return Response(read(name), media_type=TYPES[name])


def tell(request: Request, problem: Exception) -> Response:
    """A mistake as one sentence."""
    if isinstance(problem, HTTPException):
        return PlainTextResponse(f"{problem.detail}\n", problem.status_code, problem.headers)
    status = 404 if isinstance(problem, MissingError) else 409 if isinstance(problem, BusyError) else 422
    return PlainTextResponse(f"{problem}\n", status)


def make_app(studio: Studio, closing: Callable[[], bool] = lambda: False) -> Starlette:
    """The pages, without their guard."""
    desk = Desk(studio, Board(studio), closing)
    shown: dict[str, Callable[[Request], Awaitable[Response] | Response]] = {
        "/": desk.page, "/changes": desk.changes, "/tensor": desk.tensor, "/attempt/{number}": desk.attempt,
        "/attempt/{number}/{kind}": desk.file, "/app.css": style, **dict.fromkeys((*ICONS, *(f"/{name}" for name in TYPES)), script),
    }
    done = {
        "/calibrate": desk.calibrate, "/validate": desk.validate, "/cancel": desk.cancel, "/format": desk.format, "/recipe": desk.recipe,
        "/forget": desk.forget, "/again/{number}": desk.again, "/export/{number}": desk.export,
        "/remove/{number}": desk.remove,
    }
    routes = [*(Route(path, answer, methods=["GET"]) for path, answer in shown.items()),
              *(Route(path, answer, methods=["POST"]) for path, answer in done.items())]
    app = Starlette(routes=routes, exception_handlers={HTTPException: tell, BitsmithError: tell})
    app.router.redirect_slashes = False
    return app
