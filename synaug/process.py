"""What this Python process works with: one home folder, and one Prefect server that lives as long as the process."""

import atexit
import contextlib
from collections.abc import Iterator
from pathlib import Path

from synaug.cli import environment, failures
from synaug_core.errors import UserError
from synaug_core.services.settings import Settings

__all__ = ["open_home", "orchestrator", "plain_errors"]

_servers = contextlib.ExitStack()
atexit.register(_servers.close)
_homes: list[Path] = []


def open_home() -> Settings:
    """The settings of this process, with the home folder made and what the embedded default needs set.

    Raises:
        UserError: the folder cannot be written, or this process has worked in another one.
    """
    current = environment.prepare_home()
    if _homes and current.home not in _homes:
        raise UserError(
            f"SYNAUG_HOME: this process works in {_homes[0]}; use another Python process for {current.home}"
        )
    _homes[:] = [current.home]
    return current


@contextlib.contextmanager
def orchestrator(current: Settings) -> Iterator[None]:
    """A Prefect server for the flow that runs inside; started at first use, it serves all further ones too.

    Raises:
        UserError: no server answers at PREFECT_API_URL.
    """
    _servers.enter_context(environment.prefect_server(current))
    with environment.brief_flows(current):
        yield


@contextlib.contextmanager
def plain_errors() -> Iterator[None]:
    """Raise the user's error itself where it is behind an error of a library."""
    try:
        yield
    except Exception as error:
        user_error = failures.find_user_error(error)
        if user_error is None or user_error is error:
            raise
        raise user_error from error
