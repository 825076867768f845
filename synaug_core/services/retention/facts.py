"""What MLflow knows of runs and versions, as the rule of `retention` asks for it."""

import datetime as dt
import re
import tempfile
from pathlib import Path
from typing import Any

from synaug_core.services import processes, retry, settings
from synaug_core.services.mlflow import artifacts, clients
from synaug_core.services.mlflow.tags import Tag
from synaug_core.services.models import registry
from synaug_core.services.models.versions import read_every_version
from synaug_core.services.retention.rule import RunFacts, VersionFacts

__all__ = ["experiments", "read_runs", "read_versions", "running_in"]


_PREFIX = "synaug/"
_RUN_ID = re.compile(r"\b[0-9a-f]{32}\b")


def experiments(current: settings.Settings) -> dict[str, str]:
    """Name -> id of the experiments of retrainings that are not deleted."""
    stored = retry.every_result(clients.client(current).search_experiments)
    return {e.name: str(e.experiment_id) for e in stored if e.name.startswith(_PREFIX)}


def read_runs(current: settings.Settings, numbers: dict[str, str]) -> list[RunFacts]:
    """Every run that synaug made in these experiments, those that were deleted in MLflow too.

    Raises:
        ArtifactError: the table of a sweep is there and cannot be read, so nobody knows what it names.
    """
    from mlflow.entities import ViewType

    facts = []
    for name, number in numbers.items():
        stored_runs = retry.every_result(clients.client(current).search_runs, [number], run_view_type=ViewType.ALL)
        facts += [_facts(current, name, run) for run in stored_runs if Tag.STAGE in run.data.tags]
    return facts


def running_in(current: settings.Settings, number: str) -> str | None:
    """A run of the experiment that may be written to at this moment, or None."""
    from mlflow.entities import ViewType

    condition = "attributes.status = 'RUNNING'"
    running_runs = retry.every_result(
        clients.client(current).search_runs, [number], filter_string=condition, run_view_type=ViewType.ACTIVE_ONLY
    )
    return next((str(run.info.run_id) for run in running_runs if _is_running(run)), None)


def read_versions(current: settings.Settings) -> list[VersionFacts]:
    """Every version of every registered model, also of those that somebody else made from runs of synaug's."""
    versions = read_every_version(clients.client(current))
    # a list of champions is kept for models that synaug registers, and asking for it would begin one elsewhere
    named = {v.name for v in versions} & set(registry.names(current))
    champions = {(name, reign.version) for name in named for reign in registry.champion_periods(current, name)}
    return [
        VersionFacts(
            label=f"{v.name} version {v.version}",
            run_id=v.run_id,
            retraining=v.tags.get(Tag.RETRAINING, ""),
            prized=bool(v.aliases) or (v.name, v.version) in champions,
        )
        for v in versions
    ]


def _facts(current: settings.Settings, experiment: str, run: Any) -> RunFacts:
    tags, info = run.data.tags, run.info
    deleted = info.lifecycle_stage == "deleted"
    cleaned = tags.get(Tag.CLEANED)
    return RunFacts(
        id=str(info.run_id),
        experiment=experiment,
        stage=tags[Tag.STAGE],
        ended=(info.end_time or info.start_time) / 1000,
        parent=tags.get(Tag.PARENT),
        reused_from=tags.get(Tag.REUSED),
        finished=info.status == "FINISHED",
        running=not deleted and _is_running(run),
        deleted=deleted,
        freed=deleted and cleaned is not None,
        judged=Tag.TURING in tags,
        thinned=dt.datetime.fromisoformat(cleaned).timestamp() if cleaned else None,
        names=_named(current, info.artifact_uri) if tags[Tag.STAGE] == "sweep" and not deleted else (),
        images=_images(run.data.metrics)
        if tags[Tag.STAGE] in ("synthesis", "dataset") and Tag.REUSED not in tags
        else 0,
        artifacts=info.artifact_uri,
    )


def _is_running(run: Any) -> bool:
    """A run whose process is known to be dead is not; one of another host may be."""
    return run.info.status == "RUNNING" and not processes.is_dead(run.data.tags.get(Tag.PROCESS, ""))


def _named(current: settings.Settings, place: str) -> tuple[str, ...]:
    """The retrainings that a sweep compared; none where it has no table (yet)."""
    uri = f"{place.rstrip('/')}/sweep.json"
    if not artifacts.is_there(current, uri):
        return ()
    with tempfile.TemporaryDirectory(prefix="synaug-") as folder:
        table = artifacts.fetch_uri(current, uri, Path(folder))
        return tuple(sorted(set(_RUN_ID.findall(table.read_text(encoding="utf-8")))))


def _images(metrics: dict[str, float]) -> int:
    """Of a data set `train/images`, ..., of synthetic images `images/CLASS`."""
    return int(sum(v for k, v in metrics.items() if k.startswith("images/") or k.endswith("/images")))
