"""Steps in processes of this machine, or of a Dask cluster. The one file that knows Dask and Prefect's runner on it."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
from collections.abc import Iterator
from dataclasses import asdict, fields
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any, cast
from uuid import uuid4

import dask.config
from dask.context import thread_state
from distributed import Client, LocalCluster, Security
from distributed.diagnostics.plugin import WorkerPlugin
from distributed.scheduler import KilledWorker
from prefect.context import FlowRunContext, TaskRunContext
from prefect.tasks import Task
from prefect_dask.client import PrefectDaskClient
from prefect_dask.task_runners import DaskTaskRunner, PrefectDaskFuture

from flows.process import keep_freed_memory
from synaug_core import digests, errors
from synaug_core.config import ComputeConfig
from synaug_core.services import places
from synaug_core.services.secrets import redacted
from synaug_core.services.settings import settings
from tasks.engine import machine, progress_bus, recording

__all__ = ["LONG_STEPS", "DaskRunner", "ProgressPlugin", "StepFuture", "facts", "shared_processes", "topic"]


class ProgressPlugin(WorkerPlugin):
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
        keep_freed_memory()
        self._leave = progress_bus.subscribe(partial(_forward, worker))

    def teardown(self, worker: Any) -> None:
        """Dask calls this when the worker ends."""
        self._leave()


def topic(flow_run_id: object) -> str:
    """Name of the topic in which a flow run's progress travels."""
    return f"synaug-progress-{flow_run_id}"


def facts() -> dict[str, str]:
    """What has to be the same in every process of a run: code, libraries that make the numbers, places."""
    current = settings()
    process_facts = {
        "synaug's code": digests.code_version(),
        "torch": metadata.version("torch"),
        "MLFLOW_TRACKING_URI": redacted(current.tracking_uri),
        "SYNAUG_TUNING_STORAGE": redacted(current.tuning_storage),
    }
    if current.has_local_tracking and current.tracking_uri.startswith("sqlite"):
        process_facts["the machine of an embedded MLflow"] = socket.gethostname()
    return process_facts


def _forward(worker: Any, event: progress_bus.Event) -> None:
    context = TaskRunContext.get()
    if context is None:
        return
    task_state = worker.state.tasks.get(getattr(thread_state, "key", None))
    if task_state is not None and task_state.state == "cancelled":
        raise recording.FlowRunOver(f"nobody waits for {event.stage} {event.name} any more")
    worker.log_event(topic(context.task_run.flow_run_id), asdict(event))


_PATIENCE = 10
"""Seconds until a scheduler is taken to be absent."""

LONG_STEPS: dict[str, Any] = {
    # A step waits at the scheduler for the first worker that is free, and not behind another step of a busy one.
    "distributed.scheduler.worker-saturation": 1.0,
    # Nobody looks at the samples that each worker would take of itself a hundred times a second.
    "distributed.worker.profile.enabled": False,
    # Dask would set the number of threads of numeric libraries by variables of its own; steps set it themselves, and
    # what a process computes must not depend on the runner.
    "distributed.nanny.pre-spawn-environ": {},
}
"""Dask's settings for steps of seconds and minutes, where its own are for thousands of short ones."""


class StepFuture(PrefectDaskFuture[Any]):
    """A step on a worker; that all its workers died is said in one line."""

    def result(self, timeout: float | None = None, raise_on_failure: bool = True) -> Any:
        """The step's result.

        Raises:
            SynaugError: several workers ended while they ran it.
        """
        try:
            return super().result(timeout, raise_on_failure)
        except KilledWorker as error:
            raise errors.SynaugError(
                "several Dask workers ended while they ran the same step, most likely for want of memory; "
                "give them more, or lower data.image_size, generator.group_size or the workers' number"
            ) from error


