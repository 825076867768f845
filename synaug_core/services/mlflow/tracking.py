"""Tracking as the tasks see it: a run around a step's work, and a stand-in for one whose result was reused."""

import contextlib
import logging
from collections.abc import Iterator, Mapping
from typing import Any

from synaug_core import errors, refs
from synaug_core.services import processes, retry, secrets, settings
from synaug_core.services.mlflow.clients import client_of
from synaug_core.services.mlflow.links import (
    link_to,
    link_to_artifact,
    link_to_comparison,
    link_to_experiment,
    link_to_model,
)
from synaug_core.services.mlflow.recorder import Recorder
from synaug_core.services.mlflow.runs import (
    ancestors,
    find_run,
    finish,
    is_finished,
    open_run,
    opened_below,
    reap,
    run_ref,
)
from synaug_core.services.mlflow.tags import Tag

__all__ = [
    "Recorder",
    "adopt",
    "find_run",
    "finish",
    "is_finished",
    "link_to",
    "link_to_artifact",
    "link_to_comparison",
    "link_to_experiment",
    "link_to_model",
    "open_run",
    "reap",
    "recording",
    "recording_in",
    "run_ref",
]

_log = logging.getLogger(__name__)
_PARAMS_PER_CALL = 100


@contextlib.contextmanager
def recording(
    current: settings.Settings,
    *,
    experiment: str,
    key: str,
    stage: str,
    name: str,
    parent: refs.RunRef | None = None,
    tags: Mapping[str, str] | None = None,
    expected: tuple[type[BaseException], ...] = (),
) -> Iterator[Recorder]:
    """Open a run (see `open_run`), give its recorder, and end the run with the block (see `recording_in`)."""
    run = open_run(current, experiment=experiment, key=key, stage=stage, name=name, parent=parent, tags=tags)
    with recording_in(run, expected=expected) as recorder:
        yield recorder


@contextlib.contextmanager
def recording_in(
    run: refs.RunRef, *, ends: bool = True, expected: tuple[type[BaseException], ...] = ()
) -> Iterator[Recorder]:
    """Give an open run's recorder, write what it gathered when the block ends, and end the run with it.

    The run ends FINISHED; FAILED where the block raises (the error's first line becomes the tag `synaug.error`);
    KILLED where it is interrupted. Every error goes on to the caller.

    Args:
        run: the run.
        ends: False leaves the run as it is when the block ends well.
        expected: errors that end a run well (a pruned trial); their kind becomes the tag `synaug.outcome`.
    """
    was_finished = _reopen(run)
    recorder = Recorder(run)
    try:
        yield recorder
        recorder.flush()
        if ends and not was_finished:
            finish(run)
    except BaseException as error:
        if isinstance(error, expected):
            recorder.tags({Tag.OUTCOME: type(error).__name__})
            recorder.flush()
            finish(run)
        else:
            _give_up(recorder, error)
        raise
    finally:
        recorder.close()


def _reopen(run: refs.RunRef) -> bool:
    """Whether the run was FINISHED before; what stood in for another run is now one of its own."""
    mlflow = client_of(run)
    mlflow_run: Any = retry.patiently(mlflow.get_run, run.run_id)
    if Tag.REUSED in mlflow_run.data.tags:
        for tag in (Tag.REUSED, Tag.NOTE):
            if tag in mlflow_run.data.tags:
                retry.patiently(mlflow.delete_tag, run.run_id, tag)
    return bool(mlflow_run.info.status == "FINISHED")


def _give_up(recorder: Recorder, error: BaseException) -> None:
    """Record what there is of a failed step; troubles in doing so must not hide the step's own error."""
    try:
        recorder.flush()
        finish(recorder.run, "FAILED" if isinstance(error, Exception) else "KILLED", secrets.first_line(error))
    except Exception as trouble:
        _log.warning("the run %s could not be closed: %s", recorder.run.run_id, secrets.first_line(trouble))


def adopt(run_id: str, parent: refs.RunRef) -> refs.RunRef:
    """A run below `parent` that stands for the run `run_id` of another retraining.

    It has that run's name, times, parameters, latest metrics and tags, the tag `synaug.reused_from`, and a
    note that links to it; the artifacts stay where they are. A run that lies below `parent` already, at any depth,
    is returned itself; adopting twice gives one stand-in.

    Raises:
        ArtifactError: there is no such run any more.
    """
    from mlflow.exceptions import MlflowException

    original = refs.RunRef(
        run_id=run_id, experiment=parent.experiment, tracking_uri=parent.tracking_uri, tags=parent.tags
    )
    if opened_below(run_id, parent):
        return original
    mlflow = client_of(parent)
    try:
        reused_run = retry.patiently(mlflow.get_run, run_id)
    except MlflowException as error:
        raise errors.ArtifactError(f"the MLflow run {run_id}, whose result was to be reused, is gone") from error
    if any(above.info.run_id == parent.run_id for above in ancestors(mlflow, reused_run)):
        return original
    stand_in = _standing(mlflow, reused_run, parent) or _make_stand_in(mlflow, reused_run, original, parent)
    return original.model_copy(update={"run_id": stand_in})


def _standing(mlflow: Any, reused_run: Any, parent: refs.RunRef) -> str | None:
    """The stand-in there is; one that a kill left half-written is deleted."""
    number = _experiment_of(mlflow, parent)
    condition = f"tags.`{Tag.PARENT}` = '{parent.run_id}' and tags.`{Tag.REUSED}` = '{reused_run.info.run_id}'"
    for run in retry.patiently(mlflow.search_runs, [number], filter_string=condition):
        if run.info.status == "FINISHED":
            return str(run.info.run_id)
        retry.patiently(mlflow.delete_run, run.info.run_id)
    return None


def _make_stand_in(mlflow: Any, reused_run: Any, original: refs.RunRef, parent: refs.RunRef) -> str:
    from mlflow.entities import Metric, Param

    note = (
        f"Reused from an earlier run, unchanged: [{reused_run.info.run_name}]({link_to(original)}) has the artifacts."
    )
    tags = {
        **reused_run.data.tags,
        **parent.tags,
        Tag.PARENT: parent.run_id,
        Tag.PROCESS: processes.own_identity(),
        Tag.REUSED: reused_run.info.run_id,
    }
    tags[Tag.NOTE] = note
    stand_in = retry.patiently(
        mlflow.create_run,
        _experiment_of(mlflow, parent),
        start_time=reused_run.info.start_time,
        tags=tags,
        run_name=reused_run.info.run_name,
    ).info.run_id
    when = reused_run.info.end_time or reused_run.info.start_time
    metrics = [Metric(k, v, when, 0) for k, v in reused_run.data.metrics.items()]
    params = [Param(k, v) for k, v in reused_run.data.params.items()]
    while metrics or params:
        retry.patiently(
            mlflow.log_batch, stand_in, metrics=metrics[: 8 * _PARAMS_PER_CALL], params=params[:_PARAMS_PER_CALL]
        )
        metrics, params = metrics[8 * _PARAMS_PER_CALL :], params[_PARAMS_PER_CALL:]
    retry.patiently(mlflow.set_terminated, stand_in, "FINISHED", when)
    return str(stand_in)


def _experiment_of(mlflow: Any, run: refs.RunRef) -> str:
    return str(retry.patiently(mlflow.get_run, run.run_id).info.experiment_id)
