"""`synaug doctor` and `synaug gc`: whether this machine is ready, and what old retrainings take up and its deletion."""

from typing import TYPE_CHECKING, Annotated

import typer
from rich import filesize
from rich.console import Console
from rich.table import Table
from rich.text import Text

from synaug.cli import environment, failures, output
from synaug_core.services.retention.rule import Policy

if TYPE_CHECKING:
    from flows.cleaning import Cleaned, Cleaning

__all__ = ["doctor", "gc"]


def doctor(ctx: typer.Context) -> None:
    """Check this machine and its servers, and say how to mend each problem. The exit code is 1 if there is one."""
    from synaug.cli.checks import run_checks

    console = Console(highlight=False, soft_wrap=True)
    problems = 0
    for check in run_checks(environment.prepare(ctx.obj)):
        problems += not check.is_well
        mark = Text("OK       ", "green") if check.is_well else Text("PROBLEM  ", "red")
        console.print(mark + Text(f"{check.name:<10} {check.status}", "default"))
        if check.mend:
            console.print(f"{'':<20}{check.mend}", markup=False)
    if problems:
        raise typer.Exit(failures.FAILED)


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
    """Delete old retrainings with their images and models, their cached results, and old files of this machine.

    Whatever the champion, a registered version or a retained retraining needs stays. A deleted retraining is computed
    again when it is run again.
    """
    environment.prepare(ctx.obj)
    environment.import_quietly(["mlflow", "prefect"])
    from flows.cleaning import clean, plan_cleaning

    cleaning = plan_cleaning(Policy(keep, days), experiments or ())
    for name, run in cleaning.plan.busy.items():
        typer.echo(f"{name} is skipped: its run {run} is still running; if it is not, end it in MLflow")
    if cleaning.is_empty:
        typer.echo("nothing to delete")
        return
    output.print_table(_table(cleaning))
    if not yes:
        typer.echo("nothing was deleted; `--yes` deletes it")
        return
    _print_outcome(clean(cleaning), cleaning)


def _print_outcome(outcome: "Cleaned", cleaning: "Cleaning") -> None:
    for name, run in outcome.busy.items():
        typer.echo(f"{name} was skipped: its run {run} has begun meanwhile; call again when it has ended")
    if outcome.held:
        typer.echo(f"{outcome.held} old files are in use and were not deleted")
    if outcome.rows_stay:
        typer.echo(
            "the files are deleted; the runs' rows stay hidden in the server's database until its administrator runs "
            "`mlflow gc` there"
        )
    freed = "" if outcome.busy or outcome.held else f", {_bytes(cleaning.size)} freed"
    typer.echo(f"{outcome.runs} runs deleted{freed}")


def _table(cleaning: "Cleaning") -> Table:
    table = Table("to delete", "retrainings", "runs", "images", "size")
    for column in table.columns[1:]:
        column.justify = "right"
    for name in sorted({run.experiment for run in cleaning.plan.removed}):
        table.add_row(name, *_row(cleaning, name))
    if cleaning.results:
        size = sum(result.size for result in cleaning.results)
        table.add_row(f"results of {len(cleaning.results)} steps", "", "", "", _bytes(size))
    for kind in dict.fromkeys(leftover.kind for leftover in cleaning.leftovers):
        sizes = [leftover.size for leftover in cleaning.leftovers if leftover.kind == kind]
        table.add_row(f"{len(sizes)} old {kind}", "", "", "", _bytes(sum(sizes)))
    table.add_section()
    table.add_row("all", *_row(cleaning)[:-1], _bytes(cleaning.size))
    return table


def _row(cleaning: "Cleaning", experiment: str | None = None) -> tuple[str, str, str, str]:
    """Retrainings, runs, images and size; of one experiment, or of all."""
    deleted_runs, thinned_runs = (
        [run for run in runs if experiment in (None, run.experiment)]
        for runs in (cleaning.plan.removed, cleaning.plan.thinned)
    )
    count = sum(run.stage == "retrain" for run in deleted_runs)
    retrainings = f"{count}, {len(thinned_runs)} in part" if thinned_runs else str(count)
    size = sum(cleaning.sizes[run.id] for run in deleted_runs)
    return retrainings, str(len(deleted_runs)), str(sum(run.images for run in deleted_runs)), _bytes(size)


def _bytes(size: int) -> str:
    return filesize.decimal(size)
