"""`synaug report`: what a retraining found, as plain text."""

from pathlib import Path
from typing import Annotated

import typer

from synaug.cli import environment, files, stored
from synaug_core.errors import UserError

__all__ = ["report"]


def report(
    ctx: typer.Context,
    run: Annotated[str, typer.Argument(help="Id of a retraining, or its first characters.")],
    page: Annotated[
        Path | None, typer.Option("--page", metavar="FILE", help="Write the HTML page to this file instead.")
    ] = None,
) -> None:
    """Print the report of a retraining, or write its page to a file."""
    from synaug_core.services.mlflow.clients import client

    files.check_place(page, "--page")
    settings = environment.prepare(ctx.obj)
    mlflow = client(settings)
    target_run = stored.find_run(mlflow, run)
    comparison = next(stored.below(mlflow, target_run, "comparison"), None)
    if comparison is None:
        raise UserError(f"{run} has no comparison: give the id of a retraining that is done")
    with stored.artifact(settings, mlflow, comparison, "comparison.txt" if page is None else "comparison.html") as file:
        if page is None:
            typer.echo(file.read_text(encoding="utf-8"))
            return
        files.write_whole(file.read_text(encoding="utf-8"), page)
    typer.echo(f"written to {page}")
