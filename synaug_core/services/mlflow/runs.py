"""MLflow runs: opened, found again, recorded, finished, swept up, stood in for where a result was reused. Each call
names its run; there is no active run."""

import contextlib
import getpass
import logging
import time
from collections.abc import Iterator, Mapping
from typing import Any, Literal, get_args

from synaug_core import digests, errors, refs
from synaug_core.services import locks, places, processes, retry, secrets, settings, versions
from synaug_core.services.mlflow import clients, links
from synaug_core.services.mlflow.recorder import Recorder, as_tags
from synaug_core.services.mlflow.tags import Tag

__all__ = [
    "add_inputs",
    "add_output",
    "adopt",
    "describe_experiment",
    "end",
    "find_run",
    "finish",
    "is_finished",
    "open_run",
    "opened_below",
    "reap",
    "recording",
    "recording_in",
    "run_ref",
]

Status = Literal["FINISHED", "FAILED", "KILLED"]
_log = logging.getLogger(__name__)
_PARAMS_PER_CALL = 100
_ENDED: tuple[Status, ...] = get_args(Status)

_parents: dict[str, str] = {}  # of the runs that this process opened


def open_run(
    current: settings.Settings,
    *,
    experiment: str,
    key: str,
    stage: str,
    name: str,
    parent: refs.RunRef | None = None,
    tags: Mapping[str, str] | None = None,
) -> refs.RunRef:
    """The run known by `key` below `parent`, or a new one.

    A run that was left behind RUNNING, FAILED or KILLED is taken up (RUNNING again); a FINISHED one is returned as
    it is. The experiment is made where there is none.

    Args:
        current: where MLflow is.
        experiment: the experiment's name.
        key: unique among the runs of one parent; no quotation marks.
        stage: tag `synaug.stage`.
        name: shown in MLflow.
        parent: the run above; its tags are set on this one too.
        tags: further tags; this run's own children inherit them.

    Raises:
        UserError: the experiment was deleted in MLflow, or MLflow cannot be reached.
    """
    number, mlflow = clients.experiment_id(current, experiment), clients.client(current)
    inherited = {k: secrets.redacted(str(v)) for k, v in {**(parent.tags if parent else {}), **(tags or {})}.items()}
    with locks.exclusive(places.lock(current.home, "runs")):
        run = _search(mlflow, number, key, parent)
        if run is None:
            all_tags = inherited | _own_tags(key, stage, parent)
            run = retry.patiently(mlflow.create_run, number, tags=all_tags, run_name=name)
            if not current.has_local_tracking:
                run = _only_one(mlflow, number, key, parent) or run
        elif run.info.status != "FINISHED":
            _take_up(mlflow, run.info.run_id, inherited)
    if parent is not None:
        _parents[run.info.run_id] = parent.run_id
    return refs.RunRef(
        run_id=run.info.run_id, experiment=experiment, tracking_uri=clients.secret_free_uri(current), tags=inherited
    )


def opened_below(run_id: str, above: refs.RunRef) -> bool:
    """Whether this process opened the run below `above`, at any depth; MLflow is not asked."""
    parent = _parents.get(run_id)
    while parent is not None and parent != above.run_id:
        parent = _parents.get(parent)
    return parent is not None


def find_run(
    current: settings.Settings, *, experiment: str, key: str, parent: refs.RunRef | None = None
) -> refs.RunRef | None:
    """The run known by `key` below `parent`, whatever its status, or None."""
    run = _search(clients.client(current), clients.experiment_id(current, experiment), key, parent)
    return None if run is None else run_ref(current, run.info.run_id)


def run_ref(current: settings.Settings, run_id: str) -> refs.RunRef:
    """A reference to an existing run; its children inherit nothing."""
    mlflow = clients.client(current)
    info = retry.patiently(mlflow.get_run, run_id).info
    experiment = retry.patiently(mlflow.get_experiment, info.experiment_id)
    return refs.RunRef(run_id=run_id, experiment=experiment.name, tracking_uri=clients.secret_free_uri(current))


def add_inputs(run: refs.RunRef, source_run_id: str) -> None:
    """Show the data sets that another run used as those of this one too."""
    mlflow = clients.client_of(run)
    inputs = retry.patiently(mlflow.get_run, source_run_id).inputs.dataset_inputs
    if inputs:
        retry.patiently(mlflow.log_inputs, run.run_id, inputs)


