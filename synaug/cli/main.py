"""The command line: its commands, and what happens to their errors."""

import io
import os
import sys
import threading
from collections.abc import Callable, Sequence
from importlib import metadata
from typing import Annotated

import typer

from synaug.cli import failures, output
from synaug.cli.commands import config, deploy, export, init, models, run, serve, turing, ui, upkeep

__all__ = ["app", "execute", "run_app", "write_any_character"]

_INTERRUPTED = 130
_PATIENCE = 10.0  # seconds

app = typer.Typer(
    name="synaug",
    no_args_is_help=True,
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


_COMMANDS: tuple[tuple[str, Callable[..., None], tuple[str, ...]], ...] = (
    ("init", init.init, ("synaug init path/to/images", "synaug init scans.npz --set data.small_classes=drop")),
    (
        "run",
        run.run,
        (
            "synaug run path/to/images",
            "synaug run path/to/images --effort low --json outcome.json",
            "synaug run my.yaml --dry-run",
            "synaug run s3://bucket/prefix --set repetitions=10 --set data.image_size=64",
        ),
    ),
    ("sweep", run.sweep, ("synaug sweep my.yaml", "synaug sweep images --set 'sweep={data.per_class: [5, 10, 20]}'")),
    ("config", config.config, ("synaug config data.small_classes", "synaug config tuning", "synaug config | less")),
    ("demo", run.demo, ("synaug demo", "synaug demo --set repetitions=2 --json outcome.json")),
    ("ui", ui.ui, ("synaug ui", "synaug ui --no-browser --mlflow-port 5100")),
    (
        "report",
        export.report,
        ("synaug report 3f2a91", "synaug report 3f2a91 --page comparison.html", "synaug report 3f2a91 --markdown"),
    ),
    ("export", export.export, ("synaug export 3f2a91 results/", "synaug export 3f2a91 model/ --format onnx")),
    (
        "predict",
        models.predict,
        ("synaug predict synaug-digits a.png b.png", "synaug predict synaug-digits scans/*.png"),
    ),
    ("serve", serve.serve, ("synaug serve synaug-digits", "synaug serve synaug-digits@challenger --port 0")),
    ("watch", serve.watch, ("synaug watch my.yaml",)),
    ("turing", turing.turing, ("synaug turing 3f2a91 --images 40 --rater Ada", "synaug turing 3f2a91 --result")),
    ("deploy", deploy.deploy, ("synaug deploy my.yaml --cron '0 3 * * 1'", "synaug deploy my.yaml --pool gpu")),
    ("gc", upkeep.gc, ("synaug gc", "synaug gc --keep 3 --days 14 --yes")),
    ("doctor", upkeep.doctor, ("synaug doctor",)),
)
"""Each command with its name, and examples of its use for its help."""
for _name, _command, _examples in _COMMANDS:
    app.command(_name, epilog=output.examples(*_examples))(_command)
app.add_typer(models.app, name="models")


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
