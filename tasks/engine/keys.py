"""What makes two steps the same step: the digest of the code and the inputs, and nothing else."""

import functools
import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from prefect import Task
from prefect.context import TaskRunContext

from synaug_core import code_reach, digests, frozen, refs

__all__ = ["StepKey", "step_code", "this_key"]


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
    from synaug_core.services.mlflow.artifacts import exists

    return all(exists(reference) for reference in _references(result))


def _references(value: Any) -> Iterator[refs.Reference]:
    if isinstance(value, refs.Reference):
        yield value
    if hasattr(type(value), "model_fields"):
        for name in type(value).model_fields:
            yield from _references(getattr(value, name))
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _references(item)
