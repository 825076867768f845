"""Progress in the terminal: what is known of a run while it runs, and how it is shown: a table that stays in place, or
plain lines where the output is no terminal."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from rich import live, progress_bar, spinner
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from tasks.engine.progress_bus import Event, subscribe

__all__ = ["Board", "PlainLines", "Stage", "Step", "TerminalTable", "duration", "figures", "watch"]

_SHOWN_STEPS = 8
_LINE_EVERY = 10.0
_TRUST = 0.1
"""Share of the estimate that counts as if it had been measured: the longer a run goes, the more its own pace counts."""
_MARKS = {"done": Text("✓", "green"), "failed": Text("✗", "red"), "running": Text("●", "cyan")}


@dataclass
class Step:
    """One task: a class group, a trial, a repetition. Times are seconds of one monotonic clock."""

    name: str
    start_time: float
    first_done: int
    done: int = 0
    total: int = 0
    values: dict[str, float] = field(default_factory=dict)
    state: str = "running"
    end_time: float | None = None

    def seconds(self, now: float) -> float:
        """Time it has taken so far, or took."""
        return (now if self.end_time is None else self.end_time) - self.start_time

    def remaining_seconds(self, now: float) -> float | None:
        """Seconds still to go at the pace so far; None while there is no pace."""
        progress = self.done - self.first_done
        if self.end_time is not None or progress <= 0 or self.total <= 0:
            return None
        return self.seconds(now) * max(self.total - self.done, 0) / progress


@dataclass
class Stage:
    """Steps of one kind. `announced_count` is how many there will be, 0 where unknown; `announced_units` how long they
    are together, in the unit of their progress, 0 where they are alike."""

    name: str
    start_time: float
    announced_count: int = 0
    announced_units: int = 0
    is_closed: bool = False
    """A later stage has begun, or the run is over."""
    steps: dict[tuple[str, str], Step] = field(default_factory=dict)
    """By name and id."""
    last_event_time: float = 0.0

    def count(self, state: str) -> int:
        """Number of steps in that state."""
        return sum(step.state == state for step in self.steps.values())

    @property
    def ended_count(self) -> int:
        """Number of steps that are over, well or badly."""
        return len(self.steps) - self.count("running")

    @property
    def expected_count(self) -> int:
        """Number of steps there will be; 0 where unknown, as in a search that asks for one round at a time."""
        return self.announced_count if self.announced_count >= len(self.steps) else 0

    @property
    def state(self) -> str:
        """`running`, `failed` or `done`."""
        is_complete = self.is_closed or 0 < self.expected_count <= self.ended_count
        if not is_complete or self.count("running") or self.ended_count < self.expected_count:
            return "running"
        return "failed" if self.count("failed") else "done"

    def shares(self) -> tuple[float, float]:
        """How much of the stage is over, and how much of it was reused, each from 0 to 1."""
        if self.state != "running":
            return 1.0, self.count("cached") / max(1, len(self.steps))
        expected = max(self.expected_count, len(self.steps), 1)
        running = sum(min(s.done / s.total, 1.0) for s in self.steps.values() if s.state == "running" and s.total > 0)
        return min(1.0, (self.ended_count + running) / expected), self.count("cached") / expected

    @property
    def first_start(self) -> float:
        """When its first step began, which may have waited for other stages; reused results do not count."""
        computed_steps = [step for step in self.steps.values() if step.state != "cached"]
        if any(step.start_time == step.end_time for step in computed_steps):  # its only event came at its end
            return self.start_time
        return min((step.start_time for step in computed_steps), default=self.start_time)

    def seconds(self, now: float) -> float:
        """Time since its first step began, up to the end of the last one."""
        if self.state == "running":
            return now - self.first_start
        ends = [step.end_time for step in self.steps.values() if step.end_time is not None]
        return max(ends, default=self.last_event_time) - self.first_start

    def remaining_seconds(self, now: float) -> float | None:
        """Seconds until all expected steps are over, at the pace so far; reused results do not count."""
        steps = [s for s in self.steps.values() if s.total > 0 or s.state != "running"]
        weights = {id(s): s.total if self.announced_units else 1 for s in steps}
        under_way = sum(weights[id(s)] * s.done / s.total for s in steps if s.state == "running")
        finished = sum(weights[id(s)] for s in steps if s.state == "done") + under_way
        if self.ended_count >= self.expected_count or finished <= 0 or self.state != "running":
            return None
        ended = sum(weights[id(s)] for s in steps if s.state != "running")
        left = (self.announced_units or self.expected_count) - ended - under_way
        return self.seconds(now) * max(left, 0.0) / finished


class Board:
    """Takes events in, in any order. An event without a step's name says how many steps the stage will have.

    `expected_seconds` says about how long each stage of the whole takes, in their order; empty: nobody knows.
    """

    def __init__(self, expected_seconds: Mapping[str, float] | None = None) -> None:
        self.stages: dict[str, Stage] = {}
        self._expected_seconds = dict(expected_seconds or {})

    def remaining_seconds(self, elapsed: float) -> float | None:
        """Seconds until the whole is over, `elapsed` seconds after its start; None where nobody knows.

        The estimate of what is left, times the pace: seconds taken over seconds estimated for what was computed so far.
        What was reused took none.
        """
        names = list(self._expected_seconds)
        begun_stages = [n for n, name in enumerate(names) if name in self.stages]
        left = computed = 0.0
        for n, name in enumerate(names):
            seconds = self._expected_seconds[name]
            if name in self.stages:
                done, reused = self.stages[name].shares()
                left += seconds * (1 - done)
                computed += seconds * max(0.0, done - reused)
            elif not begun_stages or n > max(begun_stages):
                left += seconds
        prior = _TRUST * sum(self._expected_seconds.values())
        return left * (elapsed + prior) / (computed + prior) if names else None

    def apply(self, event: Event, now: float) -> Step | None:
        """Take in an event; the step it was about, or None where it was about the whole stage."""
        stage = self.stages.get(event.stage)
        if stage is None:
            self.close()
            stage = self.stages[event.stage] = Stage(event.stage, start_time=now)
        stage.last_event_time = now
        if event.opens:
            self.stages = {event.stage: stage}
        if not event.name:
            stage.announced_count = max(event.total, stage.announced_count)
            stage.announced_units = max(event.units, stage.announced_units)
            return None
        key = event.name, event.id
        step = stage.steps.get(key)
        if step is None or (step.end_time is not None and event.state == "running" and event.done < step.done):
            step = stage.steps[key] = Step(event.name, start_time=now, first_done=event.done)
        # The event that ends a step may count in another unit.
        step.done = max(event.done, step.done)
        step.total = max(event.total, step.total)
        step.values = dict(event.values) or step.values
        if event.state != "running":
            step.state, step.end_time = event.state, now
        return step

    def close(self) -> None:
        """Every stage so far is over, its unfinished steps apart."""
        for stage in self.stages.values():
            stage.is_closed = True
            for step in stage.steps.values():
                if step.end_time is None and 0 < step.total <= step.done:
                    step.state, step.end_time = "done", stage.last_event_time


def duration(seconds: float) -> str:
    """`0:41`, `12:05`, `1:02:03`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def figures(values: dict[str, float], limit: int = 3) -> str:
    """`loss 0.412, accuracy 0.81`: the first few values, three digits each."""
    return ", ".join(f"{name.replace('_', ' ')} {value:.3g}" for name, value in list(values.items())[:limit])


