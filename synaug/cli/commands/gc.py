"""`synaug gc`: what old retrainings take up, and its deletion."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich import filesize
from rich.console import Console
from rich.table import Table

from synaug.cli import environment
from synaug_core.services.retention.rule import Policy

if TYPE_CHECKING:
    from flows.cleaning import Cleaned, Cleaning

__all__ = ["gc"]


def gc(
    ctx: typer.Context,
    experiments: Annotated[
        list[str] | None, typer.Argument(metavar="[EXPERIMENT]...", help="Only these data sets' names; default: all.")
    ] = None,
    keep: Annotated[
        int, typer.Option("--keep", min=0, metavar="N", help="Keep the last N finished retrainings of each data set.")
    ] = 5,
    days: Annotated[
        float, typer.Option("--days", min=0, metavar="D", help="Keep everything that ended in the last D days.")
    ] = 30,
    yes: Annotated[bool, typer.Option("--yes", help="Delete; without it, only show what would be deleted.")] = False,
) -> None:
    """Delete old retrainings with their images and models, what is cached of them, and old files of this machine.

    What the champion, a registered version or a kept retraining needs stays. A retraining that was deleted is made
    anew when it is run again.
    """
    environment.prepare(ctx.obj)
    environment.import_quietly(["mlflow", "prefect"])
    from flows.cleaning import clean, plan_cleaning

    planned = plan_cleaning(Policy(keep, days), experiments or ())
    console = Console(highlight=False)
    for name, run in planned.plan.busy.items():
        typer.echo(f"{name} is left alone: the run {run} goes on; if it does not, end it in MLflow")
    if planned.is_empty:
        typer.echo("nothing to delete")
        return
    console.print(_table(planned))
    if not yes:
        typer.echo("nothing was deleted; `--yes` deletes it")
        return
    _print_outcome(clean(planned), planned)


def _print_outcome(done: Cleaned, planned: Cleaning) -> None:
    for name, run in done.busy.items():
        typer.echo(f"{name} was left alone: the run {run} began meanwhile; call again when it has ended")
    if done.held:
        typer.echo(f"{done.held} old files are in use and stay")
    if done.rows_stay:
        typer.echo(
            "the files are gone; the runs' rows stay hidden in the server's database until its administrator runs "
            "`mlflow gc` there"
        )
    freed = "" if done.busy or done.held else f", {_bytes(planned.size)} freed"
    typer.echo(f"{done.runs} runs deleted{freed}")


def _table(planned: Cleaning) -> Table:
    table = Table("would go", "retrainings", "runs", "images", "size")
    for column in table.columns[1:]:
        column.justify = "right"
    for name in sorted({run.experiment for run in planned.plan.gone}):
        table.add_row(name, *_row(planned, name))
    if planned.results:
        size = sum(result.size for result in planned.results)
        table.add_row(f"results of {len(planned.results)} steps", "", "", "", _bytes(size))
    for kind in dict.fromkeys(left.kind for left in planned.leftovers):
        of_kind = [left.size for left in planned.leftovers if left.kind == kind]
        table.add_row(f"{len(of_kind)} old {kind}", "", "", "", _bytes(sum(of_kind)))
    table.add_section()
    table.add_row("all", *_row(planned)[:-1], _bytes(planned.size))
    return table


def _row(planned: Cleaning, experiment: str | None = None) -> tuple[str, str, str, str]:
    """Retrainings, runs, images and size; of one experiment, or of all."""
    deleted_runs, thinned = (
        [run for run in runs if experiment in (None, run.experiment)]
        for runs in (planned.plan.gone, planned.plan.thinned)
    )
    whole = sum(run.stage == "retrain" for run in deleted_runs)
    retrainings = f"{whole}, {len(thinned)} in part" if thinned else str(whole)
    size = sum(planned.sizes[run.id] for run in deleted_runs)
    return retrainings, str(len(deleted_runs)), str(sum(run.images for run in deleted_runs)), _bytes(size)


def _bytes(size: int) -> str:
    return filesize.decimal(size)
