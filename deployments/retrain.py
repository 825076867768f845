"""The retraining as a Prefect deployment: when it runs, where, and never twice at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.objects import ConcurrencyLimitConfig, ConcurrencyLimitStrategy
from prefect.client.schemas.schedules import CronSchedule
from prefect.deployments.runner import RunnerDeployment
from prefect.exceptions import ObjectAlreadyExists, ObjectNotFound
from prefect.types.entrypoint import EntrypointType

from flows.retrain import retrain
from synaug_core.config import Config
from synaug_core.errors import ConfigError, UserError

__all__ = ["WORK_POOL", "apply"]

WORK_POOL = "synaug"
_ONE_AT_A_TIME = ConcurrencyLimitConfig(limit=1, collision_strategy=ConcurrencyLimitStrategy.CANCEL_NEW)


def apply(
    config: Config,
    *,
    cron: str | None = None,
    timezone: str = "UTC",
    name: str | None = None,
    work_pool: str = WORK_POOL,
    working_dir: str | None = None,
    environment: Mapping[str, str] | None = None,
) -> str:
    """Create the deployment on the server at PREFECT_API_URL, or bring it up to date; done twice, it is done once.

    A run that would begin while another one goes on is cancelled.

    Args:
        config: what each run is given, unless the run is started with other parameters.
        cron: five fields; None: runs start by hand only.
        timezone: of the schedule, such as Europe/Berlin.
        name: of the deployment; default: the configuration's name.
        work_pool: of type process; made where there is none.
        working_dir: folder that runs start in; default: a temporary one.
        environment: variables of the runs, none of them secret.

    Returns:
        `retrain/<name>`.

    Raises:
        ConfigError: the schedule or the time zone cannot be used.
        UserError: the work pool exists and runs something else than local processes.
    """
    schedule = _schedule(cron, timezone)
    variables: dict[str, Any] = {"env": dict(environment or {})}
    if working_dir is not None:
        variables["working_dir"] = working_dir
    deployment = RunnerDeployment.from_flow(
        retrain,
        name=name or config.name,
        parameters={"config": config.model_dump(mode="json")},
        schedules=[schedule] if schedule else [],
        concurrency_limit=_ONE_AT_A_TIME,
        work_pool_name=work_pool,
        job_variables=variables,
        entrypoint_type=EntrypointType.MODULE_PATH,
        description="Retrain on the current images, compare, register, perhaps promote.",
        tags=["synaug"],
    )
    with get_client(sync_client=True) as client:
        _ensure_work_pool(client, work_pool)
    deployment.apply()
    return f"{deployment.flow_name}/{deployment.name}"


def _schedule(cron: str | None, timezone: str) -> CronSchedule | None:
    if cron is None:
        return None
    try:
        return CronSchedule(cron=cron, timezone=timezone)
    except ValueError as error:
        raise ConfigError(
            f"--cron {cron!r} in the time zone {timezone!r} is no schedule; five fields and a zone are expected, "
            "such as '0 3 * * 1' and Europe/Berlin"
        ) from error


def _ensure_work_pool(client: SyncPrefectClient, name: str) -> None:
    try:
        pool = client.read_work_pool(name)
    except ObjectNotFound:
        try:
            client.create_work_pool(WorkPoolCreate(name=name, type="process"))
        except ObjectAlreadyExists:
            _ensure_work_pool(client, name)
        return
    if pool.type != "process":
        raise UserError(f"the work pool {name!r} is of type {pool.type}; name one of type process, or a new one")
