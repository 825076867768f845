"""What is known of a run while it runs: stages, their steps, how far each is, and how long it will take."""

from __future__ import annotations

from dataclasses import dataclass, field

from tasks.engine.progress_bus import Event

__all__ = ["Board", "Stage", "Step", "duration", "figures"]


@dataclass
class Step:
    """One task: a class group, a trial, a repetition. Times are seconds of one monotonic clock."""

    name: str
    started: float
    first_done: int
    done: int = 0
    total: int = 0
    values: dict[str, float] = field(default_factory=dict)
    state: str = "running"
    ended: float | None = None

    def seconds(self, now: float) -> float:
        """Time it has taken so far, or took."""
        return (now if self.ended is None else self.ended) - self.started

    def left(self, now: float) -> float | None:
        """Seconds still to go at the pace so far; None while there is no pace."""
        advanced = self.done - self.first_done
        if self.ended is not None or advanced <= 0 or self.total <= 0:
            return None
        return self.seconds(now) * max(self.total - self.done, 0) / advanced


@dataclass
class Stage:
    """Steps of one kind. `announced` is how many there will be, 0 where unknown."""

    name: str
    started: float
    announced: int = 0
    closed: bool = False
    """A later stage has begun, or the run is over."""
    steps: dict[tuple[str, str], Step] = field(default_factory=dict)
    """By name and id."""
    touched: float = 0.0

    def count(self, state: str) -> int:
        """Number of steps in that state."""
        return sum(step.state == state for step in self.steps.values())

    @property
    def ended(self) -> int:
        """Number of steps that are over, well or badly."""
        return len(self.steps) - self.count("running")

    @property
    def expected(self) -> int:
        """Number of steps there will be; 0 where unknown, as in a search that asks for one round at a time."""
        return self.announced if self.announced >= len(self.steps) else 0

    @property
    def state(self) -> str:
        """`running`, `failed` or `done`."""
        whole = self.closed or 0 < self.expected <= self.ended
        if not whole or self.count("running") or self.ended < self.expected:
            return "running"
        return "failed" if self.count("failed") else "done"

    @property
    def first_start(self) -> float:
        """When its first step began, which may have waited for other stages; results taken from before do not count."""
        worked = [step for step in self.steps.values() if step.state != "cached"]
        if any(step.started == step.ended for step in worked):  # told of at its end alone
            return self.started
        return min((step.started for step in worked), default=self.started)

    def seconds(self, now: float) -> float:
        """Time since its first step began, up to the end of the last one."""
        if self.state == "running":
            return now - self.first_start
        ends = [step.ended for step in self.steps.values() if step.ended is not None]
        return max(ends, default=self.touched) - self.first_start

    def left(self, now: float) -> float | None:
        """Seconds until all expected steps are over, at the pace so far; results taken from before do not count."""
        fractions = sum(s.done / s.total for s in self.steps.values() if s.state == "running" and s.total > 0)
        worked = self.count("done") + fractions
        if self.ended >= self.expected or worked <= 0 or self.state != "running":
            return None
        return self.seconds(now) * max(self.expected - self.ended - fractions, 0.0) / worked


class Board:
    """Takes events in, in any order. An event without a step's name says how many steps the stage will have."""

    def __init__(self) -> None:
        self.stages: dict[str, Stage] = {}

    def apply(self, event: Event, now: float) -> Step | None:
        """Take in an event; the step it was about, or None where it was about the whole stage."""
        stage = self.stages.get(event.stage)
        if stage is None:
            self.close()
            stage = self.stages[event.stage] = Stage(event.stage, started=now)
        stage.touched = now
        if event.opens:
            self.stages = {event.stage: stage}
        if not event.name:
            stage.announced = max(event.total, stage.announced)
            return None
        key = event.name, event.id
        step = stage.steps.get(key)
        if step is None or (step.ended is not None and event.state == "running" and event.done < step.done):
            step = stage.steps[key] = Step(event.name, started=now, first_done=event.done)
        # The event that ends a step may count in another unit.
        step.done = max(event.done, step.done)
        step.total = max(event.total, step.total)
        step.values = dict(event.values) or step.values
        if event.state != "running":
            step.state, step.ended = event.state, now
        return step

    def close(self) -> None:
        """Every stage so far is over, its unfinished steps apart."""
        for stage in self.stages.values():
            stage.closed = True
            for step in stage.steps.values():
                if step.ended is None and 0 < step.total <= step.done:
                    step.state, step.ended = "done", stage.touched


def duration(seconds: float) -> str:
    """`0:41`, `12:05`, `1:02:03`."""
    whole = round(seconds)
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def figures(values: dict[str, float], most: int = 3) -> str:
    """`loss 0.412, accuracy 0.81`: the first few values, three digits each."""
    return ", ".join(f"{name.replace('_', ' ')} {value:.3g}" for name, value in list(values.items())[:most])
