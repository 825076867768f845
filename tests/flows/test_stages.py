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


def test_what_follows_a_step_begins_before_later_steps_have_ended() -> None:
    stages, inner, followed = Stages(), Future[Any](), list[int]()
    late: PrefectConcurrentFuture[Any] = PrefectConcurrentFuture(uuid4(), inner)

    def then(value: int) -> None:
        followed.append(value)
        if value == 1:
            assert not inner.done()
            inner.set_result(Completed(data=2))

    assert stages.gather(stages.track("training", [("a", done(1)), ("b", late)]), then=then) == [1, 2]
    assert followed == [1, 2]
    ends = [("a", done(3)), ("b", failed(DataError("no"))), ("c", done(4))]
    with pytest.raises(DataError, match="no"):
        stages.gather(stages.track("training", ends), then=then)
    assert followed == [1, 2, 3], "nothing new begins in a run that fails"


def test_steps_of_unlike_length_say_how_long_they_are(events: list[Event]) -> None:
    stages = Stages()
    stages.gather(stages.track("tuning", [("a", done(1))], expected=2, units=10, all_units=50))
    stages.gather(stages.track("tuning", [("b", cached(2))], expected=2, units=40, all_units=50))
    assert [(e.done, e.total) for e in events if e.name] == [(10, 10), (40, 40)]
    assert {e.units for e in events if not e.name} == {0, 50}


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


class Named:
    """A step that tells the names of its runs."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def with_options(self, task_run_name: str) -> Named:
        self.names.append(task_run_name.format())
        return self

    def submit(self, value: int) -> PrefectConcurrentFuture[Any]:
        return done(value)


def test_task_runs_are_named_after_their_work_whatever_the_names_of_classes() -> None:
    stages, step = Stages(), Named()
    jobs = [("combined 3", (1,)), ("vae {a} }", (2,))]
    assert stages.gather(stages.submit("training", step, jobs)) == [1, 2]  # type: ignore[arg-type]
    assert stages.gather(stages.submit("a probe", step, jobs[:1])) == [1]  # type: ignore[arg-type]
    assert step.names == ["train combined 3", "train vae {a} }", "a probe combined 3"]


def test_a_flow_run_logs_the_end_of_each_step() -> None:
    lines: list[str] = []
    stages = Stages(lines.append)
    ends = [("a", done(1)), ("b", cached(2)), ("c", failed(DataError("no")))]
    with pytest.raises(DataError, match="no"):
        stages.gather(stages.track("training", ends))
    assert lines == ["training: a: done, 1 of 3", "training: b: reused, 2 of 3", "training: c: failed, 3 of 3"]
