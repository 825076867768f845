"""`synaug watch`: do recent images still look like those that the model was judged on?"""

from typing import Annotated

import typer

from synaug.cli import environment, failures, files, resumable
from synaug.cli.commands.run import JsonOption, SetOption

__all__ = ["watch"]


def watch(
    ctx: typer.Context,
    source: Annotated[
        str, typer.Argument(help="The configuration that the model was made with, as `synaug run` takes it.")
    ],
    set_: SetOption = None,
    json_file: JsonOption = None,
) -> None:
    """Compare what the champion was asked of late (kept by `synaug serve`) with the images it was judged on.

    Says drift only past `watch.level`; records a run in MLflow, and starts `watch.deployment` where one is named.
    """
    from rich.console import Console
    from rich.markup import escape

    from synaug_core.config.load import load

    config = load(source, set_ or ())
    files.check_place(json_file)
    settings = environment.prepare(ctx.obj)
    console = Console(stderr=True)
    try:
        with resumable.stop_on_ctrl_c("stopping", console), environment.orchestrator(settings):
            environment.import_quietly(["flows.watch"])
            from flows.watch import run_watch

            outcome = run_watch(config)
    except KeyboardInterrupt:
        raise typer.Exit(failures.FAILED) from None
    files.write_json(outcome, json_file)
    output = Console(highlight=False)
    output.print(escape(f"{outcome.model} version {outcome.version}: {outcome.sentence}"), soft_wrap=True)
    if outcome.retraining:
        output.print(escape(outcome.retraining), soft_wrap=True)
    output.print(f"Run {outcome.run_id}; `synaug ui` shows it.", soft_wrap=True)