def add_output(run: refs.RunRef, model_uri: str) -> None:
    """Show a logged model (`models:/m-...`) as an output of this run too, once."""
    from mlflow.entities import LoggedModelOutput

    mlflow, model_id = clients.client_of(run), model_uri.removeprefix("models:/")
    outputs = retry.patiently(mlflow.get_run, run.run_id).outputs
    if model_id not in {output.model_id for output in (outputs.model_outputs if outputs else ())}:
        retry.patiently(mlflow.log_outputs, run.run_id, [LoggedModelOutput(model_id, 0)])


def describe_experiment(run: refs.RunRef, text: str) -> None:
    """Set the Markdown that stands on a run's experiment, and the view that it opens with: an earlier version made
    experiments without."""
    mlflow = clients.client_of(run)
    number = _experiment_of(mlflow, run)
    for name, value in as_tags({Tag.NOTE: text, **clients.EXPERIMENT_TAGS}).items():
        retry.patiently(mlflow.set_experiment_tag, number, name, value)


def is_finished(run: refs.RunRef) -> bool:
    """Whether a run ended well."""
    return bool(retry.patiently(clients.client_of(run).get_run, run.run_id).info.status == "FINISHED")


def finish(run: refs.RunRef, status: Status = "FINISHED", reason: str = "") -> None:
    """End a run; `reason` becomes the tag `synaug.error`, its first line without secrets."""
    end(clients.client_of(run), run.run_id, status, reason)


def end(mlflow: Any, run_id: str, status: Status, reason: str = "") -> None:
    """`finish` for a run that is known by its id alone."""
    if lines := reason.strip().splitlines():
        retry.patiently(mlflow.set_tag, run_id, Tag.ERROR, secrets.redacted(lines[0])[:500])
    retry.patiently(mlflow.set_terminated, run_id, status)


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
    KILLED where it is interrupted. Every error goes on to the caller. Of two blocks in one run at the same time, the
    one that ends well decides.

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
            _end_well(run)
    except BaseException as error:
        if isinstance(error, expected):
            recorder.tags({Tag.OUTCOME: type(error).__name__})
            recorder.flush()
            _end_well(run)
        else:
            _give_up(recorder, error, was_finished=was_finished)
        raise
    finally:
        recorder.close()


def _reopen(run: refs.RunRef) -> bool:
    """Whether the run was FINISHED before; what stood in for another run is now one of its own."""
    mlflow = clients.client_of(run)
    mlflow_run: Any = retry.patiently(mlflow.get_run, run.run_id)
    if Tag.REUSED in mlflow_run.data.tags:
        for tag in (Tag.REUSED, Tag.NOTE):
            if tag in mlflow_run.data.tags:
                retry.patiently(mlflow.delete_tag, run.run_id, tag)
    return bool(mlflow_run.info.status == "FINISHED")


def _end_well(run: refs.RunRef) -> None:
    """End a run FINISHED; where two retrainings did the same step at once and the other failed, its error goes."""
    mlflow = clients.client_of(run)
    if Tag.ERROR in retry.patiently(mlflow.get_run, run.run_id).data.tags:
        retry.patiently(mlflow.delete_tag, run.run_id, Tag.ERROR)
    finish(run)


def _give_up(recorder: Recorder, error: BaseException, *, was_finished: bool) -> None:
    """Record what there is of a failed step, unless another retraining, which did the same step at the same time, has
    ended it well; troubles in doing so must not hide the step's own error."""
    try:
        recorder.flush()
        if not was_finished and is_finished(recorder.run):
            return
        finish(recorder.run, "FAILED" if isinstance(error, Exception) else "KILLED", secrets.first_line(error))
    except Exception as trouble:
        _log.warning("the run %s could not be closed: %s", recorder.run.run_id, secrets.first_line(trouble))


def reap(
    current: settings.Settings, experiment: str, *, below: refs.RunRef | None = None, stale_after: float | None = None
) -> list[str]:
    """Close runs that nobody writes any more: status KILLED.

    These are RUNNING runs whose parent, at any height, has ended; those whose process is known to be dead; and,
    where `stale_after` is given, those of other hosts that began more than so many seconds ago.

    Args:
        current: where MLflow is.
        experiment: the experiment's name.
        below: every RUNNING run under this one, and no other; it is taken to have ended.
        stale_after: seconds since a run's start; None judges no run by its age.

    Returns:
        The ids of the closed runs.
    """
    mlflow = clients.client(current)
    number = clients.experiment_id(current, experiment)
    closed = []
    # all are read before one is changed: pages go by the order of what is found
    for run in list(retry.every_result(mlflow.search_runs, [number], filter_string="attributes.status = 'RUNNING'")):
        above = _ancestors(mlflow, run)
        if below is not None:
            left = any(a.info.run_id == below.run_id for a in above)
        else:
            age = time.time() - run.info.start_time / 1000
            left = (
                any(a.info.status in _ENDED for a in above)
                or processes.is_dead(run.data.tags.get(Tag.PROCESS, ""))
                or (stale_after is not None and age > stale_after)
            )
        if left:
            end(mlflow, run.info.run_id, "KILLED")
            closed.append(run.info.run_id)
    return closed


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
    mlflow = clients.client_of(parent)
    try:
        reused_run = retry.patiently(mlflow.get_run, run_id)
    except MlflowException as error:
        raise errors.ArtifactError(f"the MLflow run {run_id}, whose result was to be reused, is gone") from error
    if any(above.info.run_id == parent.run_id for above in _ancestors(mlflow, reused_run)):
        return original
    stand_in = _find_stand_in(mlflow, reused_run, parent) or _make_stand_in(mlflow, reused_run, original, parent)
    return original.model_copy(update={"run_id": stand_in})


