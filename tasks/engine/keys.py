"""What makes two steps the same step: the digest of the code and the inputs, and nothing else."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from prefect.context import TaskRunContext

from synaug_core import digests
from synaug_core.plugins import plugin_sources
from synaug_core.refs import Reference, identity

__all__ = ["StepKey", "this_key"]


class StepKey:
    """A Prefect cache key function: digest of a step's source, of the core packages it calls, and of its arguments.

    A cached result is only references. Where an object behind one of them no longer exists, the key gets a number
    behind it, so that the step runs again.
    """

    def __init__(self, function: Callable[..., Any], packages: tuple[str, ...]) -> None:
        self._name = function.__qualname__
        self._source = inspect.getsource(function)
        self._packages = packages

    def of(self, arguments: Mapping[str, Any]) -> str:
        """The key of a call with these arguments."""
        return digests.of_value(
            {
                "step": self._name,
                "source": digests.of_bytes(self._source.encode()),
                "core": digests.code_version("config", *self._packages),
                "plugins": _plugins() if {"generators", "synthesis"} & set(self._packages) else {},
                "arguments": identity(dict(arguments)),
            }
        )

    def __call__(self, context: TaskRunContext, arguments: dict[str, Any]) -> str:
        """What Prefect calls before it runs the step."""
        key = candidate = self.of(arguments)
        number = 1
        while context.result_store.exists(candidate) and not _is_whole(context.result_store.read(candidate).result):
            number += 1
            candidate = f"{key}-{number}"
        return candidate


@functools.cache
def _plugins() -> dict[str, str]:
    return plugin_sources()


def this_key() -> str:
    """The key of the step that runs in this thread: it also names its MLflow run and its checkpoint.

    Raises:
        LookupError: called outside a step.
    """
    context = TaskRunContext.get()
    if context is None or not isinstance(context.task.cache_key_fn, StepKey):
        raise LookupError("no step is running in this thread")
    return context.task.cache_key_fn.of(context.parameters)


def _is_whole(result: Any) -> bool:
    from synaug_core.services.mlflow.artifacts import exists

    return all(exists(reference) for reference in _references(result))


def _references(value: Any) -> Iterator[Reference]:
    if isinstance(value, Reference):
        yield value
    if hasattr(type(value), "model_fields"):
        for name in type(value).model_fields:
            yield from _references(getattr(value, name))
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _references(item)
