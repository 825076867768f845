"""MLflow's client, one for each address, ready for many threads and processes."""

from __future__ import annotations

import contextlib
import functools
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ParamSpec, TypeVar
from urllib.parse import urlsplit, urlunsplit

from synaug_core.errors import SynaugError, UserError
from synaug_core.reachable import silence
from synaug_core.refs import RunRef
from synaug_core.services.locks import exclusive
from synaug_core.services.retry import pause
from synaug_core.services.secrets import redacted
from synaug_core.services.settings import Settings, settings
from synaug_core.services.writable import disk_full, require_writable, says_full

__all__ = ["client", "client_of", "every", "patiently", "secret_free_uri"]

P = ParamSpec("P")
R = TypeVar("R")

_PATIENCE = 15.0  # seconds until a server is taken to be absent
_OUTAGE = 30.0  # seconds that a database may take to come back
_PAUSE = 5.0
_A_PAGE = 1000
# Of databases, of connections, and of S3 where what arrived was not what was sent.
_PASSING = (
    "database is locked", "database is busy", "deadlock", "Connection reset", "Connection aborted", "Connection broken",
    "IncompleteRead", "server closed the connection", "connection is lost", "consuming input failed",
    "terminating connection", "the database system is", "failed: Connection refused", "BadDigest", "IncompleteBody",
    "XAmzContentSHA256Mismatch",
)  # fmt: skip
_EXHAUSTED = "Max retries exceeded"  # MLflow's client has been patient already


def client(current: Settings) -> Any:
    """An `MlflowClient` of the settings' address; the database is made where there is none.

    Raises:
        UserError: no server answers there, or the database cannot be opened.
        DiskFullError: there is no room for it.
    """
    return _client(current.tracking_uri, current.home)


def client_of(run: RunRef) -> Any:
    """The client that reaches a run: with the environment's credentials where the address is the same."""
    current = settings()
    known = run.tracking_uri == secret_free_uri(current)
    return _client(current.tracking_uri if known else run.tracking_uri, current.home)


def secret_free_uri(current: Settings) -> str:
    """The tracking address as it may be stored."""
    return redacted(current.tracking_uri)


def patiently(function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Call again, for half a minute, where a database was busy or away, a connection broke, or bytes arrived damaged.

    Raises:
        SynaugError: MLflow's server did not answer, or failed, as often as its client asked. Others as the function.
    """
    end, wait = time.monotonic() + _OUTAGE, 0.2
    while True:
        try:
            return function(*args, **kwargs)
        except Exception as error:
            text = str(error)
            if _EXHAUSTED in text and "/mlflow" in text:
                raise SynaugError(_about_server(text)) from error
            if time.monotonic() >= end or not any(sign in text for sign in _PASSING):
                raise
            pause(wait)
            wait = min(_PAUSE, 2 * wait)


def every(search: Callable[..., Any], *args: Any, **conditions: Any) -> Iterator[Any]:
    """What one of MLflow's searches finds, page after page, each asked for `patiently`. Raises as that."""
    token = None
    while True:
        page = patiently(search, *args, **conditions, max_results=_A_PAGE, page_token=token)
        yield from page
        token = page.token
        if not token:
            return


def _about_server(text: str) -> str:
    server = f"MLflow's server at {redacted(settings().tracking_uri)}"
    if "error responses" in text:
        return f"{server} fails: its log says why, and often it is its database or its store; then run this again"
    return f"{server} does not answer any more; start it or check MLFLOW_TRACKING_URI, then run this again"


@functools.cache
def _client(uri: str, home: Path) -> Any:
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    if uri.startswith(("http://", "https://")):
        _knock(uri)
        return MlflowClient(uri, registry_uri=uri)
    try:
        # Two processes that both find no tables would both make them.
        with exclusive(home / "locks" / "mlflow.lock"):
            _prepare(uri, home)
            opened = MlflowClient(uri, registry_uri=uri)
            opened.search_experiments(max_results=1)
    except (MlflowException, SQLAlchemyError, sqlite3.Error, OSError) as error:
        require_writable(home)
        if says_full(str(error)):
            raise disk_full(home) from error
        reason = redacted(str(error).strip().splitlines()[0])
        raise UserError(f"MLflow's database {redacted(uri)} cannot be opened: {reason}") from error
    return opened


def _prepare(uri: str, home: Path) -> None:
    """Give a new embedded database a write-ahead log: writes take a quarter of the time, and the UI reads meanwhile."""
    file = Path(uri.removeprefix("sqlite:///"))
    if uri.startswith("sqlite:///") and file.parent == home and not file.exists():
        with contextlib.closing(sqlite3.connect(file)) as database:
            database.execute("PRAGMA journal_mode=WAL")


def _knock(uri: str) -> None:
    """MLflow's own retries take minutes before they say that nobody is there."""
    parts = urlsplit(uri)
    health = urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], f"{parts.path.rstrip('/')}/health", "", ""))
    end = time.monotonic() + _PATIENCE
    while (why := silence(health, 5)) is not None:
        if time.monotonic() >= end:
            raise UserError(f"MLFLOW_TRACKING_URI: no server answers at {redacted(uri)} ({redacted(why)})")
        time.sleep(0.5)
