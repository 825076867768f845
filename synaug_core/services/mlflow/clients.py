"""How MLflow is reached: one client for each address, and each experiment's id; for many threads and processes."""

import contextlib
import functools
import sqlite3
import threading
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from synaug_core import errors, names, reachable, refs
from synaug_core.services import locks, places, retry, secrets, writable
from synaug_core.services.mlflow import tags
from synaug_core.services.settings import Settings, settings

__all__ = ["EXPERIMENT_TAGS", "client", "client_of", "experiment_id", "secret_free_uri"]

EXPERIMENT_TAGS = {tags.Tag.EXPERIMENT_KIND: "custom_model_development"}
"""Without it MLflow opens an experiment on its page for language models, which has none of synaug's runs."""
_PATIENCE = 15.0  # seconds until a server is taken to be absent
_experiment_ids: dict[tuple[str, str], str] = {}
_making = threading.Lock()


def client(current: Settings) -> Any:
    """An `MlflowClient` of the settings' address; the database is made where there is none.

    Raises:
        UserError: no server answers there, or the database cannot be opened.
        DiskFullError: there is no room for it.
    """
    return _client(current.tracking_uri, current.home)


def client_of(run: refs.RunRef) -> Any:
    """The client that reaches a run: with the environment's credentials where the address is the same."""
    current = settings()
    is_current = run.tracking_uri == secret_free_uri(current)
    return _client(current.tracking_uri if is_current else run.tracking_uri, current.home)


def secret_free_uri(current: Settings) -> str:
    """The tracking address as it may be stored."""
    return secrets.redacted(current.tracking_uri)


@functools.cache
def _client(uri: str, home: Path) -> Any:
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    if uri.startswith(("http://", "https://")):
        _knock(uri)
        return MlflowClient(uri, registry_uri=uri)
    try:
        # Two processes that both find no tables would both make them.
        with locks.exclusive(places.lock(home, "mlflow")):
            _prepare(uri, home)
            opened = MlflowClient(uri, registry_uri=uri)
            opened.search_experiments(max_results=1)
    except (MlflowException, SQLAlchemyError, sqlite3.Error, OSError) as error:
        writable.require_writable(home)
        if writable.is_disk_full(error):
            raise writable.disk_full(home) from error
        line = secrets.redacted(str(error).strip().splitlines()[0])
        raise errors.UserError(
            f"MLflow's database {secrets.redacted(uri)} cannot be opened: {line}",
            reason=errors.Reason.OLD_SCHEMA if _has_old_schema(uri) else "",
        ) from error
    return opened


def _has_old_schema(uri: str) -> bool:
    """Whether a database that cannot be opened has the tables of another version of MLflow."""
    import sqlalchemy as sa
    from mlflow.store.db import utils

    engine = None
    try:
        engine = sa.create_engine(uri)
        return utils._get_schema_version(engine) not in (None, utils._get_latest_schema_revision())
    except Exception:  # nothing can be asked of it: why it cannot be opened is told already
        return False
    finally:
        if engine is not None:
            engine.dispose()


def _prepare(uri: str, home: Path) -> None:
    """Give a new embedded database a write-ahead log: writes take a quarter of the time, and the UI reads meanwhile.

    A process that was killed while it made the tables leaves some of them, which nothing completes: they are made anew.
    """
    file = Path(uri.removeprefix("sqlite:///"))
    if not uri.startswith("sqlite:///") or file.parent != home:
        return
    if file.exists() and _holds_nothing(file):
        for leftover in (file, *(file.with_name(f"{file.name}{ending}") for ending in ("-wal", "-shm", "-journal"))):
            leftover.unlink(missing_ok=True)
    if not file.exists():
        with contextlib.closing(sqlite3.connect(file)) as database:
            database.execute("PRAGMA journal_mode=WAL")


def _holds_nothing(file: Path) -> bool:
    """Whether a database has neither an experiment, of which MLflow makes one last of all, nor a model."""
    try:
        with contextlib.closing(sqlite3.connect(file)) as database:
            tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            if not {"experiments", "alembic_version"} & tables:
                return False  # of something else
            counted = ("SELECT 1 FROM experiments LIMIT 1", "SELECT 1 FROM registered_models LIMIT 1")
            questions = [question for question in counted if question.split()[3] in tables]
            return all(database.execute(question).fetchone() is None for question in questions)
    except sqlite3.Error:  # why it cannot be read is told when it is opened
        return False


def _knock(uri: str) -> None:
    """MLflow's own retries take minutes before they say that nobody is there."""
    parts = urlsplit(uri)
    health = urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], f"{parts.path.rstrip('/')}/health", "", ""))
    end = time.monotonic() + _PATIENCE
    while (why := reachable.unreachable_reason(health, 5)) is not None:
        if time.monotonic() >= end:
            raise errors.UserError(
                f"MLFLOW_TRACKING_URI: no server answers at {secrets.redacted(uri)} ({secrets.redacted(why)})",
                reason=errors.Reason.NO_ANSWER,
            )
        time.sleep(0.5)


def experiment_id(current: Settings, name: str) -> str:
    """The id of the experiment, made where there is none; threads and processes may ask at once.

    Raises:
        UserError: the experiment was deleted in MLflow.
    """
    number = _experiment_ids.get((current.tracking_uri, name))
    if number is None:
        with _making:
            number = _experiment_ids[current.tracking_uri, name] = _find_or_make(client(current), current, name)
    return number


def _find_or_make(mlflow: Any, current: Settings, name: str) -> str:
    from mlflow.exceptions import MlflowException

    experiment = retry.patiently(mlflow.get_experiment_by_name, name)
    if experiment is None:
        try:
            place = _location(current, name)
            return str(retry.patiently(mlflow.create_experiment, name, artifact_location=place, tags=EXPERIMENT_TAGS))
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
            experiment = retry.patiently(mlflow.get_experiment_by_name, name)  # another process was quicker
    if experiment is None or experiment.lifecycle_stage == "deleted":
        number = experiment.experiment_id if experiment else "ID"
        raise errors.UserError(
            f"the MLflow experiment {name!r} was deleted; bring it back with `mlflow experiments restore "
            f"--experiment-id {number}`, remove it for good with `mlflow gc`, or choose another name"
        )
    return str(experiment.experiment_id)


def _location(current: Settings, name: str) -> str | None:
    """Where the experiment's artifacts go; None leaves it to the server."""
    if current.artifact_root is None:
        return None
    if "://" in current.artifact_root:
        return f"{current.artifact_root.rstrip('/')}/{names.slug(name)}"
    return (Path(current.artifact_root) / names.slug(name)).as_uri()
