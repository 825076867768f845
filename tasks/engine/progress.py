"""A step's progress: to whoever watches this process at once, and to the Prefect UI every few seconds."""

import time
from typing import cast
from uuid import UUID

from prefect.artifacts import create_progress_artifact, update_progress_artifact
from prefect.context import TaskRunContext

from synaug_core.names import slug
from synaug_core.progress import Progress
from tasks.engine import cancelling, progress_bus

__all__ = ["progress"]

_BUS_SECONDS = 0.2
_UI_SECONDS = 10.0


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
        cancelling.check_wanted(flow_run)
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
        key = slug(what).lower().replace("_", "-")
        return cast(UUID, create_progress_artifact(progress=percent, key=key, description=what))
    update_progress_artifact(artifact, progress=percent)
    return artifact
