"""Who answers at an address, against a real server of the tests' own."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from synaug_core.reachable import is_healthy, unreachable_reason


class _Pages(BaseHTTPRequestHandler):
    """/well, /absent, /moved (to /well), /lost (to nobody), /endless (a body that never comes)."""

    def do_GET(self) -> None:
        self.server.asked.append(self.command)  # type: ignore[attr-defined]
        status = {"/well": 200, "/endless": 200, "/absent": 404}.get(self.path, 302)
        self.send_response(status)
        if status == 302:
            self.send_header("Location", "/well" if self.path == "/moved" else "http://127.0.0.1:1/")
        self.send_header("Content-Length", "9" if self.path == "/endless" else "0")
        self.end_headers()
        if self.path == "/endless":
            self.wfile.flush()
            self.server.over.wait(30)  # type: ignore[attr-defined]

    def do_HEAD(self) -> None:
        self.do_GET()

    def log_message(self, *_: object) -> None:
        """Nothing to the terminal."""


@pytest.fixture
def server() -> Iterator[ThreadingHTTPServer]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Pages) as running:
        running.asked = []  # type: ignore[attr-defined]
        running.over = threading.Event()  # type: ignore[attr-defined]
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield running
        running.over.set()  # type: ignore[attr-defined]
        running.shutdown()


@pytest.fixture
def at(server: ThreadingHTTPServer) -> Callable[[str], str]:
    """The address of a page."""
    return lambda page: f"http://127.0.0.1:{server.server_port}/{page}"


def test_any_answer_is_an_answer(at: Callable[[str], str], server: ThreadingHTTPServer) -> None:
    assert [unreachable_reason(at(page), 5) for page in ("well", "absent", "moved")] == [None] * 3
    assert unreachable_reason(at("well"), 5, "HEAD") is None
    assert server.asked == ["GET", "GET", "GET", "GET", "HEAD"]  # type: ignore[attr-defined]
    assert [is_healthy(at(page), 5) for page in ("well", "absent", "moved")] == [True, False, False]


def test_nobody_waits_for_the_body(at: Callable[[str], str], server: ThreadingHTTPServer) -> None:
    assert unreachable_reason(at("endless"), 5) is None
    assert is_healthy(at("endless"), 5)


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:1/", "http://127.0.0.1:99999999/", "http://[::1/", "ftp://127.0.0.1/", "no address"]
)
def test_where_nobody_is_the_reason_is_given(url: str) -> None:
    assert unreachable_reason(url, 5)


def test_a_redirection_to_nobody_and_one_that_speaks_no_tls_are_nobody(at: Callable[[str], str]) -> None:
    assert unreachable_reason(at("lost"), 5)
    assert unreachable_reason(at("well").replace("http:", "https:"), 5)
    assert not is_healthy(at("well").replace("http:", "https:"), 5)


def test_who_accepts_and_says_nothing_is_nobody() -> None:
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as mute:
        url = f"http://127.0.0.1:{mute.getsockname()[1]}/"
        assert unreachable_reason(url, 0.2)
        assert not is_healthy(url, 0.2)


@pytest.mark.parametrize("proxy", ["http://127.0.0.1:1", "socks5://127.0.0.1:1", "nonsense://x"])
def test_servers_of_this_machine_are_asked_without_the_users_proxy(
    at: Callable[[str], str], monkeypatch: pytest.MonkeyPatch, proxy: str
) -> None:
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("ALL_PROXY", proxy)
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere")
    assert is_healthy(at("well"), 5)
    assert unreachable_reason(at("well"), 5)  # it would be asked by way of the proxy, and that is not there
