"""What stands before every page of the service: who may ask, what every answer carries, and no traceback."""

import hashlib
import hmac
import logging
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse, Response

from synaug_core.services.secrets import first_line
from synaug_core.serving import errors, options
from synaug_core.serving.metrics import Metrics

__all__ = ["FAILED", "Guard", "may_ask", "refusal"]

_OPEN = ("/", "/health")
"""Pages without a token: the first holds no secret, the second says to strangers no more than whether it is ready."""
FAILED = "the service failed on this request; its log says more"
_PATHS = (*_OPEN, "/predict", "/metrics", "/version", "/openapi.json")
_HEADERS = {
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}
_log = logging.getLogger(__name__)


def may_ask(headers: Mapping[str, str], token: str | None) -> bool:
    """Whether a request carries the token; compared in constant time, whatever its length."""
    if token is None:
        return True
    kind, _, given = headers.get("authorization", "").partition(" ")
    digests = [hashlib.sha256(text.encode("utf-8", "replace")).digest() for text in (given.strip(), token)]
    return hmac.compare_digest(*digests) and kind.lower() == "bearer"


class Guard:
    """An ASGI application around another one.

    Without a token only loopback names are answered to, and no page of another site may send images: a browser on
    this machine could be made to.

    Args:
        app: what it guards.
        token: what requests must carry as `Authorization: Bearer`, or None.
        metrics: counts what passes.
    """

    def __init__(self, app: Any, *, token: str | None, metrics: Metrics) -> None:
        self._app, self._token, self._metrics = app, token, metrics

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return  # no websockets here
        start, path = time.monotonic(), scope["path"]
        status = 500
        started = False

        async def passed(message: Any) -> None:
            nonlocal status, started
            if message["type"] == "http.response.start":
                status, started = message["status"], True
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        try:
            self._check(scope)
            await self._app(scope, receive, passed)
        except errors.RequestError as refused:
            await refusal(refused)(scope, receive, passed)
        except Exception as error:  # the last resort: one line for the client, the rest for the log
            _log.exception("a request failed: %s", first_line(error))
            if not started:
                await refusal(errors.RequestError(500, FAILED))(scope, receive, passed)
        finally:
            self._metrics.request(path if path in _PATHS else "other", status, time.monotonic() - start)

    def _check(self, scope: Any) -> None:
        headers = Headers(scope=scope)
        if self._token is None:
            if not _names_loopback(headers.get("host", "")):
                raise errors.RequestError(421, "this service answers on this machine only")
            origin, only_reads = headers.get("origin"), scope["method"] in ("GET", "HEAD")
            if origin is not None and origin != f"http://{headers.get('host')}" and not only_reads:
                raise errors.RequestError(403, "pages of other sites may not use this service")
        elif scope["path"] not in _OPEN and not may_ask(headers, self._token):
            raise errors.RequestError(401, "a valid token is needed: Authorization: Bearer TOKEN")


def _names_loopback(host: str) -> bool:
    try:
        return options.is_loopback(urlsplit(f"//{host}").hostname or "")
    except ValueError:
        return False


def refusal(refused: errors.RequestError) -> Response:
    """A refusal as an answer: JSON with one line."""
    headers = {401: {"www-authenticate": "Bearer"}, 503: {"retry-after": "5"}}.get(refused.status)
    return JSONResponse({"error": str(refused)}, refused.status, headers)
