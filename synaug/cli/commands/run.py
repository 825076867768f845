"""`synaug run`: the whole job, with its progress, its result and where to look next."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from synaug.cli import failures, files
from synaug.cli.resumable import resumable
from synaug_core.data.sources import WHAT_TO_GIVE

if TYPE_CHECKING:
    from flows.outcome import ModelFacts, Outcome
    from synaug_core.config import Config

__all__ = ["JsonOption", "QuietOption", "SetOption", "registered_line", "retrain_and_report", "run"]

SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Set one key, such as tuning.trials=0; may be repeated."),
]
JsonOption = Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write the outcome to a JSON file.")]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress and no table, only the verdict.")]


def run(
    ctx: typer.Context,
    source: Annotated[str, typer.Argument(help=f"A YAML file, or just the images: {WHAT_TO_GIVE}.")],
    set_: SetOption = None,
    json_file: JsonOption = None,
    quiet: QuietOption = False,
) -> None:
    """Learn the classes, make images, train with and without them, compare, register.

    Run again unchanged, it finds everything done; stopped and run again, it continues.
    """
    from synaug_core.config.load import load

    retrain_and_report(ctx.obj, load(source, set_ or ()), json_file, quiet)


def retrain_and_report(session: failures.Session, config: Config, json_file: Path | None, quiet: bool) -> None:
    """Run the flow in this process and show its outcome.

    Raises:
        UserError: the configuration, its data or the place of the JSON file cannot be used.
        typer.Exit: the user stopped it.
    """
    from synaug_core.preflight import check_config

    files.check_place(json_file)
    check_config(config)
    with resumable(session, config.name, quiet):
        from flows.retrain import run_retrain

        outcome = run_retrain(config)
    files.write_json(outcome, json_file)
    _show(outcome, quiet)


def registered_line(model: ModelFacts, arm: str, gate: str | None) -> str:
    """Which model it is and what it is now; then what the gate said, which may be long ago.

    Args:
        model: the registered version.
        arm: what it was trained as.
        gate: the gate's reason.
    """
    now = {
        "champion": "is champion",
        "challenger": "is challenger",
        "previous": "was champion until another version followed",
        None: "has no alias any more: newer versions came",
    }[model.alias]
    return f"{model.name} version {model.version} (arm {arm}) {now}. The gate: {gate}"


def _show(outcome: Outcome, quiet: bool) -> None:
    from rich.console import Console
    from rich.markup import escape

    console = Console(highlight=False)
    if not quiet and outcome.comparison is not None:
        from synaug_core.report.terminal import table

        console.print(table(outcome.comparison, sentence=False))
    console.print(escape(outcome.sentence), soft_wrap=True)
    if quiet:
        return
    if outcome.model is not None:
        console.print(escape(registered_line(outcome.model, outcome.best_arm, outcome.promotion)), soft_wrap=True)
    for note in outcome.notes:
        console.print(f"Note: {escape(note)}", soft_wrap=True)
    if outcome.comparison_page:
        console.print(f"Report: {escape(outcome.comparison_page)}", soft_wrap=True)
    console.print(
        f"{outcome.steps} steps, {outcome.cached_steps} of them found from before. "
        f"`synaug ui` shows all runs, `synaug export {outcome.run_id} DIR` writes the images and models to a folder.",
        soft_wrap=True,
    )
