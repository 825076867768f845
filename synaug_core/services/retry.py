"""Calls that are tried again: which failures pass of themselves, for how long, with which pauses between."""

import http.client
import random
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ParamSpec, TypeVar

from synaug_core.errors import SynaugError, causes
from synaug_core.services.secrets import redacted
from synaug_core.services.settings import settings

__all__ = ["every_result", "patiently", "pause", "repeatedly"]

P = ParamSpec("P")
R = TypeVar("R")

_OUTAGE = 30.0  # seconds that a database may take to come back
_LONGEST_PAUSE = 5.0
_PAGE_LENGTH = 1000
_SQLITE_HELD = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
_SQLITE_PRIMARY = 0xFF  # extended codes have more bits
# Classes and codes of SQLSTATE: connections, serialization, deadlocks, a server that stops or starts.
_SQLSTATES = ("08", "40001", "40P01", "57P01", "57P02", "57P03")
_MYSQL_CODES = (1205, 1213, 2006, 2013)  # waited too long for a lock, a deadlock, a connection that was lost
_S3_DAMAGED = ("BadDigest", "IncompleteBody", "XAmzContentSHA256Mismatch")  # what arrived was not what was sent


def pause(seconds: float) -> None:
    """Sleep for half of that up to all of it: those who failed together do not ask again together."""
    time.sleep(random.uniform(0.5, 1.0) * seconds)  # noqa: S311 - keeps nothing secret


def repeatedly(function: Callable[[], R], errors: tuple[type[BaseException], ...], tries: int) -> R:
    """Call up to `tries` times, with growing pauses, until none of the errors is raised. Raises the last one's."""
    for attempt in range(tries - 1):
        try:
            return function()
        except errors:
            pause(0.3 * 3**attempt)
    return function()


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
            if (line := _explain_server(error)) is not None:
                raise SynaugError(line) from error
            if time.monotonic() >= end or not any(_passes(cause) for cause in causes(error)):
                raise
        pause(wait)
        wait = min(_LONGEST_PAUSE, 2 * wait)


def every_result(search: Callable[..., Any], *args: Any, **conditions: Any) -> Iterator[Any]:
    """The results of one of MLflow's searches, page after page, each asked for `patiently`. Raises as that."""
    token = None
    while True:
        page = patiently(search, *args, **conditions, max_results=_PAGE_LENGTH, page_token=token)
        yield from page
        token = page.token
        if not token:
            return


def _passes(error: BaseException) -> bool:
    """Whether the same call may well succeed a moment later."""
    import psycopg
    from botocore.exceptions import IncompleteReadError, ResponseStreamingError
    from sqlalchemy.exc import OperationalError
    from urllib3.exceptions import ProtocolError

    if isinstance(error, sqlite3.Error):
        return getattr(error, "sqlite_errorcode", 0) & _SQLITE_PRIMARY in _SQLITE_HELD
    if isinstance(error, psycopg.Error):  # without a code where the server could not be reached or went away
        lost = error.sqlstate is None and isinstance(error, psycopg.OperationalError)
        return lost or (error.sqlstate or "").startswith(_SQLSTATES)
    if isinstance(error, OperationalError):
        return next(iter(getattr(error.orig, "args", ())), None) in _MYSQL_CODES
    if isinstance(response := getattr(error, "response", None), Mapping):  # botocore's ClientError
        return response.get("Error", {}).get("Code") in _S3_DAMAGED
    broken = (http.client.IncompleteRead, ProtocolError, IncompleteReadError, ResponseStreamingError)
    return isinstance(error, (ConnectionResetError, ConnectionAbortedError, BrokenPipeError, *broken))


def _explain_server(error: Exception) -> str | None:
    """What it means that MLflow's client, which is patient itself, gave up; None where it did not."""
    from urllib3.exceptions import MaxRetryError, ResponseError

    given_up = (cause for cause in causes(error) if isinstance(cause, MaxRetryError) and "/mlflow" in (cause.url or ""))
    if (exhausted := next(given_up, None)) is None:
        return None
    server = f"MLflow's server at {redacted(settings().tracking_uri)}"
    if isinstance(exhausted.reason, ResponseError):
        return f"{server} fails: its log says why, and often it is its database or its store; then run this again"
    return f"{server} does not answer any more; start it or check MLFLOW_TRACKING_URI, then run this again"
