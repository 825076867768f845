"""What is around a long flow in this process: a server, progress in the terminal, Ctrl-C that says how to go on."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import typer

from synaug.cli import failures
from synaug.cli.session import Session

__all__ = ["resumable"]


@contextlib.contextmanager
def resumable(session: Session, name: str, quiet: bool) -> Iterator[None]:
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
    from synaug.cli.interrupts import stop_on_ctrl_c

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
