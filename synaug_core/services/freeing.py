"""Deletes runs with their files: on disk, in S3, behind a tracking server's proxy.

MLflow deletes in two steps. A deleted run is only hidden; its files and its rows stay until `mlflow gc` runs beside
the database. Here the files go first, through the store that holds them, then the run is marked and hidden. Where this
process itself writes the database, its rows go too; behind a server they stay hidden until its administrator runs
`mlflow gc`. Each order of events that a kill can leave is taken up again by the next call.
"""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from synaug_core.errors import ArtifactError
from synaug_core.services.artifacts import local_path
from synaug_core.services.clients import client, patiently
from synaug_core.services.run_facts import CLEANED
from synaug_core.services.secrets import first_line, redacted
from synaug_core.services.settings import Settings

__all__ = ["forget", "free", "models_of", "note_thinned", "sizes"]

_AT_ONCE = 8
_GONE = ("404", "NoSuchKey", "No such file")


def sizes(current: Settings, places: list[str]) -> list[int]:
    """Bytes of the files below each address; nothing is read."""
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return list(pool.map(lambda place: _size(current, place), places))


def models_of(current: Settings, numbers: list[str], runs: Collection[str]) -> dict[str, dict[str, str]]:
    """Run -> the logged models that it made (id -> address), of the experiments with these numbers."""
    mlflow, found = client(current), {run: dict[str, str]() for run in runs}
    for number in numbers:
        token = None
        while True:
            page = patiently(mlflow.search_logged_models, [number], page_token=token)
            for model in page:
                if model.source_run_id in found:
                    found[model.source_run_id][model.model_id] = model.artifact_location
            token = page.token
            if not token:
                break
    return found


def free(current: Settings, run_id: str, models: dict[str, str]) -> None:
    """Delete a run's files, its models with theirs, and the run. Done twice, it is done once.

    Raises:
        ArtifactError: the store refuses to delete.
    """
    mlflow = client(current)
    for model, place in models.items():
        _delete_files(current, place)
        patiently(mlflow.delete_logged_model, model)
    run = patiently(mlflow.get_run, run_id)
    _delete_files(current, run.info.artifact_uri)
    if CLEANED not in run.data.tags or run.info.lifecycle_stage != "deleted":
        if run.info.lifecycle_stage == "deleted":  # by hand; only an active run can be marked
            patiently(mlflow.restore_run, run_id)
        patiently(mlflow.set_tag, run_id, CLEANED, _now())
        patiently(mlflow.delete_run, run_id)


def note_thinned(current: Settings, run_id: str) -> None:
    """Mark a run that stays that runs below it were deleted."""
    mlflow = client(current)
    patiently(mlflow.set_tag, run_id, CLEANED, _now())
    note = "`synaug gc` deleted runs below this one; what is left is used by later runs or by a registered model."
    patiently(mlflow.set_tag, run_id, "mlflow.note.content", note)


def forget(current: Settings, run_ids: list[str], models: list[str]) -> bool:
    """Remove the rows of deleted runs and models, and say whether that could be done: a server offers no such call."""
    store = client(current)._tracking_client.store  # what `mlflow gc` calls; it has no public name
    if not current.has_local_tracking or not hasattr(store, "_hard_delete_run"):
        return False
    for model in models:
        with _unless_gone():
            store._hard_delete_logged_model(model)
    for run_id in run_ids:
        with _unless_gone():
            patiently(store._hard_delete_run, run_id)
    return True


@contextlib.contextmanager
def _unless_gone() -> Iterator[None]:
    from mlflow.exceptions import MlflowException

    try:
        yield
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise


def _delete_files(current: Settings, place: str) -> None:
    try:
        patiently(_repository(place, current).delete_artifacts)
    except Exception as error:  # each kind of store has errors of its own
        if not any(sign in str(error) for sign in _GONE):
            raise ArtifactError(f"{redacted(place)} cannot be deleted: {first_line(error)}") from error
    local = local_path(place)
    if local is not None:  # <experiment>/<run>/artifacts: the run's empty folder goes too
        with contextlib.suppress(OSError):
            local.parent.rmdir()


def _size(current: Settings, place: str) -> int:
    local = local_path(place)
    if local is not None:
        return sum(f.stat().st_size for f in local.rglob("*") if f.is_file()) if local.is_dir() else 0
    repository, total, left = _repository(place, current), 0, [""]
    while left:
        try:
            found = patiently(repository.list_artifacts, left.pop())
        except Exception as error:
            if any(sign in str(error) for sign in _GONE):
                continue
            raise ArtifactError(f"{redacted(place)} cannot be listed: {first_line(error)}") from error
        left += [item.path for item in found if item.is_dir]
        total += sum(item.file_size or 0 for item in found if not item.is_dir)
    return total


def _repository(place: str, current: Settings) -> Any:
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    return get_artifact_repository(place, tracking_uri=current.tracking_uri, registry_uri=current.tracking_uri)


def _now() -> str:
    return dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
