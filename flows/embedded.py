"""A Prefect API server that lives and dies with this process: the embedded default's orchestrator."""

import contextlib
import ctypes
import logging
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from synaug_core import errors, reachable
from synaug_core.services.writable import disk_full, require_writable, says_full

__all__ = [
    "ApiServer",
    "api_server",
    "keep_terminal_quiet",
    "reread_environment",
    "wait_until_ready",
    "without_heartbeats",
]

_PR_SET_PDEATHSIG = 1
_PATIENCE = 60.0
_ROOM = 4_000_000  # bytes; a new database and its log take this much


@dataclass(frozen=True)
class ApiServer:
    """A server that runs or is about to; `url` is its API's address."""

    url: str
    log: Path
    process: subprocess.Popen[bytes]
    starting: FileLock
    """Held until it is ready: two servers that both find an empty database would both make its tables."""
    before: int
    """Bytes in the log that are of earlier servers."""


def _die_with_parent() -> None:
    """Ask Linux to end the server when its parent dies, even by SIGKILL; elsewhere `atexit` has to do."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
    return port


@contextlib.contextmanager
def api_server(log: Path, environment: Mapping[str, str]) -> Iterator[ApiServer]:
    """Start a server on a free loopback port and give it at once; `wait_until_ready` before use.

    Prefect's own temporary server outlives a killed parent and keeps the database busy; this one does not.

    Raises:
        DiskFullError: its folder's disk has no room for a database.
        UserError: its folder cannot be written.
    """
    require_writable(log.parent, _ROOM)
    starting = FileLock(log.with_suffix(".lock"))
    with contextlib.suppress(Timeout):  # whoever holds it that long is not about to make tables
        starting.acquire(timeout=_PATIENCE)
    port = _free_port()
    command = [
        *(sys.executable, "-m", "uvicorn", "--factory", "prefect.server.api.server:create_app"),
        *("--host", "127.0.0.1", "--port", str(port), "--log-level", "error", "--lifespan", "on"),
    ]
    flags = {"PREFECT_UI_ENABLED": "0", "PREFECT__SERVER_EPHEMERAL": "1", "PREFECT__SERVER_FINAL": "1"}
    with log.open("ab") as output:
        before = output.tell()
        process = subprocess.Popen(  # noqa: S603 - our own interpreter and fixed arguments
            command,
            env={**environment, **flags},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,  # Ctrl-C reaches this process alone, which still has to say that it was stopped
            preexec_fn=_die_with_parent,
        )
    try:
        yield ApiServer(f"http://127.0.0.1:{port}/api", log, process, starting, before)
    finally:
        starting.release()
        process.terminate()
        try:
            process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def reread_environment() -> None:
    """Let Prefect read the environment again, where a user's own program imported it before a server's address was
    set there."""
    if "prefect" in sys.modules:
        from prefect.context import refresh_global_settings_context

        refresh_global_settings_context()


def keep_terminal_quiet() -> None:
    """Of Prefect's own lines let the terminal show warnings alone: what runs log stands on Prefect's pages."""
    from prefect.logging.handlers import PrefectConsoleHandler

    for logger in (logging.getLogger(), logging.getLogger("prefect")):
        for handler in logger.handlers:
            if isinstance(handler, PrefectConsoleHandler):
                handler.setLevel(max(handler.level, logging.WARNING))


def without_heartbeats() -> AbstractContextManager[Any]:
    """No signs of life to a server that ends with this process: each flow would wait a second for its last one."""
    from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings

    return temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None})


def wait_until_ready(server: ApiServer, timeout: float = 120.0) -> None:
    """Wait for the server's health page.

    Raises:
        SynaugError: the server ended, or did not answer in time.
        DiskFullError: it ended because its disk is full.
    """
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        if reachable.is_healthy(f"{server.url}/health", 2):
            server.starting.release()
            return
        if (code := server.process.poll()) is not None:
            if _found_disk_full(server):
                raise disk_full(server.log.parent)
            raise errors.SynaugError(f"the embedded Prefect server ended with code {code}; its log: {server.log}")
        time.sleep(0.1)
    raise errors.SynaugError(f"the embedded Prefect server did not start within {timeout:.0f} s; its log: {server.log}")


def _found_disk_full(server: ApiServer) -> bool:
    """Whether a server's last words tell of a full disk; on that disk the log itself may lack them."""
    require_writable(server.log.parent)
    return says_full(server.log.read_bytes()[server.before :].decode("utf-8", "replace"))