def _find_stand_in(mlflow: Any, reused_run: Any, parent: refs.RunRef) -> str | None:
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

    link = f"[{reused_run.info.run_name}]({links.link_to(original)})"
    tags = {
        **reused_run.data.tags,
        **parent.tags,
        Tag.PARENT: parent.run_id,
        Tag.PROCESS: processes.own_identity(),
        Tag.REUSED: reused_run.info.run_id,
    }
    tags[Tag.NOTE] = f"Reused from an earlier run, unchanged: {link} has the artifacts."
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


def _ancestors(mlflow: Any, run: Any) -> list[Any]:
    """The runs above an MLflow run, nearest first."""
    from mlflow.exceptions import MlflowException

    above: list[Any] = []
    while (parent := run.data.tags.get(Tag.PARENT)) and all(parent != a.info.run_id for a in above):
        try:
            run = retry.patiently(mlflow.get_run, parent)
        except MlflowException:  # deleted for good; nothing is above it
            break
        above.append(run)
    return above


def _search(mlflow: Any, number: str, key: str, parent: refs.RunRef | None) -> Any:
    return next(iter(_with_key(mlflow, number, key, parent)), None)


def _with_key(mlflow: Any, number: str, key: str, parent: refs.RunRef | None) -> list[Any]:
    if "'" in key or '"' in key:
        raise ValueError(f"a run's key must not hold quotation marks: {key}")
    condition = f"tags.`{Tag.KEY}` = '{key}'" + (f" and tags.`{Tag.PARENT}` = '{parent.run_id}'" if parent else "")
    matching_runs = retry.patiently(
        mlflow.search_runs, [number], filter_string=condition, order_by=["attributes.start_time ASC"]
    )
    return [r for r in matching_runs if parent is not None or Tag.PARENT not in r.data.tags]


def _only_one(mlflow: Any, number: str, key: str, parent: refs.RunRef | None) -> Any:
    """The first of the runs with this key, after those that this process made besides are deleted: another machine
    was quicker, or an answer was lost on the way and MLflow's client had the run made twice."""
    first, *later_runs = sorted(
        _with_key(mlflow, number, key, parent), key=lambda r: (r.info.start_time, r.info.run_id)
    ) or [None]
    for run in later_runs:
        if run.data.tags.get(Tag.PROCESS) == processes.own_identity():
            retry.patiently(mlflow.delete_run, run.info.run_id)
    return first


def _take_up(mlflow: Any, run_id: str, tags: Mapping[str, str]) -> None:
    from mlflow.entities import RunTag

    retry.patiently(mlflow.update_run, run_id, status="RUNNING")
    fresh = {**tags, Tag.PROCESS: processes.own_identity()}
    retry.patiently(mlflow.log_batch, run_id, tags=[RunTag(k, v) for k, v in fresh.items()])
    if Tag.ERROR in retry.patiently(mlflow.get_run, run_id).data.tags:
        retry.patiently(mlflow.delete_tag, run_id, Tag.ERROR)


def _own_tags(key: str, stage: str, parent: refs.RunRef | None) -> dict[str, str]:
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        user = "unknown"
    tags = {
        Tag.KEY: key,
        Tag.STAGE: stage,
        Tag.PROCESS: processes.own_identity(),
        Tag.CODE_VERSION: digests.code_version(),
        Tag.USER: user,
        Tag.SOURCE_NAME: "synaug",
        Tag.SOURCE_TYPE: "LOCAL",
    }
    if commit := versions.git_commit():
        tags[Tag.GIT_COMMIT] = commit
    if parent is not None:
        tags[Tag.PARENT] = parent.run_id
    return tags
