"""`synaug export`: what a run made, as files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["export"]


def export(
    ctx: typer.Context,
    run: Annotated[str, typer.Argument(help="Id of a run, or its first characters; a retraining brings all below it.")],
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A new or empty folder.")],
) -> None:
    """Write a run's images (PNG in class folders), models, predictions (CSV) and pages into a folder."""
    from synaug.cli import environment
    from synaug.cli.exporting import export_run
    from synaug.cli.files import filled_at_once
    from synaug_core.errors import UserError

    settings = environment.prepare(ctx.obj)
    with filled_at_once(folder.absolute(), "DIR") as partial:
        if not export_run(settings, run, partial):
            raise UserError(f"the run {run} has no artifacts to write")
    typer.echo(f"written to {folder}")
