"""A proxy on loopback that cuts, corrupts, delays or refuses the answers it is told to."""

from __future__ import annotations

import contextlib
import http.client
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal
from urllib.parse import urlsplit

Kind = Literal["cut", "corrupt", "503", "slow", "drop", "lost", "short", "spoilt", "expired", "pass"]
"""What happens: half a body and the end; another bit in it; "busy"; 1.5 s late; the end before the request is passed
on, and after that; half a body that says it is whole; another bit in what is sent; "your token has
expired"; nothing."""
LISTING = "list-type"
_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length"}


@dataclass
class Fault:
    """What happens to the next `times` answers to requests that `to` accepts."""

    kind: Kind
    times: int
    to: Callable[[str, str], bool]
    then: Callable[[], None] | None = None
    """Called as it happens, before the request is passed on."""


@dataclass
class Faults:
    """The proxy's address, the faults still to come, and the requests it has seen."""

    endpoint: str = ""
    plan: list[Fault] = field(default_factory=list)
    seen: list[tuple[str, str]] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, kind: Kind, times: int = 1, to: str = "", method: str = "GET") -> None:
        """Break the next `times` answers to requests of this method for objects whose key has `to` in it; listings
        are those to `list-type`."""

        def hits(used: str, path: str) -> bool:
            return used == method and to in (path if to == LISTING else _key(path))

        self.plan.append(Fault(kind, times, hits))

    def reads(self, part: str = "") -> list[str]:
        """The paths of objects that were asked for."""
        return [p for m, p in self.seen if m == "GET" and part in p and LISTING not in p]

    def next_for(self, method: str, path: str) -> Kind | None:
        with self._lock:
            self.seen.append((method, path))
            for fault in self.plan:
                if fault.times > 0 and fault.to(method, path):
                    fault.times -= 1
                    break
            else:
                return None
        if fault.then is not None:
            fault.then()
        return fault.kind


def _key(path: str) -> str:
    return path.partition("?")[0]


@contextlib.contextmanager
def between(endpoint: str) -> Iterator[Faults]:
    """Stand between clients and the server at `endpoint`."""
    target, faults = urlsplit(endpoint).netloc, Faults()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

        def _pass_on(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            kind = faults.next_for(self.command, self.path)
            if kind == "drop":
                self.close_connection = True
                return
            if kind == "503":
                self._answer(503, [("Content-Type", "application/xml")], b"<Error><Code>SlowDown</Code></Error>")
                return
            if kind == "expired":
                refusal = b"<Error><Code>ExpiredToken</Code><Message>it has expired</Message></Error>"
                self._answer(403, [("Content-Type", "application/xml")], refusal)
                return
            if kind == "spoilt" and body:
                body = body[:-1] + bytes([body[-1] ^ 1])
            if kind == "slow":
                time.sleep(1.5)
            upstream = http.client.HTTPConnection(target, timeout=60)
            try:
                # The signature covers the address that the client knows.
                upstream.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
                for name, value in self.headers.items():
                    upstream.putheader(name, value)
                upstream.endheaders(body)
                answer = upstream.getresponse()
                data, headers = answer.read(), [(n, v) for n, v in answer.getheaders() if n.lower() not in _HOP]
            finally:
                upstream.close()
            if kind == "lost":
                self.close_connection = True
                return
            if self.command == "HEAD":
                headers.append(("Content-Length", answer.getheader("Content-Length", "0")))
                self._answer(answer.status, headers, b"", length=False)
            elif kind == "cut":
                self._answer(answer.status, headers, data, cut=True)
            elif kind == "corrupt":
                middle = len(data) // 2
                self._answer(answer.status, headers, data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :])
            elif kind == "short":
                self._answer(answer.status, headers, data[: len(data) // 2])
            else:
                self._answer(answer.status, headers, data)

        def _answer(
            self, status: int, headers: list[tuple[str, str]], data: bytes, *, cut: bool = False, length: bool = True
        ) -> None:
            self.send_response_only(status)
            for name, value in headers:
                self.send_header(name, value)
            if length:
                self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data[: len(data) // 2] if cut else data)
            self.wfile.flush()
            self.close_connection = self.close_connection or cut

        do_GET = do_PUT = do_POST = do_PATCH = do_DELETE = do_HEAD = _pass_on  # noqa: N815 - http.server's names

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: Any) -> None:
            """A client that hung up is no news."""

    with Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        faults.endpoint = f"http://127.0.0.1:{server.server_address[1]}"
        try:
            yield faults
        finally:
            server.shutdown()
            thread.join(5)
