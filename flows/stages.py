"""The stages of a flow run: their steps are submitted, followed to their ends, counted, timed and adopted."""

import contextlib
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, Literal, TypeVar
from uuid import UUID

from prefect import Task
from prefect.futures import PrefectFuture

from flows.process import as_text
from synaug_core.refs import RunRef
from tasks.engine import progress_bus, recording
from tasks.retraining import adopt_runs

__all__ = ["Account", "Stages", "Submitted"]

_VERBS = {
    "dataset": "read",
    "selection": "try",
    "generator": "fit",
    "judge": "train judges:",
    "synthesis": "make images:",
    "quality": "judge images of",
    "picking": "try",
    "tuning": "try",
    "training": "train",
    "robustness": "disturb",
    "explanation": "explain",
    "comparison": "compare",
    "report": "write",
}
"""Stage -> what a step of it does, for the names of task runs: `train combined 3`."""

R = TypeVar("R")


@dataclass(frozen=True)
class Account:
    """How many steps there were, how many of them were found in the cache, and the seconds of each stage."""

    steps: int
    cached_steps: int
    seconds: dict[str, float]


@dataclass(frozen=True)
class Submitted(Generic[R]):
    """A step under way: its stage, its name there, what it will give, and how long it is beside others."""

    stage: str
    name: str
    future: PrefectFuture[R]
    units: int = 1


class Stages:
    """One flow run's steps, by stage."""

    def __init__(self, log: Callable[[str], object] = lambda _: None) -> None:
        """`log` is told the end of each step, in the words of the terminal."""
        self._log = log
        self._ended: Counter[str] = Counter()
        self.steps = 0
        self.cached = 0
        self.seconds: dict[str, float] = {}
        self._sizes: Counter[str] = Counter()
        self._submitted: Counter[str] = Counter()
        self._gathered: Counter[str] = Counter()
        self._announced: set[UUID] = set()
        self._announcing = threading.Lock()
        self._started = time.monotonic()

    @contextlib.contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Time a stage and say that it begins and ends."""
        start = time.monotonic()
        progress_bus.publish(progress_bus.Event(stage, "", 0, 0))
        try:
            yield
        finally:
            self.seconds[stage] = self.seconds.get(stage, 0.0) + time.monotonic() - start
            progress_bus.publish(progress_bus.Event(stage, "", 0, 0))

    def submit(
        self,
        stage: str,
        step: Task[..., R],
        jobs: Iterable[tuple[str, tuple[Any, ...]]],
        expected: int = 0,
        units: int = 1,
        all_units: int = 0,
    ) -> list[Submitted[R]]:
        """Submit a step for each job, a name and arguments; all that can run side by side do.

        `expected` is the number of steps that the whole stage will have, where these are not all. Where steps differ in
        length, `units` is how long each of these is, in the unit of its progress, and `all_units` all of the stage.
        """
        verb = _VERBS.get(stage, stage)
        futures = [
            (name, step.with_options(task_run_name=as_text(f"{verb} {name}")).submit(*arguments))
            for name, arguments in jobs
        ]
        return self.track(stage, futures, expected, units, all_units)

    def track(
        self,
        stage: str,
        futures: Sequence[tuple[str, PrefectFuture[R]]],
        expected: int = 0,
        units: int = 1,
        all_units: int = 0,
    ) -> list[Submitted[R]]:
        """Announce the end of each of these named steps when it comes, which may be long before anybody waits."""
        self._submitted[stage] += len(futures)
        self._sizes[stage] = max(expected, self._sizes[stage], self._submitted[stage])
        progress_bus.publish(progress_bus.Event(stage, "", self._gathered[stage], self._sizes[stage], units=all_units))
        submitted = [Submitted(stage, name, future, units) for name, future in futures]
        for one in submitted:
            one.future.add_done_callback(partial(self._announce, one))
        return submitted

    def gather(
        self,
        submitted: Sequence[Submitted[R]],
        adopt_below: RunRef | None = None,
        then: Callable[[R], object] | None = None,
    ) -> list[R]:
        """The results of steps, in order; the first failure is raised after all have ended.

        Steps that an earlier retraining made are shown below the run `adopt_below`. `then` is given each result, in
        order, while later steps still run, as long as none has failed.
        """
        failure: Exception | None = None
        results: list[Any] = []
        for step in submitted:
            step.future.wait()
            self._announce(step, step.future)  # who waits is woken before callbacks are called
            self.steps += 1
            self.cached += _state(step.future) == "cached"
            try:
                results.append(step.future.result())
            except Exception as error:
                failure = failure or error
            if then is not None and failure is None:
                then(results[-1])
            self._gathered[step.stage] += 1
            progress_bus.publish(
                progress_bus.Event(step.stage, "", self._gathered[step.stage], self._sizes[step.stage])
            )
        if failure is not None:
            raise failure
        if adopt_below is not None and results:
            adopt_runs(adopt_below, tuple(result.run_id for result in results))
        return results

    def account(self) -> Account:
        """The account so far; `total` is the time since this object was made."""
        return Account(self.steps, self.cached, {"total": time.monotonic() - self._started, **self.seconds})

    def _announce(self, step: Submitted[Any], future: PrefectFuture[Any]) -> None:
        """Say once that a step has ended; who comes second waits until it is said."""
        with self._announcing:
            if future.task_run_id not in self._announced:
                self._announced.add(future.task_run_id)
                try:
                    future.wait()
                except recording.FlowRunOver:  # the run is over, and has said why
                    return
                key, state = str(future.task_run_id), _state(future)
                self._ended[step.stage] += 1
                count = f"{self._ended[step.stage]} of {self._sizes[step.stage]}"
                self._log(f"{step.stage}: {step.name}: {'reused' if state == 'cached' else state}, {count}")
                progress_bus.publish(
                    progress_bus.Event(step.stage, step.name, step.units, step.units, state=state, id=key)
                )


def _state(future: PrefectFuture[Any]) -> Literal["done", "cached", "failed"]:
    """Of a step that has ended."""
    state = future.state
    if not state.is_completed():
        return "failed"
    return "cached" if state.name == "Cached" else "done"
