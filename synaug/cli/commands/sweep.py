"""`synaug sweep`: one retraining for each combination of some keys' values, and one page for all."""

from typing import Annotated

import typer

from synaug.cli import failures, files
from synaug.cli.commands.run import JsonOption, QuietOption, SetOption
from synaug.cli.resumable import resumable

__all__ = ["sweep"]


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

    Stopped and run again, it continues; combinations share what they have in common.
    """
    from rich.console import Console
    from rich.markup import escape

    from synaug_core.config.sweep import cells, load_sweep
    from synaug_core.preflight import check_sweep

    config = load_sweep(source, set_ or ())
    files.check_place(json_file)
    check_sweep(config)
    with resumable(ctx.obj, cells(config)[0].config.name, quiet):
        from flows.sweep import run_sweep

        outcome = run_sweep(config)
    files.write_json(outcome, json_file)
    console = Console(highlight=False)
    if not quiet:
        from synaug_core.report.terminal import sweep_table

        console.print(sweep_table(outcome.result))
    console.print(escape(outcome.sentence), soft_wrap=True)
    console.print(f"Report: {escape(outcome.page)}", soft_wrap=True)
    if any(cell.verdict is None for cell in outcome.result.cells):
        raise typer.Exit(failures.FAILED)