class PlainLines:
    """One line when a step ends, and one every ten seconds for a step that runs."""

    def __init__(
        self,
        console: Console,
        clock: Callable[[], float] = time.monotonic,
        expected_seconds: Mapping[str, float] | None = None,
    ) -> None:
        self._console, self._clock = console, clock
        self._board, self._lock = Board(expected_seconds), threading.Lock()
        self._start = clock()
        self._last: dict[tuple[str, str, str], float] = {}

    def __call__(self, event: Event) -> None:
        """Take in one event."""
        with self._lock:
            now = self._clock()
            step = self._board.apply(event, now)
            if step is None:
                return
            key = (event.stage, event.name, event.id)
            if step.end_time is None and now - self._last.setdefault(key, now) < _LINE_EVERY:
                return
            self._last[key] = now
            line = self._line(self._board.stages[event.stage], step, now)
            self._console.print(line, highlight=False, markup=False, soft_wrap=True)

    def _line(self, stage: Stage, step: Step, now: float) -> str:
        parts = [_ending(step, now) if step.end_time is not None else _position(step, now)]
        if step.values:
            parts.append(figures(step.values))
        if step.end_time is not None and stage.expected_count:
            parts.append(f"{stage.ended_count} of {stage.expected_count}")
            if (remaining := stage.remaining_seconds(now)) is not None:
                parts.append(f"about {duration(remaining)} left for {stage.name}")
        if step.end_time is not None and (left := self._board.remaining_seconds(now - self._start)) is not None:
            parts.append(f"about {duration(left)} left in all")
        return f"[{duration(now - self._start)}] {stage.name}: {step.name}: {', '.join(parts)}"


