"""The page's server: loopback only, and only its own page may answer."""

from __future__ import annotations

import http.server
import json
import logging
import secrets
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

from synaug.cli.servers import HOST
from synaug.cli.turing.sitting import Sitting
from synaug_core.report.turing import rating_page
from synaug_core.serving.errors import RequestError

__all__ = ["TuringServer"]

_LONGEST_BODY = 4096
_LOOPBACK = {"127.0.0.1", "localhost", "::1"}
_SILENCE = 30.0  # seconds until a connection that says nothing is given up
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
_log = logging.getLogger(__name__)


class TuringServer(http.server.ThreadingHTTPServer):
    """Serves one sitting, a thread for each request.

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

    daemon_threads = True

    def __init__(self, sitting: Sitting, *, name: str, port: int = 0, rater: str = "") -> None:
        super().__init__((HOST, port), _Handler)
        self.sitting, self.name, self.rater = sitting, name, rater
        self.token = secrets.token_urlsafe(24)

    @property
    def url(self) -> str:
        """Where the page is."""
        return f"http://{HOST}:{self.server_address[1]}/"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that closes a connection is no news; what else went wrong goes to the log."""
        _log.warning("a request of %s failed", client_address, exc_info=True)


class _Handler(http.server.BaseHTTPRequestHandler):
    server: TuringServer
    server_version, sys_version = "synaug", ""
    timeout = _SILENCE

    def do_GET(self) -> None:
        self._answer(self._page)

    def do_POST(self) -> None:
        self._answer(self._taken)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class names it
        _log.debug(format, *args)

    def _answer(self, what: Any) -> None:
        headers: dict[str, str] = {}
        try:
            self._check_host()
            kind, body, headers = what()
            status = 200
        except RequestError as refused:
            status, kind, body = refused.status, "application/json", json.dumps({"error": str(refused)}).encode()
        except OSError as error:
            _log.exception("an answer could not be stored")
            line = f"The answer could not be stored ({(error.strerror or 'unknown reason').lower()}). Please try again."
            status, kind, body = 500, "application/json", json.dumps({"error": line}).encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        for name, value in (_HEADERS | headers).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def _page(self) -> tuple[str, bytes, dict[str, str]]:
        path = urlsplit(self.path).path
        if path == "/":
            nonce = secrets.token_urlsafe(16)
            items = self.server.sitting.design.items
            text = rating_page(
                token=self.server.token,
                nonce=nonce,
                rater=self.server.rater,
                classes=len({item.class_name for item in items}),
                images=len(items),
                name=self.server.name,
            )
            policy = (
                f"default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; img-src 'self' data:; "
                "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
            )
            return "text/html; charset=utf-8", text.encode(), {"Content-Security-Policy": policy}
        if path.startswith("/image/"):
            return "image/png", self.server.sitting.picture(path.removeprefix("/image/")), {}
        raise RequestError(404, "There is no such page.")

    def _taken(self) -> tuple[str, bytes, dict[str, str]]:
        self._check_sender()
        given, sitting = self._body(), self.server.sitting
        path = urlsplit(self.path).path
        if path == "/start":
            state = sitting.start(given.get("rater"))
        elif path == "/answer":
            state = sitting.answer(*(given.get(k) for k in ("rater", "image", "synthetic", "seconds")))
        elif path == "/undo":
            state = sitting.undo(given.get("rater"), given.get("image"))
        else:
            raise RequestError(404, "There is no such page.")
        return "application/json", json.dumps(state).encode(), {}

    def _check_host(self) -> None:
        """A name that an attacker made to point to this machine is not ours; tunnels come under any port."""
        try:
            host = urlsplit(f"//{self.headers.get('Host', '')}").hostname
        except ValueError:
            host = None
        if host not in _LOOPBACK:
            raise RequestError(421, "This server answers on this machine only.")

    def _check_sender(self) -> None:
        origin = self.headers.get("Origin")
        if origin is not None and origin != f"http://{self.headers.get('Host')}":
            raise RequestError(403, "Another site may not answer.")
        given = self.headers.get("X-Synaug-Token", "")
        if not secrets.compare_digest(given.encode(), self.server.token.encode()):
            raise RequestError(403, "The server was started anew: reload this page.")
        if self.headers.get_content_type() != "application/json":
            raise RequestError(415, "JSON is expected.")

    def _body(self) -> dict[str, Any]:
        length = self.headers.get("Content-Length", "")
        if not (length.isascii() and length.isdigit()):
            raise RequestError(411, "The length of the request is not known.")
        if len(length) > 9 or int(length) > _LONGEST_BODY:
            raise RequestError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "The request is too long.")
        try:
            given = json.loads(self.rfile.read(int(length)))
        except (ValueError, RecursionError):
            given = None
        if not isinstance(given, dict):
            raise RequestError(400, "The request cannot be read.")
        return given
