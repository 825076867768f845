from __future__ import annotations

import io
import threading

import pytest
from rich.console import Console

from synaug.cli.live import PlainLines, TerminalTable, watch
from tasks.engine.progress_bus import Event, publish, subscribe


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def plain_console() -> Console:
    return Console(file=io.StringIO(), force_terminal=False, width=200)


def text(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_plain_lines_at_ends_and_every_ten_seconds() -> None:
    console, clock = plain_console(), Clock()
    lines = PlainLines(console, clock)
    lines(Event("generator", "", 0, 2))
    for clock.now in (1.0, 5.0, 10.9, 11.0, 12.0):
        lines(Event("generator", "[A] & co", int(clock.now), 22, {"loss": 1.5}))
    clock.now = 65.0
    lines(Event("generator", "[A] & co", 22, 22, state="done"))
    lines(Event("generator", "B", 1, 1, state="cached"))
    assert text(console).splitlines() == [
        "[0:11] generator: [A] & co: 11 of 22, about 0:11 left, loss 1.5",
        "[1:05] generator: [A] & co: done in 1:04, loss 1.5, 1 of 2, about 1:04 left for generator",
        "[1:05] generator: B: reused, 2 of 2",
    ]


def test_the_table_shows_stages_steps_and_time_left() -> None:
    clock = Clock()
    table = TerminalTable("wbc3", clock)
    console = Console(file=io.StringIO(), force_terminal=True, width=100, color_system=None)
    console.print(table)
    assert "starting" in text(console)
    table(Event("dataset", "wbc3", 3, 3, state="cached"))
    table(Event("generator", "", 0, 3))
    table(Event("generator", "NEUTROPHIL", 0, 800))
    clock.now = 20.0
    table(Event("generator", "NEUTROPHIL", 200, 800, {"loss": 12.34}))
    console = Console(file=io.StringIO(), force_terminal=True, width=100, color_system=None)
    console.print(table)
    shown = text(console)
    assert "wbc3" in shown
    assert "1 reused" in shown
    assert "0/3" in shown
    assert "200/800" in shown
    assert "1:00 left" in shown
    assert "loss 12.3" in shown
    table.close()


def test_many_running_steps_are_summed_up() -> None:
    table = TerminalTable("x", Clock())
    for i in range(12):
        table(Event("training", f"arm {i}", 1, 9))
    console = Console(file=io.StringIO(), force_terminal=True, width=100, color_system=None)
    console.print(table)
    assert "arm 7" in text(console)
    assert "arm 8" not in text(console)
    assert "and 4 more" in text(console)


def test_long_names_do_not_break_a_narrow_terminal() -> None:
    table = TerminalTable("x" * 50, Clock())
    table(Event("training", "a very long name of a step " * 5, 1, 9, {"a_long_name_of_a_loss": 1.0}))
    console = Console(file=io.StringIO(), force_terminal=True, width=60, color_system=None)
    console.print(table)
    assert all(len(line) <= 60 for line in text(console).splitlines())


@pytest.mark.parametrize("is_terminal", [False, True])
def test_watching_ends_with_the_block(is_terminal: bool) -> None:
    console = Console(file=io.StringIO(), force_terminal=is_terminal, width=100)

    def fail() -> None:
        with watch("run", console):
            publish(Event("dataset", "read", 1, 1, state="done"))
            raise ValueError("x")

    with pytest.raises(ValueError, match="x"):
        fail()
    before = text(console)
    assert "read" in before or is_terminal
    publish(Event("dataset", "more", 1, 1, state="done"))
    assert text(console) == before


def test_quiet_says_nothing() -> None:
    console = plain_console()
    with watch("run", console, quiet=True):
        publish(Event("dataset", "read", 1, 1, state="done"))
    assert text(console) == ""


def test_the_bus_carries_events_of_many_threads() -> None:
    found: list[Event] = []
    unsubscribe = subscribe(found.append)

    def work(name: str) -> None:
        for done in range(50):
            publish(Event("s", name, done, 50))

    threads = [threading.Thread(target=work, args=(str(i),)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    unsubscribe()
    unsubscribe()
    publish(Event("s", "late"))
    assert len(found) == 400
    assert [e.done for e in found if e.name == "3"] == list(range(50))
