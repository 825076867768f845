"""`synaug run`, `synaug demo`, `synaug sweep`: retrainings in this process, their progress and their results."""

from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from synaug.cli import environment, failures, output
from synaug_core.config.effort import Effort, describe_effort
from synaug_core.data.sources import WHAT_TO_GIVE

if TYPE_CHECKING:
    from flows.outcome import ModelFacts, Outcome

__all__ = ["JsonOption", "QuietOption", "SetOption", "demo", "registered_line", "run", "sweep"]

SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Set one key, such as tuning.trials=0; may be repeated."),
]
JsonOption = Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write the outcome to a JSON file.")]
EffortOption = Annotated[
    Effort | None,
    typer.Option(
        "--effort",
        help="How much is done where the configuration says nothing: low answers in minutes, medium (the default) in "
        "up to half an hour, high takes hours (two CPU cores, some hundred images).",
    ),
]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="Show only the verdict: no progress, no table.")]


def run(
    ctx: typer.Context,
    source: Annotated[str, typer.Argument(help=f"A YAML file, or just the images: {WHAT_TO_GIVE}.")],
    set_: SetOption = None,
    effort: EffortOption = None,
    json_file: JsonOption = None,
    quiet: QuietOption = False,
) -> None:
    """Learn the classes, make synthetic images, train with and without them, compare, and register the best model.

    Run again unchanged, it reuses every result; stopped and run again, it continues.
    """
    settings = [*(set_ or ()), *([f"effort={effort}"] if effort else [])]
    _retrain_and_report(ctx.obj, source, settings, json_file, quiet)


def demo(ctx: typer.Context, set_: SetOption = None, json_file: JsonOption = None, quiet: QuietOption = False) -> None:
    """Run a whole retraining on handwritten digits, some of them made rare (a few minutes, no download)."""
    with resources.as_file(resources.files("synaug.cli") / "digits.yaml") as path:
        _retrain_and_report(ctx.obj, str(path), set_ or (), json_file, quiet)


def sweep(
    ctx: typer.Context,
    source: Annotated[
        str,
        typer.Argument(
            help="A YAML file with a section `sweep`, such as  sweep: {data.per_class: [5, 10, 20]}; "
            "or as for `synaug run`, with --set 'sweep={...}'."
        ),
    ],
    set_: SetOption = None,
    json_file: JsonOption = None,
    quiet: QuietOption = False,
) -> None:
    """Vary some keys, retrain for each combination, and compare them on one page.

    Stopped and run again, it continues; combinations share the steps they have in common.
    """
    from synaug_core import preflight
    from synaug_core.config.sweep import cells, load_sweep

    config = load_sweep(source, set_ or ())
    output.check_place(json_file)
    preflight.check_sweep(config)
    with environment.resumable(ctx.obj, cells(config)[0].config.name, quiet):
        from flows.sweep import run_sweep

        outcome = run_sweep(config)
    output.write_json(outcome, json_file)
    if not quiet:
        from synaug_core.report.terminal import recipe_table, sweep_table

        output.print_table(sweep_table(outcome.result))
        if (recipes := recipe_table(outcome.result)) is not None:
            output.print_table(recipes)
    output.print_lines(outcome.sentence, f"Report: {outcome.page}")
    if any(cell.verdict is None for cell in outcome.result.cells):
        raise typer.Exit(failures.FAILED)


def _retrain_and_report(
    session: failures.Session, source: str, overrides: Sequence[str], json_file: Path | None, quiet: bool
) -> None:
    """Run the flow in this process and show its outcome.

    Raises:
        UserError: the configuration, its data or the place of the JSON file cannot be used.
        typer.Exit: the user stopped it.
    """
    from synaug_core import preflight
    from synaug_core.config.load import load

    config = load(source, overrides)
    output.check_place(json_file)
    preflight.check_config(config)
    if not quiet:
        output.print_plan(describe_effort(config))
    with environment.resumable(session, config.name, quiet):
        from flows.retrain import run_retrain

        outcome = run_retrain(config)
    output.write_json(outcome, json_file)
    _show(outcome, quiet)


def registered_line(model: "ModelFacts", arm: str, gate: str | None) -> str:
    """A line on a registered version: which alias it has now, and why the gate decided as it did, maybe long ago.

    Args:
        model: the registered version.
        arm: the arm that it was trained as.
        gate: the gate's reason.
    """
    status = {
        "champion": "is champion",
        "challenger": "is challenger",
        "previous": "was champion until another version followed",
        None: "has no alias any more: newer versions have replaced it",
    }[model.alias]
    return f"{model.name} version {model.version} (arm {arm}) {status}. The gate: {gate}"


def _show(outcome: "Outcome", quiet: bool) -> None:
    if quiet:
        output.print_lines(outcome.sentence)
        return
    if outcome.comparison is not None:
        from synaug_core.report.terminal import table

        output.print_table(table(outcome.comparison, sentence=False))
    output.print_lines(outcome.sentence)
    if outcome.model is not None:
        output.print_lines(registered_line(outcome.model, outcome.model.arm or outcome.best_arm, outcome.promotion))
    output.print_lines(*(f"Note: {note}" for note in outcome.notes))
    if outcome.comparison_page:
        output.print_lines(f"Report: {outcome.comparison_page}")
    output.print_lines(
        f"{outcome.steps} steps, {outcome.cached_steps} of them reused from earlier runs. "
        f"`synaug ui` shows all runs, `synaug export {outcome.run_id} DIR` writes the images and models to a folder."
    )
