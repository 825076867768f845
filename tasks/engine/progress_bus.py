"""How running steps tell whoever watches this process how far they are. Knows neither Prefect nor terminals."""

import contextlib
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

__all__ = ["Event", "publish", "subscribe"]


@dataclass(frozen=True)
class Event:
    """How far one step is.

    Attributes:
        stage: the part of the run (`dataset`, `generator`, ...).
        name: the step within the stage (a class group, a trial, an arm and repetition).
        done, total: units of work done and in all (0 where unknown); without a name, steps.
        values: figures worth showing (losses, scores).
        state: `cached` and `done` end a step well, `failed` ends it badly.
        id: tells steps of one name apart, as the folds of a cross-validation have them.
        opens: the step is a whole retraining of several: what other stages told before was about another one.
        units: units of work of all steps of the stage; 0 where these are alike.
    """

    stage: str
    name: str
    done: int = 0
    total: int = 0
    values: dict[str, float] = field(default_factory=dict)
    state: Literal["running", "done", "cached", "failed"] = "running"
    id: str = ""
    opens: bool = False
    units: int = 0


_lock = threading.Lock()
_subscribers: list[Callable[[Event], None]] = []


def publish(event: Event) -> None:
    """Give the event to every subscriber, in the calling thread."""
    with _lock:
        listeners = tuple(_subscribers)
    for listener in listeners:
        listener(event)


def subscribe(callback: Callable[[Event], None]) -> Callable[[], None]:
    """Call `callback` with every event from now on; the function returned ends that, and may be called twice.

    Callbacks are called from many threads, and must be quick.
    """
    with _lock:
        _subscribers.append(callback)

    def unsubscribe() -> None:
        with _lock, contextlib.suppress(ValueError):
            _subscribers.remove(callback)

    return unsubscribe
