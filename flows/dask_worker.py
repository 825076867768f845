"""What runs inside a Dask worker, beside the steps: their progress goes to the flow, and unwanted steps end."""

from __future__ import annotations

import os
import socket
from dataclasses import asdict
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any

from dask.context import thread_state
from distributed.diagnostics.plugin import WorkerPlugin
from prefect.context import TaskRunContext

from flows.memory import keep_freed_memory
from synaug_core.digests import code_version
from synaug_core.services.secrets import redacted
from synaug_core.services.settings import settings
from tasks.progress_bus import Event, subscribe
from tasks.unwanted import Unwanted

__all__ = ["StepsHere", "facts", "topic"]


class StepsHere(WorkerPlugin):
    """Sends the progress of each step to the flow that waits for it.

    Args:
        log: file that takes what the process prints; None leaves it as it is.
    """

    name = "synaug-steps"
    idempotent = True

    def __init__(self, log: Path | None = None) -> None:
        self.log = log

    def setup(self, worker: Any) -> None:
        """Dask calls this when the worker starts, or when the plugin reaches one that runs."""
        if self.log is not None:
            self.log.parent.mkdir(parents=True, exist_ok=True)
            with self.log.open("ab") as file:  # the terminal belongs to the command
                os.dup2(file.fileno(), 1)
                os.dup2(file.fileno(), 2)
        if settings().trims_memory:
            keep_freed_memory()
        self._leave = subscribe(partial(_forward, worker))

    def teardown(self, worker: Any) -> None:
        """Dask calls this when the worker ends."""
        self._leave()


def topic(flow_run_id: object) -> str:
    """Name of the topic in which a flow run's progress travels."""
    return f"synaug-progress-{flow_run_id}"


def facts() -> dict[str, str]:
    """What has to be the same in every process of a run: code, libraries that make the numbers, places."""
    current = settings()
    found = {
        "synaug's code": code_version(),
        "torch": metadata.version("torch"),
        "MLFLOW_TRACKING_URI": redacted(current.tracking_uri),
        "SYNAUG_TUNING_STORAGE": redacted(current.tuning_storage),
    }
    if current.has_local_tracking and current.tracking_uri.startswith("sqlite"):
        found["the machine of an embedded MLflow"] = socket.gethostname()
    return found


def _forward(worker: Any, event: Event) -> None:
    context = TaskRunContext.get()
    if context is None:
        return
    here = worker.state.tasks.get(getattr(thread_state, "key", None))
    if here is not None and here.state == "cancelled":
        raise Unwanted(f"nobody waits for {event.stage} {event.name} any more")
    worker.log_event(topic(context.task_run.flow_run_id), asdict(event))
