"""Child servers on loopback, started, waited for and stopped together; and their pages in the user's browser."""

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from synaug_core import errors, reachable

__all__ = ["Server", "free_port", "interrupted_by_signals", "open_pages", "start", "wait_for_any", "wait_until_ready"]

HOST = "127.0.0.1"
_PORTS_TRIED = 50
_SAY_EVERY = 15.0


@dataclass(frozen=True)
class Server:
    """A running server; its process leads a group of its own."""

    name: str
    url: str
    health: str
    log: Path
    process: subprocess.Popen[bytes]


def free_port(first: int) -> int:
    """The first free loopback port from `first` on.

    Raises:
        SynaugError: the next 50 ports are all taken.
    """
    for port in range(first, first + _PORTS_TRIED):
        with socket.socket() as probe:
            # As servers do: a port whose last connections are still closing counts as free.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                probe.bind((HOST, port))
                return port
    raise errors.SynaugError(f"no free port from {first} to {first + _PORTS_TRIED - 1}")


@contextlib.contextmanager
def start(
    name: str, command: Sequence[str], environment: Mapping[str, str], *, url: str, health: str, log: Path
) -> Iterator[Server]:
    """Run a server as long as the block; it ends with all the processes it started."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        process = subprocess.Popen(  # noqa: S603 - our own interpreter and arguments
            list(command),
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,  # Ctrl-C reaches this process alone, which then stops its children in order
        )
    try:
        yield Server(name, url, health, log, process)
    finally:
        _stop(process)


def _stop(process: subprocess.Popen[bytes]) -> None:
    for signal_number, patience in ((signal.SIGTERM, 8.0), (signal.SIGKILL, 5.0)):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal_number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(patience)
            break
    # Processes that the server itself left in its group.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


@contextlib.contextmanager
def interrupted_by_signals() -> Iterator[None]:
    """Let SIGINT and SIGTERM raise KeyboardInterrupt inside, also where the shell made this process ignore them."""

    def interrupt(_signal: int, _frame: object) -> None:
        raise KeyboardInterrupt

    previous_handlers = {number: signal.signal(number, interrupt) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in previous_handlers.items():
            signal.signal(number, handler)


def wait_until_ready(
    servers: Sequence[Server], timeout: float | None = 120.0, notify: Callable[[str], object] = lambda _: None
) -> None:
    """Wait until every server answers its health page.

    Args:
        servers: started already.
        timeout: seconds; None: as long as every server lives.
        notify: told every 15 seconds which server does not answer yet.

    Raises:
        SynaugError: one ended or did not answer in time; the line names its log.
    """
    start = said_at = time.monotonic()
    for server in servers:
        while not reachable.is_healthy(server.health, 2):
            if server.process.poll() is not None:
                raise errors.SynaugError(
                    f"{server.name} ended with code {server.process.returncode}; its log: {server.log}"
                )
            now = time.monotonic()
            if now - said_at >= _SAY_EVERY:
                said_at = now
                notify(f"{server.name} does not answer yet ({now - start:.0f} s); its log: {server.log}")
            if timeout is not None and now - start > timeout:
                raise errors.SynaugError(f"{server.name} did not answer within {timeout:.0f} s; its log: {server.log}")
            time.sleep(0.2)


def wait_for_any(servers: Sequence[Server]) -> Server:
    """Sleep until one of the servers ends; that one."""
    while True:
        for server in servers:
            if server.process.poll() is not None:
                return server
        time.sleep(0.5)


def open_pages(urls: Sequence[str]) -> None:
    """Open pages in a graphical browser; one that runs in the terminal would take it over."""
    import webbrowser

    try:
        browser = webbrowser.get()
    except webbrowser.Error:
        return
    if isinstance(browser, webbrowser.GenericBrowser) and not isinstance(browser, webbrowser.BackgroundBrowser):
        return
    for url in urls:
        browser.open(url)
