"""Deletes runs with their files: on disk, in S3, behind a tracking server's proxy.

MLflow deletes in two steps. A deleted run is only hidden; its files and its rows stay until `mlflow gc` runs beside
the database. Here the files go first, through the store that holds them, then the run is marked and hidden. Where this
process itself writes the database, its rows go too; behind a server they stay hidden until its administrator runs
`mlflow gc`. Each order of events that a kill can leave is taken up again by the next call.
"""

import contextlib
import datetime as dt
from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor

from synaug_core.errors import ArtifactError
from synaug_core.services import retry, secrets, settings
from synaug_core.services.mlflow import artifacts, clients, tags

__all__ = ["forget", "free", "models_of", "note_thinned", "sizes"]

_AT_ONCE = 8
_MISSING_CODES = ("404", "NoSuchKey")
_PAUSES = (0.5, 2.0)  # seconds; some stores list for a moment what they have deleted


def sizes(current: settings.Settings, places: list[str]) -> list[int]:
    """Bytes of the files below each address; nothing is read."""
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return list(pool.map(lambda place: _size(current, place), places))


def models_of(current: settings.Settings, numbers: list[str], runs: Collection[str]) -> dict[str, dict[str, str]]:
    """Run -> the logged models that it made (id -> address), of the experiments with these numbers."""
    mlflow, models = clients.client(current), {run: dict[str, str]() for run in runs}
    for number in numbers:
        for model in retry.every_result(mlflow.search_logged_models, [number]):
            if model.source_run_id in models:
                models[model.source_run_id][model.model_id] = model.artifact_location
    return models


def free(current: settings.Settings, run_id: str, models: dict[str, str]) -> None:
    """Delete a run's files, its models with theirs, and the run. Done twice, it is done once.

    Raises:
        ArtifactError: the store refuses to delete.
    """
    mlflow = clients.client(current)
    for model, place in models.items():
        _delete_files(current, place)
        retry.patiently(mlflow.delete_logged_model, model)
    run = retry.patiently(mlflow.get_run, run_id)
    _delete_files(current, run.info.artifact_uri)
    if tags.Tag.CLEANED not in run.data.tags or run.info.lifecycle_stage != "deleted":
        if run.info.lifecycle_stage == "deleted":  # by hand; only an active run can be marked
            retry.patiently(mlflow.restore_run, run_id)
        retry.patiently(mlflow.set_tag, run_id, tags.Tag.CLEANED, _now())
        retry.patiently(mlflow.delete_run, run_id)


def note_thinned(current: settings.Settings, run_id: str) -> None:
    """Mark a run that stays that runs below it were deleted."""
    mlflow = clients.client(current)
    retry.patiently(mlflow.set_tag, run_id, tags.Tag.CLEANED, _now())
    note = "`synaug gc` deleted runs below this one; what is left is used by later runs or by a registered model."
    retry.patiently(mlflow.set_tag, run_id, tags.Tag.NOTE, note)


def forget(current: settings.Settings, run_ids: list[str], models: list[str]) -> bool:
    """Remove the rows of deleted runs and models, and say whether that could be done: a server offers no such call."""
    store = clients.client(current)._tracking_client.store  # what `mlflow gc` calls; it has no public name
    if not current.has_local_tracking or not hasattr(store, "_hard_delete_run"):
        return False
    for model in models:
        with _unless_gone():
            store._hard_delete_logged_model(model)
    for run_id in run_ids:
        with _unless_gone():
            retry.patiently(store._hard_delete_run, run_id)
    return True


@contextlib.contextmanager
def _unless_gone() -> Iterator[None]:
    from mlflow.exceptions import MlflowException

    try:
        yield
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise


def _delete_files(current: settings.Settings, place: str) -> None:
    store = artifacts.repository(place, current)
    for wait in (*_PAUSES, None):
        try:
            retry.patiently(store.delete_artifacts)
            # S3 refuses single files in an answer that MLflow takes for a good one
            files = retry.patiently(store.list_artifacts, "")
        except Exception as error:  # each kind of store has errors of its own
            if _is_missing(error):
                break
            raise ArtifactError(f"{secrets.redacted(place)} cannot be deleted: {secrets.first_line(error)}") from error
        if not files:
            break
        if wait is None:
            raise ArtifactError(f"{secrets.redacted(place)} cannot be deleted: its files are still there")
        retry.pause(wait)
    local = artifacts.local_path(place)
    if local is not None:  # <experiment>/<run>/artifacts: the run's empty folder goes too
        with contextlib.suppress(OSError):
            local.parent.rmdir()


def _is_missing(error: Exception) -> bool:
    """Whether a store means that there is nothing: its words alone may hold any number, such as a port's."""
    from botocore.exceptions import ClientError

    if isinstance(error, ClientError):
        return str(error.response.get("Error", {}).get("Code")) in _MISSING_CODES
    answer = getattr(error, "response", None)  # of requests, where a server stands between
    return isinstance(error, FileNotFoundError) or getattr(answer, "status_code", None) == 404


def _size(current: settings.Settings, place: str) -> int:
    local = artifacts.local_path(place)
    if local is not None:
        return sum(f.stat().st_size for f in local.rglob("*") if f.is_file()) if local.is_dir() else 0
    store, total, folders = artifacts.repository(place, current), 0, [""]
    while folders:
        try:
            entries = retry.patiently(store.list_artifacts, folders.pop())
        except Exception as error:
            if _is_missing(error):
                continue
            raise ArtifactError(f"{secrets.redacted(place)} cannot be listed: {secrets.first_line(error)}") from error
        folders += [item.path for item in entries if item.is_dir]
        total += sum(item.file_size or 0 for item in entries if not item.is_dir)
    return total


def _now() -> str:
    return dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
