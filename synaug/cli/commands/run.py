"""`synaug run`, `synaug demo`, `synaug sweep`: retrainings in this process, their progress and their results."""

from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from synaug.cli import environment, failures, output
from synaug_core.config.effort import Effort
from synaug_core.data.sources import WHAT_TO_GIVE

if TYPE_CHECKING:
    from flows.outcome import ModelFacts, Outcome
    from synaug_core.config import Config

__all__ = [
    *("EffortOption", "JsonOption", "QuietOption", "SetOption"),
    *("demo", "registered_line", "run", "sweep", "with_effort_option"),
]

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
WorseOption = Annotated[
    bool, typer.Option("--fail-if-worse", help="End with exit code 3 when the new model is worse than the champion.")
]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="Show only the verdict: no progress, no table.")]


def run(
    ctx: typer.Context,
    source: Annotated[str, typer.Argument(help=f"A YAML file, or just the images: {WHAT_TO_GIVE}.")],
    set_: SetOption = None,
    effort: EffortOption = None,
    json_file: JsonOption = None,
    quiet: QuietOption = False,
    fail_if_worse: WorseOption = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only look at the images and say what would be done; start nothing.")
    ] = False,
) -> None:
    """Learn the classes, make synthetic images, train with and without them, compare, and register the best model.

    Run again unchanged, it reuses every result; stopped and run again, it continues.
    """
    settings = with_effort_option(set_, effort)
    if dry_run:
        _say_what_would_be_done(source, settings, json_file)
        return
    outcome = _retrain_and_report(ctx.obj, source, settings, json_file, quiet)
    if fail_if_worse and outcome.worse_than_champion:
        raise typer.Exit(failures.WORSE)


def with_effort_option(set_: Sequence[str] | None, effort: Effort | None) -> list[str]:
    """What `--set` and `--effort` together override."""
    return [*(set_ or ()), *([f"effort={effort}"] if effort else [])]


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
    combinations = cells(config)
    first = combinations[0].config
    if not quiet:
        output.print_plan([f"{len(combinations)} retrainings; of the first one:", *_look_at(first)])
    preflight.check_sweep(config)
    with environment.resumable(ctx.obj, first.name, quiet):
        from flows.sweep import run_sweep

        outcome = run_sweep(config)
    output.write_json(outcome, json_file)
    if not quiet:
        from synaug_core.report.terminal import recipe_table, sweep_table

        output.print_table(sweep_table(outcome.result))
        if (recipes := recipe_table(outcome.result)) is not None:
            output.print_table(recipes)
    output.print_sentences(outcome.sentence)
    output.print_lines(f"Report: {_address(outcome.page)}")
    if any(cell.verdict is None for cell in outcome.result.cells):
        raise typer.Exit(failures.FAILED)


def _look_at(config: "Config") -> list[str]:
    """What is known before a retraining of a sweep; where it will be refused, why: the others go on."""
    from synaug.cli.preview import preview
    from synaug_core.errors import DataError

    try:
        return preview(config).lines()
    except DataError as error:
        return [f"refused: {error}"]


def _retrain_and_report(
    session: failures.Session, source: str, overrides: Sequence[str], json_file: Path | None, quiet: bool
) -> "Outcome":
    """Run the flow in this process, show its outcome and give it.

    Raises:
        UserError: the configuration, its data or the place of the JSON file cannot be used.
        typer.Exit: the user stopped it.
    """
    from synaug.cli.preview import preview
    from synaug_core import preflight
    from synaug_core.config.load import load

    config = load(source, overrides)
    output.check_place(json_file)
    view = preview(config)
    if not quiet:
        output.print_plan(view.lines())
    preflight.check_config(config)
    with environment.resumable(session, config.name, quiet, view.expected_seconds):
        from flows.retrain import run_retrain

        outcome = run_retrain(config)
    output.write_json(outcome, json_file)
    _show(outcome, quiet)
    return outcome


def _say_what_would_be_done(source: str, overrides: Sequence[str], json_file: Path | None) -> None:
    """Refuse what a run would refuse, and say what it would do. Raises as `_retrain_and_report`."""
    from synaug.cli.preview import preview
    from synaug_core import preflight
    from synaug_core.config.load import load

    config = load(source, overrides)
    output.check_place(json_file)
    output.print_sentences(*preview(config).lines())
    preflight.check_config(config)
    output.print_lines("Nothing was started; the same command without --dry-run does it.")


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
    """The table and what has to be known of it, then the answer: what a reader looks for stands last."""
    if quiet:
        output.print_lines(outcome.sentence)
        return
    if outcome.comparison is not None:
        from synaug_core.report.terminal import table

        output.print_table(table(outcome.comparison, sentence=False))
    output.print_sentences(*(f"Note: {note}" for note in outcome.notes))
    output.print_sentences(
        f"{outcome.steps} steps, {outcome.cached_steps} of them reused from earlier runs. "
        f"`synaug ui` shows all runs, `synaug export {outcome.run_id} DIR` writes the images and models to a folder.",
        "",
        outcome.sentence,
        outcome.rarest_class,
        *([outcome.passed] if outcome.passed else []),
    )
    if outcome.model is not None:
        output.print_sentences(registered_line(outcome.model, outcome.model.arm or outcome.best_arm, outcome.promotion))
    _print_compare_page(outcome.tracking_uri, outcome.compare_page)
    output.print_sentences("What to do now:", *(f"- {sentence}" for sentence in outcome.advice))
    if outcome.comparison_page:
        output.print_lines(f"Report: {_address(outcome.comparison_page)}")


def _print_compare_page(tracking_uri: str, page: str) -> None:
    """Say where MLflow shows the arms side by side."""
    from synaug_core.services.mlflow import links

    first = "" if tracking_uri.startswith(("http://", "https://")) else " (after `synaug ui`)"
    output.print_lines(f"The arms side by side{first}: {links.at_server(tracking_uri, page)}")


def _address(place: str) -> str:
    """What a terminal opens on a click: a file's address for a path, an address as it is."""
    return Path(place).as_uri() if Path(place).is_absolute() else place
