"""A running step's traces: its MLflow run and its checkpoint, both named by its key, and its progress.

Progress goes to whoever watches this process at once, and to the Prefect UI every few seconds. A step whose flow run is
over ends at its next sign of progress.
"""

import contextlib
import time
from collections.abc import Iterator, Mapping
from typing import cast
from uuid import UUID

from prefect.artifacts import create_progress_artifact, update_progress_artifact
from prefect.context import FlowRunContext, TaskRunContext

from synaug_core import checkpoints, names, refs
from synaug_core.progress import Progress
from synaug_core.services import places
from synaug_core.services.mlflow import runs
from synaug_core.services.mlflow.recorder import Recorder
from synaug_core.services.settings import settings
from tasks.engine import progress_bus
from tasks.engine.step import this_key

__all__ = ["FlowRunOver", "checkpoint", "end_steps_on_failure", "progress", "recorded", "require_running"]

_BUS_SECONDS = 0.2
_UI_SECONDS = 10.0
_over: set[UUID] = set()


@contextlib.contextmanager
def recorded(
    stage: str,
    name: str,
    parent: refs.RunRef,
    tags: Mapping[str, str] | None = None,
    expected: tuple[type[BaseException], ...] = (),
) -> Iterator[Recorder]:
    """Run the block inside this step's MLflow run: found again if an earlier try left it, ended with the block."""
    with runs.recording(
        settings(),
        experiment=parent.experiment,
        key=this_key(),
        stage=stage,
        name=name,
        parent=parent,
        tags=tags,
        expected=expected,
    ) as recorder:
        yield recorder


def checkpoint(part: str = "") -> checkpoints.Checkpoint:
    """Where this step's training leaves its state; `part` tells several trainings of one step apart."""
    return checkpoints.Checkpoint(settings().home / places.CHECKPOINTS / f"{this_key()[:40]}{part}.pt")


def progress(stage: str, name: str) -> Progress:
    """A `Progress` for one step, which ends it where its flow run is over. Steps of a few seconds never reach the
    Prefect API: telling would take longer than working."""
    published_at = shown_at = time.monotonic()
    artifact: UUID | None = None
    context = TaskRunContext.get()
    step = str(context.task_run.id) if context is not None else ""
    flow_run = context.task_run.flow_run_id if context is not None else None

    def report(done: int, total: int, **values: float) -> None:
        nonlocal published_at, shown_at, artifact
        require_running(flow_run)
        now = time.monotonic()
        if now - published_at >= _BUS_SECONDS or done >= total:
            published_at = now
            progress_bus.publish(progress_bus.Event(stage, name, done, total, dict(values), id=step))
        if now - shown_at >= _UI_SECONDS:
            shown_at = now
            artifact = _show(artifact, f"{stage}: {name}", 100.0 * done / max(total, 1))

    return report


def _show(artifact: UUID | None, what: str, percent: float) -> UUID:
    # in a thread without an event loop, as a step's, Prefect's calls return what they made
    if artifact is None:
        key = names.slug(what).lower().replace("_", "-")
        return cast(UUID, create_progress_artifact(progress=percent, key=key, description=what))
    update_progress_artifact(artifact, progress=percent)
    return artifact


class FlowRunOver(BaseException):
    """The flow of this step is gone: it failed, was stopped or killed, or its connection broke."""


@contextlib.contextmanager
def end_steps_on_failure() -> Iterator[None]:
    """Inside a flow: where the block raises, nobody waits any more for the steps that still run in this process."""
    try:
        yield
    except BaseException:
        context = FlowRunContext.get()
        if context is not None and context.flow_run is not None:
            _over.add(context.flow_run.id)
        raise


def require_running(flow_run: UUID | None) -> None:
    """Check that somebody still waits for the steps of this flow run.

    Raises:
        FlowRunOver: nobody does. No Exception, so that nothing takes it for a failure of the step itself.
    """
    if flow_run in _over:
        raise FlowRunOver("the run that this step belongs to is over")
