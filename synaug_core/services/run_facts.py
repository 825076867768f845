"""What MLflow knows of runs and versions, as the rule of `retention` asks for it."""

from __future__ import annotations

import datetime as dt
import re
import tempfile
from pathlib import Path
from typing import Any

from synaug_core.errors import ArtifactError
from synaug_core.services import registry
from synaug_core.services.adoption import REUSED
from synaug_core.services.artifacts import fetch_uri
from synaug_core.services.clients import client, patiently
from synaug_core.services.processes import is_dead
from synaug_core.services.retention import RunFacts, VersionFacts
from synaug_core.services.runs import KEY, PARENT, PROCESS, STAGE
from synaug_core.services.settings import Settings

__all__ = ["CLEANED", "experiments", "read_runs", "read_versions", "running_in"]

CLEANED = "synaug.gc"
"""Tag of a run that a clean-up deleted, or below which it deleted others: when."""

_PREFIX = "synaug/"
_MOST = 1000
_RUN_ID = re.compile(r"\b[0-9a-f]{32}\b")


def experiments(current: Settings) -> dict[str, str]:
    """Name -> id of the experiments of retrainings that are not deleted."""
    found: dict[str, str] = {}
    token = None
    while True:
        page = patiently(client(current).search_experiments, max_results=_MOST, page_token=token)
        found |= {e.name: str(e.experiment_id) for e in page if e.name.startswith(_PREFIX)}
        token = page.token
        if not token:
            return found


def read_runs(current: Settings, numbers: dict[str, str]) -> list[RunFacts]:
    """Every run that synaug made in these experiments, those that were deleted in MLflow too."""
    from mlflow.entities import ViewType

    facts = []
    for name, number in numbers.items():
        found = _search(client(current), number, "", ViewType.ALL)
        facts += [_facts(current, name, run) for run in found if STAGE in run.data.tags]
    return facts


def running_in(current: Settings, number: str) -> str | None:
    """A run of the experiment that may be written to at this moment, or None."""
    from mlflow.entities import ViewType

    found = _search(client(current), number, "attributes.status = 'RUNNING'", ViewType.ACTIVE_ONLY)
    return next((str(run.info.run_id) for run in found if _is_running(run)), None)


def read_versions(current: Settings) -> list[VersionFacts]:
    """Every version of the models that synaug registered."""
    facts = []
    for name in registry.names(current):
        versions = registry.versions(current, name)
        champions = {reign.version for reign in registry.reigns(current, name)} if versions else set()
        facts += [
            VersionFacts(
                label=f"{name} version {v.version}",
                run_id=v.run_id,
                retraining=v.tags.get("synaug.retraining", ""),
                prized=bool(v.aliases) or v.version in champions,
            )
            for v in versions
        ]
    return facts


def _facts(current: Settings, experiment: str, run: Any) -> RunFacts:
    tags, info = run.data.tags, run.info
    deleted = info.lifecycle_stage == "deleted"
    cleaned = tags.get(CLEANED)
    return RunFacts(
        id=str(info.run_id),
        experiment=experiment,
        stage=tags[STAGE],
        ended=(info.end_time or info.start_time) / 1000,
        parent=tags.get(PARENT),
        reused_from=tags.get(REUSED),
        finished=info.status == "FINISHED",
        running=not deleted and _is_running(run),
        deleted=deleted,
        freed=deleted and cleaned is not None,
        judged="synaug.turing" in tags,
        thinned=dt.datetime.fromisoformat(cleaned).timestamp() if cleaned else None,
        names=_named(current, info.artifact_uri) if tags[STAGE] == "sweep" and not deleted else (),
        images=_images(run.data.metrics) if tags[STAGE] in ("synthesis", "dataset") and REUSED not in tags else 0,
        key=tags.get(KEY, ""),
        artifacts=info.artifact_uri,
    )


def _is_running(run: Any) -> bool:
    """A run whose process is known to be dead is not; one of another host may be."""
    return run.info.status == "RUNNING" and not is_dead(run.data.tags.get(PROCESS, ""))


def _named(current: Settings, place: str) -> tuple[str, ...]:
    """The retrainings that a sweep compared; none where its table is gone."""
    with tempfile.TemporaryDirectory(prefix="synaug-") as folder:
        try:
            table = fetch_uri(current, f"{place.rstrip('/')}/sweep.json", Path(folder))
        except ArtifactError:
            return ()
        return tuple(sorted(set(_RUN_ID.findall(table.read_text(encoding="utf-8")))))


def _images(metrics: dict[str, float]) -> int:
    """Of a data set `train/images`, ..., of synthetic images `images/CLASS`."""
    return int(sum(v for k, v in metrics.items() if k.startswith("images/") or k.endswith("/images")))


def _search(mlflow: Any, number: str, condition: str, view: int) -> list[Any]:
    found: list[Any] = []
    token = None
    while True:
        page = patiently(
            mlflow.search_runs,
            [number],
            filter_string=condition,
            run_view_type=view,
            max_results=_MOST,
            page_token=token,
        )
        found += page
        token = page.token
        if not token:
            return found
