"""Steps end when their flow has failed, and not before."""

from __future__ import annotations

import threading
from typing import Any
from uuid import uuid4

import pytest
from prefect import flow
from prefect.task_runners import ThreadPoolTaskRunner

import tasks.engine.recording as reporting
from synaug_core.errors import DataError
from tasks.engine.recording import FlowRunOver, end_steps_on_failure, require_running
from tasks.engine.step import action

pytestmark = pytest.mark.usefixtures("server")

_MOST = 60.0
seen: dict[str, Any] = {}


@action
def train_on(name: str) -> None:
    """Trains until somebody ends it."""
    tell = reporting.progress("judge", name)
    seen["begun"].set()
    for _ in range(round(_MOST / 0.01)):
        try:
            tell(1, 2)
        except FlowRunOver:
            seen["ended"] = name
            raise
        threading.Event().wait(0.01)


@flow(task_runner=ThreadPoolTaskRunner(max_workers=2))
def failing() -> None:
    with end_steps_on_failure():
        train_on.submit("judges")
        seen["begun"].wait(_MOST)
        raise DataError("no such class")


def test_what_still_trains_when_the_flow_fails_ends_and_the_flow_s_error_is_told() -> None:
    seen.clear()
    seen["begun"] = threading.Event()
    with pytest.raises(DataError, match="no such class"):
        failing()
    assert seen["ended"] == "judges"


@action
def train_a_little() -> int:
    tell = reporting.progress("judge", "judges")
    for done in range(1, 4):
        tell(done, 3)
    return 3


@flow
def working() -> int:
    with end_steps_on_failure():
        return train_a_little.submit().result()


def test_other_flows_go_on() -> None:
    assert working() == 3


def test_steps_of_no_flow_or_of_one_that_goes_on_are_wanted() -> None:
    require_running(None)
    require_running(uuid4())
