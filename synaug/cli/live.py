"""Progress in the terminal: a table that stays in place, or plain lines where the output is no terminal."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from synaug.cli.board import Board, Stage, Step, duration, figures
from tasks.engine.progress_bus import Event, subscribe

__all__ = ["PlainLines", "TerminalTable", "watch"]

_SHOWN_STEPS = 8
_LINE_EVERY = 10.0
_MARKS = {"done": Text("✓", "green"), "failed": Text("✗", "red"), "running": Text("●", "cyan")}


class PlainLines:
    """One line when a step ends, and one every ten seconds for a step that runs."""

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        self._console, self._clock = console, clock
        self._board, self._lock = Board(), threading.Lock()
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
            if step.ended is None and now - self._last.setdefault(key, now) < _LINE_EVERY:
                return
            self._last[key] = now
            line = self._line(self._board.stages[event.stage], step, now)
            self._console.print(line, highlight=False, markup=False, soft_wrap=True)

    def _line(self, stage: Stage, step: Step, now: float) -> str:
        parts = [_ending(step, now) if step.ended is not None else _position(step, now)]
        if shown := figures(step.values):
            parts.append(shown)
        if step.ended is not None and stage.expected:
            parts.append(f"{stage.ended} of {stage.expected}")
            if (left := stage.left(now)) is not None:
                parts.append(f"about {duration(left)} left for {stage.name}")
        return f"[{duration(now - self._start)}] {stage.name}: {step.name}: {', '.join(parts)}"


def _ending(step: Step, now: float) -> str:
    return "found from before" if step.state == "cached" else f"{step.state} in {duration(step.seconds(now))}"


def _position(step: Step, now: float) -> str:
    if not step.total:
        return f"running for {duration(step.seconds(now))}"
    return f"{step.done} of {step.total}{_pace(step, now, ', about ')}"


def _pace(step: Step, now: float, before: str = "") -> str:
    """Time left; after the last of its units a step still has to store what it made."""
    if 0 < step.total <= step.done:
        return f"{before and ', '}storing"
    left = step.left(now)
    return "" if left is None else f"{before}{duration(left)} left"


class TerminalTable:
    """Stages with their running steps below them, drawn anew a few times a second."""

    def __init__(self, title: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._title, self._clock = title, clock
        self._board, self._lock = Board(), threading.Lock()
        self._start = clock()
        self._spinner = Spinner("dots", style="cyan")

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
        head.add_row(self._spinner, Text(self._title, "bold"), Text(duration(now - self._start), "dim"))
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
        count = f"{stage.ended}/{stage.expected}" if stage.expected else str(stage.ended or "")
        cached = stage.count("cached")
        left = stage.left(now)
        time_text = duration(stage.seconds(now)) if left is None else f"{duration(left)} left"
        bar = ProgressBar(stage.expected, stage.ended, width=20) if stage.expected else ""
        note = f"{cached} from before" if cached else ""
        table.add_row(
            _MARKS[stage.state], Text(stage.name, "bold"), bar, count, Text(time_text, "dim"), Text(note, "dim")
        )
        running = [step for step in stage.steps.values() if step.ended is None]
        for step in running[:_SHOWN_STEPS]:
            step_time = _pace(step, now) or duration(step.seconds(now))
            bar = ProgressBar(step.total, step.done, width=20) if step.total else ""
            count = f"{step.done}/{step.total}" if step.total else ""
            table.add_row(
                "", Text(f"  {step.name}"), bar, count, Text(step_time, "dim"), Text(figures(step.values), "dim")
            )
        if len(running) > _SHOWN_STEPS:
            table.add_row("", Text(f"  and {len(running) - _SHOWN_STEPS} more", "dim"), "", "", "", "")


@contextlib.contextmanager
def watch(title: str, console: Console, quiet: bool = False) -> Iterator[None]:
    """Show the progress of whatever runs inside, in the way that the console allows."""
    if quiet:
        yield
        return
    if not console.is_terminal:
        unsubscribe = subscribe(PlainLines(console))
        try:
            yield
        finally:
            unsubscribe()
        return
    table = TerminalTable(title)
    unsubscribe = subscribe(table)
    try:
        with Live(table, console=console, refresh_per_second=4):
            try:
                yield
            finally:
                table.close()
    finally:
        unsubscribe()
