"""The loop around every training: taken up where it was left, in time, kept and told after each block of steps."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Generic, Protocol, TypeVar

from synaug_core.checkpoints import Checkpoint
from synaug_core.errors import DeadlineError
from synaug_core.generators.fit_report import Status
from synaug_core.progress import Progress

__all__ = ["Clock", "OneCourse", "Run", "go"]


class Clock:
    """The time since it was made. `deadline`: seconds after which a training gives up, None for never."""

    def __init__(self, deadline: float | None = None) -> None:
        self._began, self._deadline = time.monotonic(), deadline

    @property
    def seconds(self) -> float:
        """Gone by."""
        return time.monotonic() - self._began

    def check(self, done: int, steps: int) -> None:
        """Nothing while there is time; `done` of `steps` is for the message.

        Raises:
            DeadlineError: the time is up.
        """
        if self._deadline is not None and self.seconds > self._deadline:
            raise DeadlineError(f"the generator took longer than {self._deadline:g} s ({done} of {steps} steps)")


class Run(Protocol):
    """A training under way."""

    @property
    def done(self) -> int:
        """Optimiser steps done."""

    @property
    def ended(self) -> bool:
        """True when there is nothing left to do."""

    def begin(self) -> None:
        """What comes before the first block of a training that takes up no other."""

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on where `state` was taken."""

    def state(self) -> dict[str, Any]:
        """Everything needed to go on: nested dicts and lists of tensors, numbers and texts."""

    def advance(self) -> dict[str, float]:
        """One block of steps and what is looked at after it; values worth showing."""


class _Course(Protocol):
    status: Status | None
    steps: int


_C = TypeVar("_C", bound=_Course)


class OneCourse(Generic[_C]):
    """What a `Run` of one model knows by its course."""

    course: _C

    @property
    def done(self) -> int:
        """Optimiser steps done."""
        return self.course.steps

    @property
    def ended(self) -> bool:
        """True when there is nothing left to do."""
        return self.course.status is not None

    def begin(self) -> None:
        """Nothing comes before the first block."""


def go(run: Run, clock: Clock, *, steps: int, fingerprint: str, progress: Progress, checkpoint: Checkpoint) -> None:
    """Train to the end, from the checkpoint where there is one of the same `fingerprint`.

    Args:
        run: the training, at its start.
        clock: what the training has time for; looked at before each block.
        steps: to tell; a training that ends earlier has done them all.
        fingerprint: what the training depends on.
        progress: called after each block.
        checkpoint: offered the state after each block.

    Raises:
        DeadlineError: the time was up.
    """
    state = checkpoint.load()
    if state is not None and state.get("fingerprint") == fingerprint:
        run.restore(state["run"])
    else:
        run.begin()
    while not run.ended:
        clock.check(run.done, steps)
        values = run.advance()
        checkpoint.offer(lambda: {"fingerprint": fingerprint, "run": run.state()})
        progress(steps if run.ended else run.done, steps, **values)
