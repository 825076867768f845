"""The page's server: loopback only, and only its own page may answer."""

import asyncio
import json
import logging
import secrets
import socket
import threading
from collections.abc import Callable
from typing import Any, Self
from urllib.parse import urlsplit

import uvicorn
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from synaug.cli.servers import HOST
from synaug.cli.turing.sitting import Sitting
from synaug_core.report.turing import rating_page
from synaug_core.serving.errors import RequestError

__all__ = ["TuringServer"]

_LONGEST_BODY = 4096
_LOOPBACK = {"127.0.0.1", "localhost", "::1"}
_BODY_SECONDS = 30.0  # until a request whose body does not come is given up
_GRACE_SECONDS = 5
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "Server": "synaug",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
_log = logging.getLogger(__name__)


class TuringServer:
    """Serves one sitting as long as it is entered, from a thread of its own.

    What a page of another site could do is refused: a request for another host than loopback (a name that was made
    to point here), a POST from another origin, one without the token that stands in the page alone, one that is not
    JSON.

    Args:
        sitting: the test.
        name: what is tested, shown on the page.
        port: 0 takes a free one.
        rater: filled in on the page, which then begins at once.

    Raises:
        OSError: the port is taken.
    """

    def __init__(self, sitting: Sitting, *, name: str, port: int = 0, rater: str = "") -> None:
        self.sitting, self.name, self.rater = sitting, name, rater
        self.token = secrets.token_urlsafe(24)
        self._listener = socket.create_server((HOST, port))
        self.address: tuple[str, int] = self._listener.getsockname()
        config = uvicorn.Config(
            self._serve,
            access_log=False,
            interface="asgi3",
            lifespan="off",
            log_config=None,
            proxy_headers=False,
            server_header=False,
            timeout_graceful_shutdown=_GRACE_SECONDS,
            ws="none",
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [self._listener]}, name="turing", daemon=True
        )

    @property
    def url(self) -> str:
        """Where the page is."""
        return f"http://{HOST}:{self.address[1]}/"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = True
        self._thread.join()
        self._listener.close()

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        try:
            self._check_host(request)
            response = await (self._get(request) if request.method == "GET" else self._post(request))
        except RequestError as refused:
            response = _json({"error": str(refused)}, refused.status)
        except OSError as error:
            _log.exception("an answer could not be stored")
            reason = (error.strerror or "unknown reason").lower()
            response = _json({"error": f"The answer could not be stored ({reason}). Please try again."}, 500)
        for name, value in _HEADERS.items():
            response.headers.setdefault(name, value)
        await response(scope, receive, send)

    async def _get(self, request: Request) -> Response:
        path = request.url.path
        if path == "/":
            return self._page()
        if path.startswith("/image/"):
            picture = await run_in_threadpool(self.sitting.picture, path.removeprefix("/image/"))
            return Response(picture, media_type="image/png")
        raise RequestError(404, "There is no such page.")

    def _page(self) -> Response:
        nonce = secrets.token_urlsafe(16)
        items = self.sitting.design.items
        page = rating_page(
            token=self.token,
            nonce=nonce,
            rater=self.rater,
            classes=len({item.class_name for item in items}),
            images=len(items),
            name=self.name,
        )
        policy = (
            f"default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; img-src 'self' data:; "
            "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        )
        return Response(page, media_type="text/html", headers={"Content-Security-Policy": policy})

    async def _post(self, request: Request) -> Response:
        if request.method != "POST":
            raise RequestError(501, "Only GET and POST are answered.")
        self._check_sender(request)
        body = await _read_body(request)
        calls: dict[str, tuple[Callable[..., dict[str, Any]], tuple[str, ...]]] = {
            "/start": (self.sitting.start, ("rater",)),
            "/answer": (self.sitting.answer, ("rater", "image", "synthetic", "seconds")),
            "/undo": (self.sitting.undo, ("rater", "image")),
        }
        if request.url.path not in calls:
            raise RequestError(404, "There is no such page.")
        act, keys = calls[request.url.path]
        return _json(await run_in_threadpool(act, *(body.get(key) for key in keys)))

    def _check_host(self, request: Request) -> None:
        """A name that an attacker made to point to this machine is not ours; tunnels come under any port."""
        try:
            host = urlsplit(f"//{request.headers.get('Host', '')}").hostname
        except ValueError:
            host = None
        if host not in _LOOPBACK:
            raise RequestError(421, "This server answers on this machine only.")

    def _check_sender(self, request: Request) -> None:
        origin = request.headers.get("Origin")
        if origin is not None and origin != f"http://{request.headers.get('Host')}":
            raise RequestError(403, "Another site may not answer.")
        token = request.headers.get("X-Synaug-Token", "")
        if not secrets.compare_digest(token.encode(), self.token.encode()):
            raise RequestError(403, "The server was started anew: reload this page.")
        if request.headers.get("Content-Type", "").partition(";")[0].strip().lower() != "application/json":
            raise RequestError(415, "JSON is expected.")


async def _read_body(request: Request) -> dict[str, Any]:
    length = request.headers.get("Content-Length", "")
    if not (length.isascii() and length.isdigit()):
        raise RequestError(411, "The length of the request is not known.")
    if len(length) > 9 or int(length) > _LONGEST_BODY:
        raise RequestError(413, "The request is too long.")
    try:
        async with asyncio.timeout(_BODY_SECONDS):
            body = json.loads(await request.body())
    except TimeoutError:
        raise RequestError(408, "The request did not come.") from None
    except (ValueError, RecursionError):
        body = None
    if not isinstance(body, dict):
        raise RequestError(400, "The request cannot be read.")
    return body


def _json(content: dict[str, Any], status: int = 200) -> Response:
    return Response(json.dumps(content), status, media_type="application/json")
