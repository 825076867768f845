"""The command line: its commands, and what happens to their errors."""

import io
import os
import sys
import threading
from collections.abc import Sequence
from importlib import metadata
from typing import Annotated

import typer

from synaug.cli import failures
from synaug.cli.commands import deploy, export, models, run, serve, turing, ui, upkeep

__all__ = ["app", "execute", "run_app", "write_any_character"]

_INTERRUPTED = 130
_PATIENCE = 10.0  # seconds

app = typer.Typer(
    name="synaug",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Learn rare image classes, make the missing images, and show whether they helped.",
)


def _print_version(requested: bool) -> None:
    if requested:
        typer.echo(f"synaug {metadata.version('synaug')}")
        raise typer.Exit


@app.callback()
def options(
    ctx: typer.Context,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[
        bool, typer.Option("--version", help="Show the version.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Store the options that stand before the command."""
    ctx.obj.debug = debug


app.command("run")(run.run)
app.command("sweep")(run.sweep)
app.command("demo")(run.demo)
app.command("ui")(ui.ui)
app.command("report")(export.report)
app.command("export")(export.export)
app.command("predict")(models.predict)
app.command("serve")(serve.serve)
app.command("watch")(serve.watch)
app.command("turing")(turing.turing)
app.add_typer(models.app, name="models")
app.command("deploy")(deploy.deploy)
app.command("gc")(upkeep.gc)
app.command("doctor")(upkeep.doctor)


def execute(arguments: Sequence[str]) -> int:
    """Run one command line and give its exit code: 0 done, 2 the user's input is at fault, 3 (where asked for) the new
    model is worse than the champion, 1 anything else."""
    session = failures.Session()
    try:
        app(args=list(arguments), prog_name="synaug", obj=session)
    except SystemExit as end:
        if end.code == _INTERRUPTED:
            failures.print_error("stopped")
            return failures.FAILED
        return end.code if isinstance(end.code, int) else failures.FAILED if end.code else 0
    except Exception as error:
        return failures.report(error, session)
    return 0


def write_any_character() -> None:
    """Let terminals and files that take ASCII or Latin-1 alone have escapes in place of other characters."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def run_app() -> None:
    """Entry point of the command `synaug`."""
    write_any_character()
    code = execute(sys.argv[1:])
    if code:
        # The error is on stderr already. Prefect's client may still try for minutes to deliver its events.
        ending = threading.Timer(_PATIENCE, os._exit, (code,))
        ending.daemon = True
        ending.start()
    sys.exit(code)
