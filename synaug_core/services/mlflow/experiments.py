"""MLflow experiments: found, or made once."""

import threading
from pathlib import Path
from typing import Any

from synaug_core import errors, names
from synaug_core.services import retry, settings
from synaug_core.services.mlflow.clients import client

__all__ = ["experiment_id"]

_known: dict[tuple[str, str], str] = {}
_making = threading.Lock()


def experiment_id(current: settings.Settings, name: str) -> str:
    """The id of the experiment, made where there is none; threads and processes may ask at once.

    Raises:
        UserError: the experiment was deleted in MLflow.
    """
    number = _known.get((current.tracking_uri, name))
    if number is None:
        with _making:
            number = _known[current.tracking_uri, name] = _find_or_make(client(current), current, name)
    return number


def _find_or_make(mlflow: Any, current: settings.Settings, name: str) -> str:
    from mlflow.exceptions import MlflowException

    experiment = retry.patiently(mlflow.get_experiment_by_name, name)
    if experiment is None:
        try:
            place = _location(current, name)
            return str(retry.patiently(mlflow.create_experiment, name, artifact_location=place))
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


def _location(current: settings.Settings, name: str) -> str | None:
    """Where the experiment's artifacts go; None leaves it to the server."""
    if current.artifact_root is None:
        return None
    if "://" in current.artifact_root:
        return f"{current.artifact_root.rstrip('/')}/{names.slug(name)}"
    return (Path(current.artifact_root) / names.slug(name)).as_uri()
