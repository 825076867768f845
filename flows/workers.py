"""Where steps run, and how many side by side."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator, Mapping
from types import TracebackType
from typing import Any, cast

from prefect.context import FlowRunContext
from prefect.futures import PrefectFuture
from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner

from synaug_core import devices
from synaug_core.config import ComputeConfig
from synaug_core.errors import ConfigError
from synaug_core.services.settings import settings
from tasks.engine.machine import worker_count

__all__ = ["ConfiguredRunner", "default_runner", "shared_runners", "task_runner"]

Runner = TaskRunner[PrefectFuture[Any]]


class ConfiguredRunner(TaskRunner[PrefectFuture[Any]]):
    """For runs that a server starts: as `task_runner` makes it for the `compute` section of the run's own parameters.

    A flow's runner is declared before any run has parameters; this one is made when the first step is submitted.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Prefect gives it no types
        self._inside = contextlib.ExitStack()
        self._runner: Runner | None = None

    def duplicate(self) -> ConfiguredRunner:
        """A fresh one, for one run."""
        return ConfiguredRunner()

    def submit(self, *args: Any, **kwargs: Any) -> PrefectFuture[Any]:
        """Submit a step, as any Prefect runner does."""
        if self._runner is None:
            self._runner = self._inside.enter_context(task_runner(_compute()))
        return self._runner.submit(*args, **kwargs)

    def cancel_all(self) -> None:
        """Tell steps that wait that they are not needed any more."""
        if self._runner is not None and hasattr(self._runner, "cancel_all"):
            self._runner.cancel_all()

    def __exit__(
        self, exc_type: type[BaseException] | None, exc_value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._inside.__exit__(exc_type, exc_value, traceback)
        self._runner = None
        super().__exit__(exc_type, exc_value, traceback)


def default_runner() -> Runner:
    """For runs that a server starts: as many workers as their configuration says."""
    return ConfiguredRunner()


def task_runner(compute: ComputeConfig) -> Runner:
    """As `compute.runner` says. Threads of this process: torch computes outside Python's lock, and images stay in
    shared memory. Dask: processes, here or elsewhere.

    Raises:
        ConfigError: Dask is asked for and not installed, or nobody said how many steps its cluster makes at once; or
            this machine has no such device.
    """
    if compute.runner == "dask":
        return _dask_runner(compute)
    devices.resolve(compute.device)  # a wrong one is said before anything runs; a cluster's machines have their own
    return cast(Runner, ThreadPoolTaskRunner[Any](max_workers=worker_count(compute)))


@contextlib.contextmanager
def shared_runners() -> Iterator[Callable[[ComputeConfig], Runner]]:
    """Gives `task_runner` for runs that follow one another: those that ask for as many Dask processes of this machine
    share them, until the block ends."""
    clusters: dict[int, Any] = {}
    with contextlib.ExitStack() as running:

        def runner(compute: ComputeConfig) -> Runner:
            own = task_runner(compute)  # starts nothing yet, and says what is missing
            if compute.runner != "dask" or settings().dask_scheduler is not None:
                return own
            from flows.dask_runner import DaskRunner, shared_processes

            count = worker_count(compute)
            if count not in clusters:
                clusters[count] = running.enter_context(shared_processes(count))
            return cast(Runner, DaskRunner(compute, None, clusters[count]))

        yield runner


def _dask_runner(compute: ComputeConfig) -> Runner:
    try:
        from flows.dask_runner import DaskRunner
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"compute.runner: Dask is not installed (no {error.name}); pip install 'synaug[dask]'"
        ) from error
    logger = logging.getLogger("distributed")
    logger.handlers.clear()  # its own go to the terminal, which belongs to the command
    logger.propagate = True
    logger.setLevel(logging.WARNING)
    return cast(Runner, DaskRunner(compute, settings().dask_scheduler))


def _compute() -> ComputeConfig:
    """The `compute` section of the flow run that is going on; the defaults where its parameters have none."""
    context = FlowRunContext.get()
    config = ((context and context.parameters) or {}).get("config")
    compute = config.get("compute") if isinstance(config, Mapping) else getattr(config, "compute", None)
    return compute if isinstance(compute, ComputeConfig) else ComputeConfig.model_validate(compute or {})
