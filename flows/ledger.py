"""Submits steps, counts which were found in the cache, and how long each stage took."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from prefect.futures import PrefectFuture

from tasks.progress_bus import Event, publish

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
        self._gathered: dict[str, int] = {}
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

    def gather(self, stage: str, futures: Sequence[tuple[str, PrefectFuture[R]]], expected: int = 0) -> list[R]:
        """The results of named steps, in order; the first failure is raised after all have ended.

        `expected` is the number of steps that the whole stage will have, where these are not all.
        """
        before = self._gathered.get(stage, 0)
        self._gathered[stage] = before + len(futures)
        whole = max(expected, before + len(futures))
        publish(Event(stage, "", before, whole))
        failed: Exception | None = None
        results: list[Any] = []
        for done, (name, future) in enumerate(futures, start=before + 1):
            future.wait()
            self.steps += 1
            cached = future.state.name == "Cached"
            self.cached += cached
            state: Literal["done", "cached", "failed"] = "cached" if cached else "done"
            try:
                results.append(future.result())
            except Exception as error:
                failed, state = failed or error, "failed"
            publish(Event(stage, name, 1, 1, state=state))
            publish(Event(stage, "", done, whole))
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
