"""`synaug export`: what a run made, as files."""

from pathlib import Path
from typing import Annotated

import typer

from synaug.cli import environment, files
from synaug_core.errors import UserError

__all__ = ["export"]


def export(
    ctx: typer.Context,
    run: Annotated[str, typer.Argument(help="Id of a run, or its first characters; a retraining brings all below it.")],
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A new or empty folder.")],
) -> None:
    """Write a run's images (PNG in class folders), models, predictions (CSV) and pages into a folder."""
    from synaug.cli.exporting import export_run

    settings = environment.prepare(ctx.obj)
    with files.filled_at_once(folder.absolute(), "DIR") as partial:
        if not export_run(settings, run, partial):
            raise UserError(f"the run {run} has no artifacts to write")
    typer.echo(f"written to {folder}")
