"""The two kinds of task: a step, whose result is kept, and an action, which is done each time and is idempotent.

What makes two steps the same step is the digest of the code and the inputs, and nothing else.
"""

import functools
import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ParamSpec, TypeVar

from prefect import Task, task
from prefect.client.schemas.objects import State, TaskRun
from prefect.context import TaskRunContext

import tasks.engine.result_storage  # noqa: F401 - Prefect finds a block by its class, so the class has to be loaded
from synaug_core import code_reach, digests, errors, frozen, refs
from synaug_core.services.mlflow import artifacts

__all__ = ["StepKey", "action", "step", "step_code", "this_key"]

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
    return isinstance(error, (OSError, TimeoutError)) and not isinstance(error, errors.SynaugError)


class StepKey:
    """A Prefect cache key function: digest of all code that a step can reach, and of its arguments.

    A cached result is only references. Where an object behind one of them no longer exists, the key gets a number
    behind it, so that the step runs again.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function
        self._source = inspect.getsource(function)

    @functools.cached_property
    def code(self) -> str:
        """The version of the code that the step can reach."""
        return code_reach.code_behind(self._function, self._source)

    def compute(self, arguments: Mapping[str, Any]) -> str:
        """The key of a call with these arguments."""
        return digests.of_value(
            {
                "step": self._function.__qualname__,
                "code": self.code,
                "arguments": frozen.identity(dict(arguments)),
            }
        )

    def __call__(self, context: TaskRunContext, arguments: dict[str, Any]) -> str:
        """What Prefect calls before it runs the step."""
        key = candidate = self.compute(arguments)
        number = 1
        while context.result_store.exists(candidate) and not _is_whole(context.result_store.read(candidate).result):
            number += 1
            candidate = f"{key}-{number}"
        return candidate


def step_code(step: Task[..., Any]) -> str:
    """The version of the code that a step can reach."""
    if not isinstance(step.cache_key_fn, StepKey):
        raise TypeError(f"{step.name} is no step")
    return step.cache_key_fn.code


def this_key() -> str:
    """The key of the step that runs in this thread: it also names its MLflow run and its checkpoint.

    Raises:
        LookupError: called outside a step.
    """
    context = TaskRunContext.get()
    if context is None or not isinstance(context.task.cache_key_fn, StepKey):
        raise LookupError("no step is running in this thread")
    return context.task.cache_key_fn.compute(context.parameters)


def _is_whole(result: Any) -> bool:
    return all(artifacts.exists(reference) for reference in _references(result))


def _references(value: Any) -> Iterator[refs.Reference]:
    if isinstance(value, refs.Reference):
        yield value
    if hasattr(type(value), "model_fields"):
        for name in type(value).model_fields:
            yield from _references(getattr(value, name))
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _references(item)
