"""The two kinds of task: a step, whose result is kept, and an action, which is done each time and is idempotent."""

from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from prefect import Task, task
from prefect.client.schemas.objects import State, TaskRun

import tasks.engine.result_storage  # noqa: F401 - Prefect finds a block by its class, so the class has to be loaded
from synaug_core.errors import SynaugError
from tasks.engine.keys import StepKey

__all__ = ["action", "step"]

P = ParamSpec("P")
R = TypeVar("R")

_RETRIES = 2
_DELAYS = [2.0, 10.0]


def step(function: Callable[P, R]) -> Task[P, R]:
    """A task whose result is found again by its key: its inputs, and the code that it can reach."""
    return task(
        name=_name(function),
        cache_key_fn=StepKey(function),
        persist_result=True,
        result_serializer="json",
        retries=_RETRIES,
        retry_delay_seconds=_DELAYS,
        retry_condition_fn=_a_retry_can_help,
    )(function)


def action(function: Callable[P, R]) -> Task[P, R]:
    """A task that looks or records: done in every run, harmless when done twice."""
    return task(
        name=_name(function),
        persist_result=False,
        retries=_RETRIES,
        retry_delay_seconds=_DELAYS,
        retry_condition_fn=_a_retry_can_help,
    )(function)


def _name(function: Callable[..., Any]) -> str:
    return function.__name__.replace("_", "-")


def _a_retry_can_help(_task: Task[Any, Any], _run: TaskRun, state: State[Any]) -> bool:
    """Servers and disks recover; a wrong input, a diverged training or a bug does not."""
    error = state.result(raise_on_failure=False)
    return isinstance(error, (OSError, TimeoutError)) and not isinstance(error, SynaugError)
