"""MLflow's client, one for each address, ready for many threads and processes."""

from __future__ import annotations

import contextlib
import functools
import sqlite3
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from synaug_core.errors import UserError
from synaug_core.reachable import unreachable_reason
from synaug_core.refs import RunRef
from synaug_core.services.locks import exclusive
from synaug_core.services.secrets import redacted
from synaug_core.services.settings import Settings, settings
from synaug_core.services.writable import disk_full, is_disk_full, require_writable

__all__ = ["client", "client_of", "secret_free_uri"]

_PATIENCE = 15.0  # seconds until a server is taken to be absent


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
    is_current = run.tracking_uri == secret_free_uri(current)
    return _client(current.tracking_uri if is_current else run.tracking_uri, current.home)


def secret_free_uri(current: Settings) -> str:
    """The tracking address as it may be stored."""
    return redacted(current.tracking_uri)


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
        if is_disk_full(error):
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
    while (why := unreachable_reason(health, 5)) is not None:
        if time.monotonic() >= end:
            raise UserError(f"MLFLOW_TRACKING_URI: no server answers at {redacted(uri)} ({redacted(why)})")
        time.sleep(0.5)
