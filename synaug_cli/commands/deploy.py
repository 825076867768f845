"""`synaug deploy`: the retraining on a schedule, on a Prefect server."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from synaug_cli.commands.run import SetOption

__all__ = ["deploy"]


def deploy(
    ctx: typer.Context,
    source: Annotated[str, typer.Argument(help="As for `synaug run`: a YAML file, or just the images.")],
    cron: Annotated[str | None, typer.Option(help="When it runs, such as '0 3 * * 1'; default: by hand only.")] = None,
    timezone: Annotated[str, typer.Option(help="Time zone of the schedule.")] = "UTC",
    name: Annotated[str | None, typer.Option(help="Name of the deployment; default: the configuration's.")] = None,
    pool: Annotated[str, typer.Option(help="Work pool of type process; made where there is none.")] = "synaug",
    set_: SetOption = None,
) -> None:
    """Let the Prefect server at PREFECT_API_URL start retrainings; one at a time, run by a worker.

    Run again, it brings the deployment up to date.
    """
    from synaug_cli import environment
    from synaug_core.config.load import load
    from synaug_core.errors import UserError

    config = load(source, set_ or ())
    settings = environment.prepare(ctx.obj)
    if settings.prefect_api_url is None:
        raise UserError(
            "no Prefect server is configured; start one (`synaug ui`) and set PREFECT_API_URL, "
            "such as http://127.0.0.1:4200/api"
        )
    environment.require_answer(settings.prefect_api_url)
    environment.import_quietly(["mlflow", "flows.retrain"])
    from deployments.retrain import apply

    deployed = apply(
        config,
        cron=cron,
        timezone=timezone,
        name=name,
        work_pool=pool,
        working_dir=str(Path.cwd()),
        environment=environment.without_secrets(settings),
    )
    when = f"runs at '{cron}' ({timezone})" if cron else "runs when started by hand"
    typer.echo(f"{deployed} {when}, in the work pool {pool}")
    typer.echo(f"a worker has to run: prefect worker start --pool {pool}")
    typer.echo(f"start it now:        prefect deployment run {deployed}")
