"""Flow runs whose process was killed: Prefect leaves them RUNNING, so the next run of this machine closes them."""

from __future__ import annotations

import contextlib

from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import (
    FlowFilter,
    FlowFilterName,
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import StateType
from prefect.context import TagsContext
from prefect.states import Crashed

from synaug_core.services.processes import is_dead, me

__all__ = ["close_dead_runs", "process_tag", "untagged_steps"]

_PREFIX = "process:"


def process_tag() -> str:
    """Tag of a flow run that says which process makes it."""
    return f"{_PREFIX}{me()}"


def untagged_steps() -> contextlib.AbstractContextManager[object]:
    """Inside, steps do not inherit the flow run's tags: for each tag of a step Prefect asks the server for a slot."""
    return TagsContext(current_tags=set())


def close_dead_runs(flow_name: str) -> int:
    """Set RUNNING runs of a flow whose process is known to be dead to CRASHED, and say how many there were."""
    running = FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.RUNNING])))
    named = FlowFilter(name=FlowFilterName(any_=[flow_name]))
    with get_client(sync_client=True) as client:
        left = [
            run
            for run in client.read_flow_runs(flow_filter=named, flow_run_filter=running)
            if any(tag.startswith(_PREFIX) and is_dead(tag.removeprefix(_PREFIX)) for tag in run.tags)
        ]
        for run in left:
            client.set_flow_run_state(run.id, Crashed(message="its process was killed"), force=True)
    return len(left)
