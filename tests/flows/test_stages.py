from __future__ import annotations

from concurrent.futures import Future
from typing import Any
from uuid import uuid4

import pytest
from prefect.client.schemas.objects import State
from prefect.futures import PrefectConcurrentFuture
from prefect.states import Completed, Failed

from flows.stages import Stages
from synaug_core.errors import DataError
from tasks.engine.progress_bus import Event, subscribe


def ended(state: State[Any]) -> PrefectConcurrentFuture[Any]:
    """What `submit` gives, of a step that is over."""
    inner: Future[Any] = Future()
    inner.set_result(state)
    return PrefectConcurrentFuture(uuid4(), inner)


def done(value: Any) -> PrefectConcurrentFuture[Any]:
    return ended(Completed(data=value))


def cached(value: Any) -> PrefectConcurrentFuture[Any]:
    return ended(Completed(name="Cached", data=value))


def failed(error: Exception) -> PrefectConcurrentFuture[Any]:
    return ended(Failed(data=error))


@pytest.fixture
def events() -> Any:
    seen: list[Event] = []
    leave = subscribe(seen.append)
    yield seen
    leave()


def test_steps_are_counted_and_their_results_come_in_order(events: list[Event]) -> None:
    stages = Stages()
    with stages.timed("generator"):
        assert stages.gather(stages.track("generator", [("a", done(1)), ("b", cached(2)), ("c", done(3))])) == [1, 2, 3]
    account = stages.account()
    assert (account.steps, account.cached_steps) == (3, 1)
    assert account.seconds.keys() == {"total", "generator"}
    assert 0 <= account.seconds["generator"] <= account.seconds["total"]
    assert [(e.name, e.state) for e in events if e.name] == [("a", "done"), ("b", "cached"), ("c", "done")]
    assert {e.total for e in events if not e.name and e.total} == {3}


def test_the_first_failure_is_raised_after_all_have_ended(events: list[Event]) -> None:
    stages = Stages()
    futures = [("a", failed(DataError("first"))), ("b", done(2)), ("c", failed(ValueError("second")))]
    with pytest.raises(DataError, match="first"), stages.timed("training"):
        stages.gather(stages.track("training", futures))
    assert [(e.name, e.state) for e in events if e.name] == [("a", "failed"), ("b", "done"), ("c", "failed")]
    assert "training" in stages.account().seconds


def test_a_step_s_end_is_told_when_it_ends_and_once(events: list[Event]) -> None:
    stages, inner = Stages(), Future[Any]()
    late: PrefectConcurrentFuture[Any] = PrefectConcurrentFuture(uuid4(), inner)
    steps = stages.track("judge", [("a", late), ("b", cached(1))])
    assert [(e.name, e.state) for e in events if e.name] == [("b", "cached")]
    inner.set_result(Failed(data=DataError("no")))
    ends = [(e.name, e.state, e.id) for e in events if e.name]
    assert ends[1:] == [("a", "failed", str(late.task_run_id))]
    with pytest.raises(DataError, match="no"):
        stages.gather(steps[:1])
    assert [(e.name, e.state, e.id) for e in events if e.name] == ends
    assert {e.total for e in events if not e.name} == {2}


def test_a_stage_in_rounds_knows_how_many_steps_it_will_have(events: list[Event]) -> None:
    stages = Stages()
    with stages.timed("tuning"):
        for first in (0, 2, 4):
            stages.gather(stages.track("tuning", [(f"trial {first + i}", done(i)) for i in range(2)], expected=6))
    told = [(e.done, e.total) for e in events if not e.name and e.total]
    assert told == [(0, 6), (1, 6), (2, 6), (2, 6), (3, 6), (4, 6), (4, 6), (5, 6), (6, 6)]
    assert stages.account().steps == 6
