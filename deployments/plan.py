"""What is to be on the server for a data set: its deployments, the limit they share, its automation. No server here."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from flows.report_failure import NOTIFY_TAG
from synaug_core import errors, vocabulary
from synaug_core.config import Config
from synaug_core.config.sweep import SweepConfig

__all__ = ["HEARTBEAT", "QUEUE", "TAG", "Options", "Planned", "plan", "plan_report"]

TAG = "synaug"
"""Tag of every deployment whose failed runs are reported."""
QUEUE = "synaug-reports"
"""The work queue of reports of failed runs, beside the trainings' one: a worker of its own takes them at once."""
HEARTBEAT = 30
"""Seconds between two signs of life of a run."""


@dataclass(frozen=True)
class Options:
    """How the deployments of a data set run.

    Attributes:
        cron: when to retrain, five fields; None: by hand.
        check_cron: when to look whether the images changed; None: by hand.
        sweep_cron: when to repeat the sweep; None: by hand.
        timezone: of all three, such as Europe/Berlin.
        busy: what becomes of a run that would begin while another one of the data set goes on.
        name: of the deployments; default: the configuration's name.
        pool: work pool that runs them.
        job_variables: for the pool's template, without secrets.
        notify: notification block on the server that is told of the data sets' failed runs, such as slack-webhook/ops;
            empty: none.
    """

    cron: str | None = None
    check_cron: str | None = None
    sweep_cron: str | None = None
    timezone: str = "UTC"
    busy: vocabulary.Busy = "cancel"
    name: str | None = None
    pool: str = "synaug"
    job_variables: Mapping[str, Any] = field(default_factory=dict)
    notify: str = ""


@dataclass(frozen=True)
class Planned:
    """One deployment.

    Attributes:
        flow: name of the flow; with underscores for hyphens, also of its module in `flows` and of its function there.
        limit: name of the server's concurrency limit of 1 that its runs take; None: no limit.
        busy: what becomes of a run that the limit does not let through.
        queue: work queue of the pool; None: its default one.
    """

    flow: str
    name: str
    description: str
    parameters: Mapping[str, Any]
    pool: str
    job_variables: Mapping[str, Any]
    cron: str | None = None
    timezone: str = "UTC"
    limit: str | None = None
    busy: vocabulary.Busy = "cancel"
    tags: tuple[str, ...] = (TAG,)
    queue: str | None = None

    @property
    def full_name(self) -> str:
        """As on Prefect's command line."""
        return f"{self.flow}/{self.name}"

    @property
    def entrypoint(self) -> str:
        """The flow as an import path: the workers have synaug installed."""
        name = self.flow.replace("-", "_")
        return f"flows.{name}.{name}"


def plan(config: Config, options: Options, sweep: SweepConfig | None = None) -> list[Planned]:
    """The deployments of one data set.

    Its retrainings and its sweep share one limit, so that only one of them runs at a time. Promotion and rollback
    share another: they take seconds and must not wait for a training.

    Raises:
        ConfigError: a schedule is none.
    """
    crons = {"--cron": options.cron, "--check-cron": options.check_cron, "--sweep-cron": options.sweep_cron}
    for option, cron in crons.items():
        _check_schedule(option, cron, options.timezone)
    if options.sweep_cron is not None and sweep is None:
        raise errors.ConfigError(f"--sweep-cron: the configuration of {config.name} has no section `sweep`")
    name, model = options.name or config.name, f"synaug-{config.name}"
    training, registry = f"synaug-dataset-{config.name}", f"synaug-registry-{config.name}"
    variables = {**options.job_variables, "env": _environment(options.job_variables.get("env", {}))}
    common: dict[str, Any] = {
        "name": name,
        "pool": options.pool,
        "job_variables": variables,
        "timezone": options.timezone,
        "tags": (TAG, *([NOTIFY_TAG + options.notify] if options.notify else [])),
    }
    trains = {**common, "limit": training, "busy": options.busy}
    decides = {**common, "parameters": {"name": model}, "limit": registry}
    planned = [
        Planned(
            flow="retrain",
            description="Retrain on the current images, compare, register, perhaps promote.",
            parameters={"config": config.model_dump(mode="json")},
            cron=options.cron,
            **trains,
        ),
        Planned(
            flow="check-data",
            description="Look whether the images changed; if so, an automation starts the retraining.",
            parameters={"name": config.name, "data": config.data.model_dump(mode="json")},
            cron=options.check_cron,
            limit=f"synaug-check-{config.name}",
            **common,
        ),
        Planned(flow="promote", description=f"Make a version of {model} the champion.", **decides),
        Planned(flow="rollback", description=f"Make the previous champion of {model} the champion again.", **decides),
    ]
    if sweep is not None:
        planned.append(
            Planned(
                flow="sweep",
                description="One retraining for each combination of some keys, and one page for all.",
                parameters={"config": sweep.model_dump(mode="json")},
                cron=options.sweep_cron,
                **trains,
            )
        )
    return planned


def plan_report(pool: str, job_variables: Mapping[str, Any] | None = None) -> Planned:
    """The deployment that an automation runs for each failed run of a pool; its own failures are not reported.

    It is the same whoever deploys to the pool: whom it tells, and in which home the run left something open, it reads
    from the failed run.

    Args:
        pool: work pool that runs it.
        job_variables: for the pool's template; folders and databases of a home among them are left out.
    """
    variables = dict(job_variables or {})
    variables.pop("working_dir", None)
    shared = {name: value for name, value in variables.get("env", {}).items() if not _is_of_a_home(value)}
    return Planned(
        flow="report-failure",
        name=pool,
        description="Say that a run failed: an artifact, a line in the log, and a message where a block is named.",
        parameters={},
        pool=pool,
        job_variables={**variables, "env": _environment(shared)},
        tags=("synaug-report",),
        queue=QUEUE,
    )


def _is_of_a_home(value: str) -> bool:
    """Whether a variable names a folder or a file of one machine."""
    return value.startswith(("/", "sqlite:"))


def _environment(given: Mapping[str, str]) -> dict[str, str]:
    """Runs say regularly that they live, so that the server notices when one was killed."""
    return {"PREFECT_FLOWS_HEARTBEAT_FREQUENCY": str(HEARTBEAT), **given}


def _check_schedule(option: str, cron: str | None, timezone: str) -> None:
    if cron is None:
        return
    from prefect.client.schemas.schedules import CronSchedule

    try:
        CronSchedule(cron=cron, timezone=timezone)
    except ValueError as error:
        raise errors.ConfigError(
            f"{option} {cron!r} in the time zone {timezone!r} is no schedule; five fields and a zone are expected, "
            "such as '0 3 * * 1' and Europe/Berlin"
        ) from error