class DaskRunner(DaskTaskRunner):
    """Prefect's runner, with our steps' progress, and a cluster that ends with the run.

    Args:
        compute: what the steps run on.
        scheduler: address of a cluster's scheduler. None: one process for each step side by side, on this machine,
            reached through loopback with keys that only they have.
        cluster: processes of this machine that are there already, and stay when the run ends.

    Raises:
        ConfigError: a cluster, and no number of its steps side by side.
    """

    def __init__(self, compute: ComputeConfig, scheduler: str | None, cluster: LocalCluster | None = None) -> None:
        self.compute, self.scheduler, self._given = compute, scheduler, cluster
        if scheduler is not None:
            if compute.workers is None:
                raise errors.ConfigError("compute.workers: say how many steps the Dask cluster makes side by side")
            super().__init__(address=scheduler, client_kwargs={"timeout": _PATIENCE})
        elif cluster is not None:
            super().__init__(cluster=cluster)
        else:
            super().__init__(cluster_class=lambda: _processes(machine.worker_count(compute)))
        self._ready: PrefectDaskClient | None = None

    def duplicate(self) -> DaskRunner:
        """A fresh one, for one run."""
        return DaskRunner(self.compute, self.scheduler, self._given)

    def __reduce__(self) -> tuple[Any, ...]:
        """It travels to the workers with its flow, which no cluster can."""
        return DaskRunner, (self.compute, self.scheduler)

    @property
    def client(self) -> PrefectDaskClient:
        """Connected at first use.

        Raises:
            ConfigError: nobody answers at the scheduler's address, or its workers are not as this process is.
        """
        if self._ready is None:
            with _plainly(self.scheduler):
                client = super().client
            if self.scheduler is not None:
                _compare(client)
            local = self.scheduler is None
            client.register_plugin(ProgressPlugin(places.log(settings().home, "dask-workers") if local else None))
            context = FlowRunContext.get()
            if context is not None and context.flow_run is not None:
                cast(Any, client).subscribe_topic(topic(context.flow_run.id), _publish)
            self._ready = client
        return self._ready

    def submit(
        self, task: Task[Any, Any], parameters: dict[str, Any], wait_for: Any = None, dependencies: Any = None
    ) -> Any:
        """Submit a step, as any Prefect runner does; gives a `StepFuture`.

        Dask keeps tasks at the scheduler where there are many of a group, so all steps are one group.
        """
        future = cast(Any, self.client).submit(
            task,
            key=f"step-{uuid4().hex}",
            parameters=self._optimize_futures(parameters),
            wait_for=self._optimize_futures(wait_for) if wait_for else None,
            dependencies=dependencies,
            return_type="state",
        )
        return StepFuture(task_run_id=future.task_run_id, wrapped_future=future)

    def __exit__(self, *args: Any) -> None:
        if args[0] is not None and self._given is None and isinstance(self._cluster, LocalCluster):
            _end_now(self._cluster)
        super().__exit__(*args)
        self._ready = None


@contextlib.contextmanager
def shared_processes(count: int) -> Iterator[LocalCluster]:
    """So many processes of this machine, for several runs one after the other: each loads its libraries once."""
    with _processes(count) as cluster:
        try:
            yield cluster
        except BaseException:
            _end_now(cluster)
            raise


def _processes(count: int) -> LocalCluster:
    with dask.config.set(LONG_STEPS):
        started: LocalCluster = cast(Any, LocalCluster)(  # Dask gives it no types
            n_workers=count,
            threads_per_worker=1,
            processes=True,
            host="127.0.0.1",
            memory_limit=None,
            dashboard_address=None,
            # its pages would otherwise be shown to the whole network
            scheduler_kwargs={"dashboard_address": "127.0.0.1:0"},
            worker_dashboard_address="127.0.0.1:0",
            security=cast(Any, Security).temporary(),
            silence_logs=logging.ERROR,
        )
    return started


def _end_now(cluster: LocalCluster) -> None:
    """After a Ctrl-C: a process that trains would otherwise be asked and waited for."""
    for nanny in cluster.workers.values():
        process = getattr(getattr(nanny, "process", None), "process", None)
        if process is not None:
            process._process.kill()


def _compare(client: Client) -> None:
    local = facts()
    for worker, remote in client.run(facts).items():
        for what, value in local.items():
            if remote.get(what) != value:
                raise errors.ConfigError(
                    f"SYNAUG_DASK_SCHEDULER: the worker {worker} differs in {what}: {remote.get(what)} there, {value} "
                    "here; start all processes of a run with the same code and the same variables"
                )


def _publish(event: tuple[float, dict[str, Any]]) -> None:
    progress_bus.publish(
        progress_bus.Event(**{field.name: event[1][field.name] for field in fields(progress_bus.Event)})
    )  # Dask adds the worker


@contextlib.contextmanager
def _plainly(address: str | None) -> Iterator[None]:
    try:
        yield
    except (OSError, TimeoutError) as error:
        if address is None:
            raise
        raise errors.ConfigError(f"SYNAUG_DASK_SCHEDULER: no Dask scheduler answers at {address}") from error
