"""Stands before every page: only this machine, only this page, only who knows the token. Refuses in plain words."""

import secrets
from collections.abc import Awaitable, Callable, MutableMapping
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qs

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import HTMLResponse, PlainTextResponse, Response

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

ADDRESS = "127.0.0.1"
METHODS = ("GET", "HEAD", "POST")
LARGEST_BODY = 65536
POLICY = ("default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; "
          "base-uri 'none'; frame-ancestors 'none'")
HEADERS = {
    "content-security-policy": POLICY, "x-content-type-options": "nosniff", "referrer-policy": "same-origin", "cache-control": "no-store",
    "cross-origin-opener-policy": "same-origin", "cross-origin-resource-policy": "same-origin", "x-frame-options": "DENY",
}
# A page of our own leads on: a cookie that is bound to our site is not sent along where another site's link led here.
ENTRY = ('<!DOCTYPE html><html lang="en"><title>bitsmith</title><link rel="icon" href="/icon.svg">'
         '<meta http-equiv="refresh" content="0;url=/"><a href="/">Continue</a></html>')


class Guard:
    """token   in the printed address, then in a cookie
    port    that the server listens on
    """

    def __init__(self, app: Application, token: str, port: int) -> None:
        self.app, self.token = app, token
        self.hosts = {f"{name}:{port}".removesuffix(":80") for name in (ADDRESS, "localhost")}      # 80 goes without saying
        self.cookie = f"bitsmith_{port}"        # ports share cookies

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":             # nothing else is spoken here
            return
        answer = self.refuse(scope) or self.enter(scope) or self.ask_for_token(scope)
        await (self.app if answer is None else answer)(scope, receive, with_headers(send))

    def refuse(self, scope: Scope) -> Response | None:
        """For requests that no page of ours sends."""
        headers = Headers(scope=scope)
        if headers.getlist("host") not in ([host] for host in self.hosts):
            return told("This address is not served here.", 421)
        if "origin" in headers and headers.getlist("origin") not in ([f"http://{host}"] for host in self.hosts):
            return told("Other sites may not ask for anything here.", 403)
        if scope["method"] not in METHODS:
            return told("Only GET, HEAD and POST are understood.", 405)
        if headers.get("sec-fetch-site", "none") not in ("none", "same-origin") and not is_entry(scope):
            return told("Other sites may not ask for anything here.", 403)
        length = headers.get("content-length", "0")
        if not (length.isascii() and length.isdecimal()):
            return told("The length of the request is no number.", 400)
        return told("The request is too long.", 413) if int(length[:9]) > LARGEST_BODY else None

    def enter(self, scope: Scope) -> Response | None:
        """Whoever comes with the token gets the cookie."""
        if not is_entry(scope) or not self.is_right(parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[0]):
            return None
        answer = HTMLResponse(ENTRY)
        answer.set_cookie(self.cookie, self.token, httponly=True, samesite="strict", path="/")
        return answer

    def ask_for_token(self, scope: Scope) -> Response | None:
        try:
            cookies = SimpleCookie(Headers(scope=scope).get("cookie", ""))
        except CookieError:
            cookies = SimpleCookie()
        if self.cookie in cookies and self.is_right(cookies[self.cookie].value):
            return None
        return told("Open the address that `bitsmith app` printed when it started; it holds a key that this page needs.", 403)

    def is_right(self, token: str) -> bool:
        return secrets.compare_digest(token.encode(), self.token.encode())


def is_entry(scope: Scope) -> bool:
    return scope["method"] == "GET" and scope["path"] == "/" and b"token=" in scope["query_string"]


def told(message: str, status: int) -> Response:
    """A refusal in plain words."""
    return PlainTextResponse(message + "\n", status)


def with_headers(send: Send) -> Send:
    """Adds the headers that every answer has, unless it says otherwise."""

    async def send_on(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(raw=message.setdefault("headers", []))
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
        await send(message)

    return send_on
