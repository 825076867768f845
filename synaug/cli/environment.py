"""The one place that sets environment variables, before prefect and mlflow are imported."""

from __future__ import annotations

import contextlib
import importlib
import logging
import os
import sys
import time
import urllib.parse
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from synaug.cli.failures import Session
from tasks.engine.progress_bus import Event, publish

if TYPE_CHECKING:
    from synaug_core.services.settings import Settings

__all__ = [
    "brief_flows",
    "import_quietly",
    "orchestrator",
    "prefect_server",
    "prepare",
    "prepare_home",
    "require_answer",
    "without_secrets",
]

_NOISY = ("prefect._internal", "prefect._internal.concurrency")  # they write to the terminal by themselves


def prepare(session: Session) -> Settings:
    """Prepare the home folder, open this call's log, and give the settings.

    Log lines of all libraries go to the log file: the terminal belongs to the command.

    Raises:
        UserError: the home folder cannot be written.
    """
    current = prepare_home()
    session.log = current.home / "logs" / f"{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.log"
    handler = logging.FileHandler(session.log, delay=True, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.captureWarnings(True)
    logging.raiseExceptions = False  # a log line that finds the disk full is not shown as a traceback
    return current


def prepare_home() -> Settings:
    """Make the home folder, set what the embedded default needs and the user has not set, and give the settings.

    Raises:
        UserError: the home folder cannot be written.
    """
    from synaug_core.errors import UserError
    from synaug_core.services.settings import apply_environment, settings

    current = settings()
    try:
        (current.home / "logs").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = (error.strerror or "unknown reason").lower()
        raise UserError(f"the folder {current.home} cannot be made ({reason}); set SYNAUG_HOME to another") from error
    apply_environment(current)
    return current


def import_quietly(modules: Sequence[str]) -> None:
    """Import libraries that bring their own console handlers, and send their log lines to the file instead."""
    for name in modules:
        importlib.import_module(name)
    for name in (*modules, *_NOISY):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True


@contextlib.contextmanager
def orchestrator(settings: Settings) -> Iterator[None]:
    """A Prefect server for one flow that runs inside. Raises as `prefect_server`."""
    with prefect_server(settings), brief_flows(settings):
        yield


@contextlib.contextmanager
def prefect_server(settings: Settings) -> Iterator[None]:
    """The Prefect server at PREFECT_API_URL, or one that ends with the block.

    Libraries are imported while the server starts.

    Raises:
        UserError: no server answers at PREFECT_API_URL.
    """
    from flows.embedded import api_server, wait_until_ready
    from synaug_core.services.settings import child_environment

    publish(Event("start", "libraries and servers"))
    with contextlib.ExitStack() as running:
        log = settings.home / "logs" / "prefect-server.log"
        if settings.prefect_api_url is not None:
            require_answer(settings.prefect_api_url)
        else:
            server = running.enter_context(api_server(log, child_environment(settings)))
            os.environ.update(PREFECT_API_URL=server.url, SYNAUG_OWN_PREFECT="1")
            running.callback(_leave_server)
        if "prefect" in sys.modules:  # imported by the user's own program, it has read the variables as they were
            from prefect.context import refresh_global_settings_context

            refresh_global_settings_context()
        import_quietly(["mlflow", "flows.retrain"])
        if settings.prefect_api_url is None:
            wait_until_ready(server)
        publish(Event("start", "libraries and servers", state="done"))
        yield


def brief_flows(settings: Settings) -> AbstractContextManager[None]:
    """Spares flows what only a server needs that outlives this process."""
    from flows.embedded import without_heartbeats

    own = settings.prefect_api_url is None or settings.own_prefect
    return without_heartbeats() if own else contextlib.nullcontext()


def _leave_server() -> None:
    """Prefect sends its log lines in batches; the last ones go before the server does."""
    for handler in logging.getLogger("prefect.flow_runs").handlers:
        handler.flush()
    for name in ("PREFECT_API_URL", "SYNAUG_OWN_PREFECT"):
        os.environ.pop(name, None)


def require_answer(api_url: str) -> None:
    """Ask a Prefect server for its health before anything slow is done with it.

    Raises:
        UserError: nobody answers there.
    """
    from synaug_core import errors, reachable
    from synaug_core.services.secrets import redacted

    if not api_url.startswith(("http://", "https://")):
        raise errors.UserError(f"PREFECT_API_URL: {redacted(api_url)!r} is no address; expected http://HOST:PORT/api")
    parts = urllib.parse.urlsplit(api_url)
    health = parts._replace(netloc=parts.netloc.rpartition("@")[2], path=f"{parts.path.rstrip('/')}/health").geturl()
    if reachable.unreachable_reason(health, 10) is not None:
        raise errors.UserError(f"PREFECT_API_URL: no Prefect server answers at {redacted(api_url)}")


def without_secrets(settings: Settings) -> dict[str, str]:
    """The embedded default's variables for processes elsewhere, which may be stored and shown."""
    from synaug_core.services.secrets import redacted
    from synaug_core.services.settings import embedded_environment

    return {k: v for k, v in embedded_environment(settings, {}).items() if redacted(v) == v}
