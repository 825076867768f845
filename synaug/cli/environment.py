"""What is around a flow in this process: the home folder, environment variables, a Prefect server, progress, Ctrl-C.

The one place that sets environment variables, before prefect and mlflow are imported.
"""

import atexit
import contextlib
import importlib
import logging
import os
import signal
import threading
import time
import urllib.parse
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import typer
from rich.console import Console

from synaug.cli import failures
from synaug_core import errors, reachable
from synaug_core.services import places, secrets
from synaug_core.services.settings import Settings, apply_environment, child_environment, embedded_environment
from synaug_core.services.settings import settings as read_settings
from tasks.engine.progress_bus import Event, publish

__all__ = [
    "import_quietly",
    "open_home",
    "orchestrator",
    "prepare",
    "require_answer",
    "resumable",
    "shared_orchestrator",
    "stop_on_ctrl_c",
    "without_secrets",
]

_NOISY = ("prefect._internal", "prefect._internal.concurrency")  # they write to the terminal by themselves
_PATIENCE = 5.0  # seconds between Ctrl-C and the end of the process
_process_servers = contextlib.ExitStack()
atexit.register(_process_servers.close)
_process_homes: list[Path] = []


def prepare(session: failures.Session) -> Settings:
    """Prepare the home folder, open this call's log, and return the settings.

    Log lines of all libraries go to the log file: the terminal belongs to the command.

    Raises:
        UserError: the home folder cannot be written.
    """
    settings = _prepare_home()
    session.log = places.log(settings.home, f"{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}")
    handler = logging.FileHandler(session.log, delay=True, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.captureWarnings(True)
    logging.raiseExceptions = False  # a log line that finds the disk full is not shown as a traceback
    return settings


def open_home() -> Settings:
    """Prepare the home folder that this Python process works with, and return the settings.

    Raises:
        UserError: the folder cannot be written, or this process has worked with another one.
    """
    settings = _prepare_home()
    if _process_homes and settings.home not in _process_homes:
        raise errors.UserError(
            f"SYNAUG_HOME: this process works in {_process_homes[0]}; use another Python process for {settings.home}"
        )
    _process_homes[:] = [settings.home]
    return settings


def _prepare_home() -> Settings:
    """Make the home folder, set what the embedded default needs and the user has not set, and return the settings.

    Raises:
        UserError: the home folder cannot be written.
    """
    settings = read_settings()
    try:
        (settings.home / places.LOGS).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = (error.strerror or "unknown reason").lower()
        raise errors.UserError(
            f"the folder {settings.home} cannot be made ({reason}); set SYNAUG_HOME to another"
        ) from error
    apply_environment(settings)
    return settings


def import_quietly(modules: Sequence[str]) -> None:
    """Import libraries that bring their own console handlers, and send their log lines to the file instead."""
    for name in modules:
        importlib.import_module(name)
    for name in (*modules, *_NOISY):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True


@contextlib.contextmanager
def resumable(
    session: failures.Session, name: str, quiet: bool, expected_seconds: Mapping[str, float] | None = None
) -> Iterator[None]:
    """Run a flow inside that reuses its finished steps when it is run again.

    Args:
        session: of this call of the command.
        name: of the work, for the progress table.
        quiet: show no progress.
        expected_seconds: stage -> about how long it takes, where that was estimated.

    Raises:
        UserError: the home folder cannot be written, or no server answers at PREFECT_API_URL.
        typer.Exit: the user stopped it.
    """
    from synaug.cli import live

    settings = prepare(session)
    console = Console(stderr=True)
    with (
        stop_on_ctrl_c("stopping; run the same command again and it continues where it was", console),
        live.watch(name, console, quiet, expected_seconds),
        orchestrator(settings),
    ):
        yield


@contextlib.contextmanager
def stop_on_ctrl_c(message: str, console: Console | None = None) -> Iterator[None]:
    """Print `message` at the first Ctrl-C and end the block; end the process if that takes long, or at the second.

    Nothing is lost by ending at once: every finished step is stored, and long trainings store checkpoints.

    Raises:
        typer.Exit: the user stopped it.
    """
    is_stopping = False

    def leave() -> None:
        terminal = console or Console(stderr=True)
        terminal.show_cursor(True)
        terminal.print()
        os._exit(failures.FAILED)

    def stop(_signal: int, _frame: object) -> None:
        nonlocal is_stopping
        if is_stopping:
            leave()
        is_stopping = True
        failures.print_error(message)
        timer = threading.Timer(_PATIENCE, leave)
        timer.daemon = True
        timer.start()
        raise KeyboardInterrupt

    previous_handler = signal.signal(signal.SIGINT, stop)
    try:
        yield
    except KeyboardInterrupt:
        raise typer.Exit(failures.FAILED) from None
    finally:
        if not is_stopping:
            signal.signal(signal.SIGINT, previous_handler)


@contextlib.contextmanager
def orchestrator(settings: Settings) -> Iterator[None]:
    """A Prefect server for one flow that runs inside. Raises as `_prefect_server`."""
    with _prefect_server(settings), _brief_flows(settings):
        yield


@contextlib.contextmanager
def shared_orchestrator(settings: Settings) -> Iterator[None]:
    """A Prefect server for the flow that runs inside and all later ones of this process, with which it ends.

    Raises as `_prefect_server`.
    """
    _process_servers.enter_context(_prefect_server(settings))
    with _brief_flows(settings):
        yield


@contextlib.contextmanager
def _prefect_server(settings: Settings) -> Iterator[None]:
    """The Prefect server at PREFECT_API_URL, or one that ends with the block.

    Libraries are imported while the server starts.

    Raises:
        UserError: no server answers at PREFECT_API_URL.
    """
    from flows import embedded

    publish(Event("start", "libraries and servers"))
    with contextlib.ExitStack() as running:
        log = places.log(settings.home, "prefect-server")
        if settings.prefect_api_url is not None:
            require_answer(settings.prefect_api_url)
        else:
            server = running.enter_context(embedded.api_server(log, child_environment(settings)))
            os.environ.update(PREFECT_API_URL=server.url, SYNAUG_OWN_PREFECT="1")
            running.callback(_leave_server)
        embedded.reread_environment()
        import_quietly(["mlflow", "flows.retrain"])
        embedded.keep_terminal_quiet()
        if settings.prefect_api_url is None:
            embedded.wait_until_ready(server)
        publish(Event("start", "libraries and servers", state="done"))
        yield


def _brief_flows(settings: Settings) -> contextlib.AbstractContextManager[None]:
    """Spare flows what only a server needs that outlives this process."""
    from flows import embedded

    is_own = settings.prefect_api_url is None or settings.own_prefect
    return embedded.without_heartbeats() if is_own else contextlib.nullcontext()


def _leave_server() -> None:
    """Prefect sends its log lines in batches; the last ones go before the server does."""
    for handler in logging.getLogger("prefect.flow_runs").handlers:
        handler.flush()
    for name in ("PREFECT_API_URL", "SYNAUG_OWN_PREFECT"):
        os.environ.pop(name, None)


def require_answer(api_url: str) -> None:
    """Ask a Prefect server for its health before anything slow is done with it.

    Raises:
        UserError: no server answers there.
    """
    shown_url = secrets.redacted(api_url)
    if not api_url.startswith(("http://", "https://")):
        raise errors.UserError(f"PREFECT_API_URL: {shown_url!r} is not an address; expected http://HOST:PORT/api")
    parts = urllib.parse.urlsplit(api_url)
    health = parts._replace(netloc=parts.netloc.rpartition("@")[2], path=f"{parts.path.rstrip('/')}/health").geturl()
    if reachable.unreachable_reason(health, 10) is not None:
        raise errors.UserError(f"PREFECT_API_URL: no Prefect server answers at {shown_url}")


def without_secrets(settings: Settings) -> dict[str, str]:
    """The embedded default's variables for processes elsewhere, which may be stored and shown."""
    variables = embedded_environment(settings, {})
    return {name: value for name, value in variables.items() if secrets.redacted(value) == value}
