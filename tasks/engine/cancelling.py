"""Steps of a flow run that is over end at their next sign of progress, instead of training on for nobody."""

import contextlib
from collections.abc import Iterator
from uuid import UUID

from prefect.context import FlowRunContext

__all__ = ["Unwanted", "check_wanted", "unwanted_on_failure"]

_over: set[UUID] = set()


class Unwanted(BaseException):
    """The flow of this step is gone: it failed, was stopped or killed, or its connection broke."""


@contextlib.contextmanager
def unwanted_on_failure() -> Iterator[None]:
    """Inside a flow: where the block raises, nobody waits any more for the steps that still run in this process."""
    try:
        yield
    except BaseException:
        context = FlowRunContext.get()
        if context is not None and context.flow_run is not None:
            _over.add(context.flow_run.id)
        raise


def check_wanted(flow_run: UUID | None) -> None:
    """Nothing while somebody waits for the steps of this flow run.

    Raises:
        Unwanted: nobody does. No Exception, so that nothing takes it for a failure of the step itself.
    """
    if flow_run in _over:
        raise Unwanted("the run that this step belongs to is over")