def _ending(step: Step, now: float) -> str:
    return "reused" if step.state == "cached" else f"{step.state} in {duration(step.seconds(now))}"


def _position(step: Step, now: float) -> str:
    if not step.total:
        return f"running for {duration(step.seconds(now))}"
    return f"{step.done} of {step.total}{_pace(step, now, ', about ')}"


def _pace(step: Step, now: float, before: str = "") -> str:
    """Time left; after the last of its units a step still has to store what it made."""
    if 0 < step.total <= step.done:
        return f"{before and ', '}storing"
    remaining = step.remaining_seconds(now)
    return "" if remaining is None else f"{before}{duration(remaining)} left"


class TerminalTable:
    """Stages with their running steps below them, drawn anew a few times a second."""

    def __init__(
        self,
        title: str,
        clock: Callable[[], float] = time.monotonic,
        expected_seconds: Mapping[str, float] | None = None,
    ) -> None:
        self._title, self._clock = title, clock
        self._board, self._lock = Board(expected_seconds), threading.Lock()
        self._start = clock()
        self._spinner = spinner.Spinner("dots", style="cyan")

    def __call__(self, event: Event) -> None:
        """Take in one event."""
        with self._lock:
            self._board.apply(event, self._clock())

    def close(self) -> None:
        """The run is over."""
        with self._lock:
            self._board.close()

    def __rich__(self) -> RenderableType:
        with self._lock:
            return self._draw(self._clock())

    def _draw(self, now: float) -> RenderableType:
        head = Table.grid(padding=(0, 1))
        left = self._board.remaining_seconds(now - self._start)
        left_text = "" if left is None else f", about {duration(left)} left in all"
        head.add_row(self._spinner, Text(self._title, "bold"), Text(f"{duration(now - self._start)}{left_text}", "dim"))
        table = Table.grid(padding=(0, 1))
        table.add_column(width=1)
        table.add_column(max_width=32, no_wrap=True)
        table.add_column(width=20)
        table.add_column(justify="right")
        for stage in self._board.stages.values():
            self._add_stage(table, stage, now)
        if not self._board.stages:
            return Group(head, Text("  starting", "dim"))
        return Group(head, table)

    def _add_stage(self, table: Table, stage: Stage, now: float) -> None:
        count = f"{stage.ended_count}/{stage.expected_count}" if stage.expected_count else str(stage.ended_count or "")
        cached = stage.count("cached")
        remaining = stage.remaining_seconds(now)
        time_text = duration(stage.seconds(now)) if remaining is None else f"{duration(remaining)} left"
        bar = (
            progress_bar.ProgressBar(stage.expected_count, stage.ended_count, width=20) if stage.expected_count else ""
        )
        note = f"{cached} reused" if cached else ""
        table.add_row(
            _MARKS[stage.state], Text(stage.name, "bold"), bar, count, Text(time_text, "dim"), Text(note, "dim")
        )
        running = [step for step in stage.steps.values() if step.end_time is None]
        for step in running[:_SHOWN_STEPS]:
            step_time = _pace(step, now) or duration(step.seconds(now))
            bar = progress_bar.ProgressBar(step.total, step.done, width=20) if step.total else ""
            count = f"{step.done}/{step.total}" if step.total else ""
            table.add_row(
                "", Text(f"  {step.name}"), bar, count, Text(step_time, "dim"), Text(figures(step.values), "dim")
            )
        if len(running) > _SHOWN_STEPS:
            table.add_row("", Text(f"  and {len(running) - _SHOWN_STEPS} more", "dim"), "", "", "", "")


@contextlib.contextmanager
def watch(
    title: str, console: Console, quiet: bool = False, expected_seconds: Mapping[str, float] | None = None
) -> Iterator[None]:
    """Show the progress of whatever runs inside, in the way that the console allows; the time left for all of it where
    `expected_seconds` says about how long each stage takes."""
    if quiet:
        yield
        return
    if not console.is_terminal:
        unsubscribe = subscribe(PlainLines(console, expected_seconds=expected_seconds))
        try:
            yield
        finally:
            unsubscribe()
        return
    table = TerminalTable(title, expected_seconds=expected_seconds)
    unsubscribe = subscribe(table)
    try:
        with live.Live(table, console=console, refresh_per_second=4):
            try:
                yield
            finally:
                table.close()
    finally:
        unsubscribe()
