"""Follows steps to their ends, counts which were found in the cache, and how long each stage took."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, TypeVar
from uuid import UUID

from prefect.futures import PrefectFuture

from tasks.engine.cancelling import Unwanted
from tasks.engine.progress_bus import Event, publish

__all__ = ["Account", "Ledger"]

R = TypeVar("R")


@dataclass(frozen=True)
class Account:
    """How many steps there were, how many of them were found in the cache, and the seconds of each stage."""

    steps: int
    cached_steps: int
    seconds: dict[str, float]


class Ledger:
    """One flow run's account of its steps."""

    def __init__(self) -> None:
        self.steps = 0
        self.cached = 0
        self.seconds: dict[str, float] = {}
        self._begun: dict[str, int] = {}
        self._gathered: dict[str, int] = {}
        self._followed: set[UUID] = set()
        self._told: set[UUID] = set()
        self._telling = threading.Lock()
        self._started = time.monotonic()

    @contextlib.contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time a stage and say that it began and ended."""
        begun = time.monotonic()
        publish(Event(name, "", 0, 0))
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.monotonic() - begun
            publish(Event(name, "", 0, 0))

    def follow(
        self, stage: str, futures: Sequence[tuple[str, PrefectFuture[R]]], expected: int = 0
    ) -> Sequence[tuple[str, PrefectFuture[R]]]:
        """Say when each of these named steps ends, which may be long before anybody waits for it; gives them back.

        `expected` is the number of steps that the whole stage will have, where these are not all.
        """
        new = [(name, future) for name, future in futures if future.task_run_id not in self._followed]
        self._followed.update(future.task_run_id for _, future in new)
        self._begun[stage] = self._begun.get(stage, 0) + len(new)
        publish(Event(stage, "", self._gathered.get(stage, 0), max(expected, self._begun[stage])))
        for name, future in new:
            future.add_done_callback(partial(self._tell, stage, name))
        return futures

    def gather(self, stage: str, futures: Sequence[tuple[str, PrefectFuture[R]]], expected: int = 0) -> list[R]:
        """The results of named steps, in order; the first failure is raised after all have ended.

        `expected` is the number of steps that the whole stage will have, where these are not all.
        """
        self.follow(stage, futures, expected)
        whole = max(expected, self._begun[stage])
        failed: Exception | None = None
        results: list[Any] = []
        for name, future in futures:
            future.wait()
            self._tell(stage, name, future)  # those who wait are woken before the callbacks are called
            self.steps += 1
            self.cached += _state(future) == "cached"
            try:
                results.append(future.result())
            except Exception as error:
                failed = failed or error
            self._gathered[stage] = self._gathered.get(stage, 0) + 1
            publish(Event(stage, "", self._gathered[stage], whole))
        if failed is not None:
            raise failed
        return results

    def account(self) -> Account:
        """The account so far; `total` is the time since the ledger was opened."""
        return Account(
            steps=self.steps,
            cached_steps=self.cached,
            seconds={"total": time.monotonic() - self._started, **self.seconds},
        )

    def _tell(self, stage: str, name: str, future: PrefectFuture[Any]) -> None:
        """Say once that a step has ended; who comes second waits until it is said."""
        with self._telling:
            if future.task_run_id not in self._told:
                self._told.add(future.task_run_id)
                try:
                    future.wait()
                except Unwanted:  # the run is over, and has said why
                    return
                publish(Event(stage, name, 1, 1, state=_state(future), id=str(future.task_run_id)))


def _state(future: PrefectFuture[Any]) -> Literal["done", "cached", "failed"]:
    """Of a step that has ended."""
    state = future.state
    if not state.is_completed():
        return "failed"
    return "cached" if state.name == "Cached" else "done"
