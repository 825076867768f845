"""Stand-ins: a retraining that reuses an earlier one's result shows it among its own runs."""

from __future__ import annotations

from typing import Any

from synaug_core.errors import ArtifactError
from synaug_core.refs import RunRef
from synaug_core.services.mlflow.clients import client_of, patiently
from synaug_core.services.mlflow.links import link_to
from synaug_core.services.mlflow.runs import PARENT, PROCESS, ancestors, opened_below
from synaug_core.services.processes import me

__all__ = ["REUSED", "adopt"]

REUSED = "synaug.reused_from"
_NOTE = "mlflow.note.content"
_A_CALL = 100


def adopt(run_id: str, parent: RunRef) -> RunRef:
    """A run below `parent` that stands for the run `run_id` of another retraining.

    It has that run's name, times, parameters, latest metrics and tags, the tag `synaug.reused_from`, and a
    note that links to it; the artifacts stay where they are. A run that lies below `parent` already, at any depth,
    is returned itself; adopting twice gives one stand-in.

    Raises:
        ArtifactError: there is no such run any more.
    """
    from mlflow.exceptions import MlflowException

    original = RunRef(run_id=run_id, experiment=parent.experiment, tracking_uri=parent.tracking_uri, tags=parent.tags)
    if opened_below(run_id, parent):
        return original
    mlflow = client_of(parent)
    try:
        found = patiently(mlflow.get_run, run_id)
    except MlflowException as error:
        raise ArtifactError(f"the MLflow run {run_id}, whose result was to be reused, is gone") from error
    if any(above.info.run_id == parent.run_id for above in ancestors(mlflow, found)):
        return original
    stand_in = _standing(mlflow, found, parent) or _make(mlflow, found, original, parent)
    return original.model_copy(update={"run_id": stand_in})


def _standing(mlflow: Any, found: Any, parent: RunRef) -> str | None:
    """The stand-in there is; one that a kill left half-written is deleted."""
    number = _experiment_of(mlflow, parent)
    condition = f"tags.`{PARENT}` = '{parent.run_id}' and tags.`{REUSED}` = '{found.info.run_id}'"
    for run in patiently(mlflow.search_runs, [number], filter_string=condition):
        if run.info.status == "FINISHED":
            return str(run.info.run_id)
        patiently(mlflow.delete_run, run.info.run_id)
    return None


def _make(mlflow: Any, found: Any, original: RunRef, parent: RunRef) -> str:
    from mlflow.entities import Metric, Param

    note = f"Reused from an earlier run, unchanged: [{found.info.run_name}]({link_to(original)}) has the artifacts."
    tags = {**found.data.tags, **parent.tags, PARENT: parent.run_id, PROCESS: me(), REUSED: found.info.run_id}
    tags[_NOTE] = note
    made = patiently(
        mlflow.create_run,
        _experiment_of(mlflow, parent),
        start_time=found.info.start_time,
        tags=tags,
        run_name=found.info.run_name,
    ).info.run_id
    when = found.info.end_time or found.info.start_time
    metrics = [Metric(k, v, when, 0) for k, v in found.data.metrics.items()]
    params = [Param(k, v) for k, v in found.data.params.items()]
    while metrics or params:
        patiently(mlflow.log_batch, made, metrics=metrics[: 8 * _A_CALL], params=params[:_A_CALL])
        metrics, params = metrics[8 * _A_CALL :], params[_A_CALL:]
    patiently(mlflow.set_terminated, made, "FINISHED", when)
    return str(made)


def _experiment_of(mlflow: Any, run: RunRef) -> str:
    return str(patiently(mlflow.get_run, run.run_id).info.experiment_id)
