"""What is around a long flow in this process: a server, progress in the terminal, Ctrl-C that says how to go on."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from types import FrameType
from typing import TYPE_CHECKING

import typer

from synaug.cli import failures

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["resumable", "stop_on_ctrl_c"]

_PATIENCE = 5.0


@contextlib.contextmanager
def resumable(session: failures.Session, name: str, quiet: bool) -> Iterator[None]:
    """Run a flow inside that finds its finished steps again.

    Args:
        session: of this call of the command.
        name: of the work, for the progress table.
        quiet: show no progress.

    Raises:
        UserError: the home folder cannot be written, or no server answers at PREFECT_API_URL.
        typer.Exit: the user stopped it.
    """
    from rich.console import Console

    from synaug.cli import environment, live

    settings = environment.prepare(session)
    console = Console(stderr=True)
    try:
        with (
            stop_on_ctrl_c("stopping; run the same command again and it continues where it was", console),
            live.watch(name, console, quiet),
            environment.orchestrator(settings),
        ):
            yield
    except KeyboardInterrupt:
        raise typer.Exit(failures.FAILED) from None


@contextlib.contextmanager
def stop_on_ctrl_c(line: str, console: Console) -> Iterator[None]:
    """Say `line` at the first Ctrl-C and end the block; end the process if that takes long, or at the second.

    Nothing is lost by ending at once: every finished step is kept, and long trainings keep checkpoints.
    """
    is_asked = False

    def leave() -> None:
        console.show_cursor(True)
        console.print()
        os._exit(failures.FAILED)

    def end(_signal: int, _frame: FrameType | None) -> None:
        nonlocal is_asked
        if is_asked:
            leave()
        is_asked = True
        failures.print_error(line)
        timer = threading.Timer(_PATIENCE, leave)
        timer.daemon = True
        timer.start()
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, end)
    try:
        yield
    finally:
        if not is_asked:
            signal.signal(signal.SIGINT, before)
