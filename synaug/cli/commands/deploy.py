"""`synaug deploy`: retrainings on a Prefect server, on a schedule or when their images change."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from synaug.cli import environment
from synaug.cli.commands.run import SetOption
from synaug_core import errors, vocabulary
from synaug_core.services import secrets
from synaug_core.services.settings import Settings, child_environment

if TYPE_CHECKING:
    from deployments.apply import Applied
    from synaug_core.config import Config, sweep

__all__ = ["deploy"]

_FOLDERS = ("SYNAUG_HOME", "PREFECT_HOME", "PREFECT_LOCAL_STORAGE_PATH")


def deploy(
    ctx: typer.Context,
    sources: Annotated[list[str], typer.Argument(help="As for `synaug run`: YAML files, or just the images.")],
    cron: Annotated[str | None, typer.Option(help="When to retrain, such as '0 3 * * 1'; default: by hand.")] = None,
    check_cron: Annotated[
        str | None,
        typer.Option(help="When to check the images for changes, and retrain if there are any; default: by hand."),
    ] = None,
    sweep_cron: Annotated[str | None, typer.Option(help="When to repeat the sweep; default: by hand.")] = None,
    timezone: Annotated[str, typer.Option(help="Time zone of the schedules.")] = "UTC",
    busy: Annotated[
        vocabulary.Busy,
        typer.Option(help="Whether a run is cancelled or waits while another one of its data set is running."),
    ] = "cancel",
    name: Annotated[str | None, typer.Option(help="Name of the deployments; default: the configuration's.")] = None,
    pool: Annotated[str, typer.Option(help="Work pool; created if it does not exist.")] = "synaug",
    pool_type: Annotated[vocabulary.PoolKind, typer.Option(help="What the pool starts for each run.")] = "process",
    renew_pool: Annotated[
        bool, typer.Option("--renew-pool", help="Give an existing pool synaug's template again.")
    ] = False,
    image: Annotated[str | None, typer.Option(help="Image of the runs, for docker and kubernetes.")] = None,
    notify: Annotated[
        str, typer.Option(metavar="TYPE/NAME", help="Notification block on the server that reports failed runs.")
    ] = "",
    set_: SetOption = None,
) -> None:
    """Let the Prefect server at PREFECT_API_URL retrain, sweep, promote and roll back; a worker runs it.

    Run again, it brings the server up to date, and leaves alone what has not changed.
    """
    if name is not None and len(sources) > 1:
        raise errors.UserError("--name: give one SOURCE at a time, or leave the names to the configurations")
    configs = [_load(source, set_ or ()) for source in sources]
    _check_names([config.name for config, _ in configs])
    settings = environment.prepare(ctx.obj)
    if settings.prefect_api_url is None:
        raise errors.UserError(
            "no Prefect server is configured; start one (`synaug ui`) and set PREFECT_API_URL, "
            "such as http://127.0.0.1:4200/api"
        )
    variables = _job_variables(settings, pool_type, image)
    environment.require_answer(settings.prefect_api_url)
    environment.import_quietly(["mlflow", "flows.retrain"])
    from deployments import apply, entry_points, plan

    options = plan.Options(
        cron=cron,
        check_cron=check_cron,
        sweep_cron=sweep_cron,
        timezone=timezone,
        busy=busy,
        name=name,
        pool=pool,
        job_variables=variables,
        notify=notify,
    )
    if pool_type == "process":
        entry_points.check_entry_points(child_environment(settings, **variables["env"]))
    deployments = apply.apply(configs, options, pool_kind=pool_type, renew_pool=renew_pool)
    for deployment in deployments:
        typer.echo(_line(deployment, timezone))
    typer.echo(f"a worker has to run: prefect worker start --pool {pool}")
    typer.echo(
        f"and, where it has a limit, one for reports: prefect worker start --pool {pool} --work-queue {plan.QUEUE}"
    )
    retraining = next(deployment.name for deployment in deployments if deployment.name.startswith("retrain/"))
    typer.echo(f"start it now:        prefect deployment run {retraining}")


def _load(source: str, overrides: Sequence[str]) -> "tuple[Config, sweep.SweepConfig | None]":
    """The configuration, and its sweep where the file has a section `sweep`."""
    from synaug_core.config import load
    from synaug_core.config.sweep import load_sweep

    values = load.starting_values(source)
    if values.pop("sweep", None) is None:
        return load.load(source, overrides), None
    for text in overrides:
        load.override(values, text)
    return load.checked(values), load_sweep(source, overrides)


def _check_names(names: Sequence[str]) -> None:
    if repeated_names := sorted({name for name in names if names.count(name) > 1}):
        raise errors.UserError(
            f"two configurations are named {repeated_names[0]!r}; each data set needs a name of its own"
        )


def _job_variables(settings: Settings, pool: vocabulary.PoolKind, image: str | None) -> dict[str, Any]:
    """Variables for the runs. A process starts in a folder of its own: in this one, a folder `flows` or a file
    `tasks.py` would be loaded in place of synaug's. Containers share neither this machine's folders nor its databases.
    """
    if pool == "process":
        if image is not None:
            raise errors.UserError("--image: runs of a process pool have none; give --pool-type docker or kubernetes")
        variables = environment.without_secrets(settings)
        if not settings.has_local_tracking:  # the servers are shared; folders are each worker's own
            variables = {name: value for name, value in variables.items() if name not in _FOLDERS}
        return {"env": variables}
    if settings.has_local_tracking:
        raise errors.UserError(
            f"--pool-type {pool}: its runs cannot reach {secrets.redacted(settings.tracking_uri)}; "
            "set MLFLOW_TRACKING_URI to an MLflow server"
        )
    tracking_uri = secrets.redacted(settings.tracking_uri)
    variables = {} if tracking_uri != settings.tracking_uri else {"MLFLOW_TRACKING_URI": tracking_uri}
    return {"env": variables, **({} if image is None else {"image": image})}


def _line(deployment: "Applied", timezone: str) -> str:
    schedule = f", runs at '{deployment.cron}' ({timezone})" if deployment.cron else ""
    return f"{deployment.change:<10}{deployment.kind} {deployment.name}{schedule}"
