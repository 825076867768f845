"""kill -9, and the same command again: it goes on where it was, and ends with the same figures."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.processes import processes_of

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are looked up in /proc")


class Running:
    """A command under way, with the lines of its progress."""

    def __init__(self, line: list[str], home: Path, environment: dict[str, str], folder: Path) -> None:
        self.home = home
        self.process = subprocess.Popen(
            line, cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        self.lines.extend(self.process.stderr)

    def ended(self, stage: str) -> int:
        """Steps of a stage that are over, now or from before."""
        over = [line for line in self.lines if f"] {stage}: " in line and (": done in" in line or ": reused" in line)]
        return len(over)

    def wait_for(self, reached: Callable[[Running], bool], seconds: float = 900.0) -> None:
        end = time.monotonic() + seconds
        while not reached(self):
            assert self.process.poll() is None, f"it ended before it was killed:\n{''.join(self.lines)}"
            assert time.monotonic() < end, f"it never came so far:\n{''.join(self.lines)}"
            time.sleep(0.02)

    def kill(self) -> None:
        """SIGKILL to the command alone; everything that it started has to end with it."""
        self.process.send_signal(signal.SIGKILL)
        assert self.process.wait() == -signal.SIGKILL
        end = time.monotonic() + 30
        while processes_of(self.home) and time.monotonic() < end:
            time.sleep(0.1)
        assert not processes_of(self.home), "something outlives the command"
        self._reader.join(10)


@pytest.fixture
def start(command: Callable[..., list[str]], surroundings: dict[str, str], tmp_path: Path) -> Iterator[Any]:
    """Starts the command on a home of its own."""
    started: list[Running] = []

    def begin(config: Path, home: Path, *options: object) -> Running:
        environment = {**surroundings, "SYNAUG_HOME": str(home)}
        started.append(Running(command("run", config, *options), home, environment, tmp_path))
        return started[-1]

    yield begin
    for running in started:
        if running.process.poll() is None:
            running.process.kill()


def shape(run: Any) -> Counter[tuple[str, str, str]]:
    """What runs there are, without what differs between two homes."""
    return Counter((*place(r)[:2], r.info.status) for r in run.all())


SMALL: dict[str, Any] = {
    "arms": ["control", "combined"],
    "repetitions": 1,
    "tuning": {"trials": 0},
    "robustness": {"enabled": False},
    "explanation": {"enabled": False},
}


def test_killed_in_the_middle_of_training_it_ends_with_the_same_figures(
    start: Any,
    tiny: Callable[..., Any],
    write: Callable[..., Path],
    retrain: Callable[..., Any],
    runs_of: Callable[[str], list[Any]],
    client_of: Callable[[Path], Any],
    tree_of: Callable[..., Any],
    tmp_path: Path,
) -> None:
    whole = retrain(tiny("cut", **SMALL)).outcome
    home, config = tmp_path / "home", write(tiny("cut", **SMALL))
    running = start(config, home)
    running.wait_for(lambda r: r.ended("training") >= 1)
    running.kill()
    assert "RUNNING" in {r.info.status for r in tree_of(client_of(home), "cut")[0].all()}
    again = start(config, home, "--json", tmp_path / "out.json")
    assert again.process.wait(280) == 0, again.lines
    outcome = json.loads((tmp_path / "out.json").read_text())
    assert outcome["arms"] == whole["arms"]
    assert outcome["steps"] == whole["steps"]
    assert outcome["cached_steps"] >= 5
    [run], [other] = tree_of(client_of(home), "cut"), runs_of("cut")
    assert shape(run) == shape(other)
    assert not processes_of(home)


MOMENTS: list[tuple[str, Callable[[Running], bool], float]] = [
    ("while it starts", lambda r: True, 2.0),
    ("while it reads the images", lambda r: r.ended("start") >= 1, 0.5),
    ("while the generators are trained", lambda r: any((r.home / "checkpoints").glob("*.pt")), 0.5),
    ("after one generator", lambda r: r.ended("generator") >= 1, 0.1),
    ("while images are made", lambda r: r.ended("generator") >= 2, 0.1),
    ("after the first round of the search", lambda r: r.ended("tuning") >= 2, 0.2),
    ("on the last rung of the search", lambda r: r.ended("tuning") >= 4, 0.0),
    ("while the arms are trained", lambda r: r.ended("training") >= 1, 1.0),
    ("before the last repetitions", lambda r: r.ended("training") >= 3, 0.5),
    ("while the model is registered", lambda r: r.ended("comparison") >= 1, 0.5),
]


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_killed_ten_times_all_over_a_run_it_ends_with_the_same_figures(
    start: Any,
    tiny: Callable[..., Any],
    write: Callable[..., Path],
    client_of: Callable[[Path], Any],
    tree_of: Callable[..., Any],
    tmp_path: Path,
) -> None:
    config = write(
        tiny(
            "killed",
            arms=["control", "combined"],
            generator={"steps": 12_000, "patience": 10_000},
            classifier={"steps": 1500, "patience": 10_000},
            tuning={"trials": 4, "steps": 300},
        )
    )
    homes = {"whole": tmp_path / "whole", "killed": tmp_path / "killed"}
    outcomes: dict[str, Any] = {}
    resumed_training = False
    for number, (moment, reached, delay) in enumerate(MOMENTS):
        running = start(config, homes["killed"])
        running.wait_for(reached)
        time.sleep(delay)
        resumed_training |= any((homes["killed"] / "checkpoints").glob("*.pt"))
        assert running.process.poll() is None, f"{number}, {moment}: over before it was killed"
        running.kill()
    assert resumed_training, "no training was long enough to leave its state"
    for name, home in homes.items():
        last = start(config, home, "--json", tmp_path / f"{name}.json")
        assert last.process.wait(1200) == 0, last.lines
        outcomes[name] = json.loads((tmp_path / f"{name}.json").read_text())
        assert not processes_of(home)
    whole, killed = outcomes["whole"], outcomes["killed"]
    for key in ("arms", "dataset", "best_arm", "verdict", "sentence", "promotion", "model", "steps"):
        assert killed[key] == whole[key], key
    assert killed["cached_steps"] > whole["cached_steps"] == 0

    runs = {name: tree_of(client_of(home), "killed") for name, home in homes.items()}
    [one], [other] = runs["whole"], runs["killed"]
    assert shape(other) == shape(one)
    assert {r.info.status for r in other.all()} == {"FINISHED"}
    for mine, theirs in zip(sorted(one.all(), key=place), sorted(other.all(), key=place), strict=True):
        ours = {k: v for k, v in mine.metrics.items() if not k.startswith("seconds/")}
        assert ours == {k: v for k, v in theirs.metrics.items() if not k.startswith("seconds/")}, place(mine)
        assert mine.params == theirs.params
        assert "synaug.error" not in theirs.tags
        for path in ("images/synthetic.parquet", "predictions/test.parquet", "trials.json"):
            if (mine.place / path).exists():
                assert (mine.place / path).read_bytes() == (theirs.place / path).read_bytes(), path
    for repetition in other.of("repetition"):
        history = client_of(homes["killed"]).get_metric_history(repetition.info.run_id, "val_loss")
        assert len({p.step for p in history}) == len(history) == 1500 // 30
    states = prefect_states(homes["killed"])
    assert states["COMPLETED"] == 1
    assert not states.keys() & {"RUNNING", "PENDING"}
    assert not list((homes["killed"] / "checkpoints").glob("*"))


def place(run: Any) -> tuple[str, str, str]:
    name = "" if run.stage == "retrain" else run.info.run_name  # that has the minute in it when it began
    return run.stage, name, run.tags.get("synaug.arm", "")


def prefect_states(home: Path) -> Counter[str]:
    with closing(sqlite3.connect(f"file:{home}/prefect/prefect.db?mode=ro", uri=True)) as database:
        return Counter(state for (state,) in database.execute("select state_type from flow_run"))
