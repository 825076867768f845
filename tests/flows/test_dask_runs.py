"""Whole retrainings on Dask: the same numbers as on threads, and an end when they are stopped."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.processes import processes_of

pytest.importorskip("distributed")
pytest.importorskip("prefect_dask")

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@dataclass(frozen=True)
class Desk:
    """A home of a test's own, and what the command did there."""

    home: Path
    run: Callable[..., dict[str, Any]]
    recorded: Callable[[str], list[Any]]


@pytest.fixture
def desk(
    write: Callable[..., Path],
    command: Callable[..., list[str]],
    surroundings: dict[str, str],
    client_of: Callable[[Path], Any],
    tree_of: Callable[[Any, str], list[Any]],
    tmp_path: Path,
) -> Desk:
    home = tmp_path / "home"
    environment = surroundings | {"SYNAUG_HOME": str(home)}

    def run(config: dict[str, Any], *options: object) -> dict[str, Any]:
        return {"args": command("run", write(config), *options), "cwd": tmp_path, "env": environment}

    return Desk(home, run, lambda name: tree_of(client_of(home), name))


def test_a_retraining_on_two_processes_has_the_same_numbers_as_on_threads(
    first: Any, tiny: Callable[..., dict[str, Any]], desk: Desk, tmp_path: Path
) -> None:
    def run(runner: str) -> Any:
        out = tmp_path / f"{runner}.json"
        options = ("--set", f"compute.runner={runner}", "--set", "compute.workers=2", "--json", out)
        done = subprocess.run(**desk.run(tiny(), *options), capture_output=True, text=True, timeout=600)
        assert done.returncode == 0, done.stderr
        assert "Traceback" not in done.stderr
        assert not done.stdout.count("distributed")
        return json.loads(out.read_text())

    dask, [recorded] = run("dask"), desk.recorded("tiny")
    for key in ("arms", "dataset", "best_arm", "verdict", "sentence", "contrasts", "promotion", "steps"):
        assert dask[key] == first.outcome[key], key
    assert dask["cached_steps"] == 0
    assert {r.info.status for r in recorded.all()} == {"FINISHED"}

    def bytes_of(run: Any) -> dict[tuple[str, str, str], bytes]:
        return {
            (r.stage, r.info.run_name, str(path.relative_to(r.place))): path.read_bytes()
            for r in run.all()
            for path in r.place.rglob("*")
            if path.suffix in (".parquet", ".safetensors")
        }

    mine, theirs = bytes_of(recorded), bytes_of(first.run)
    assert sum(path == "predictions/test.parquet" for _, _, path in mine) == 6
    assert mine == theirs

    threads = run("threads")
    assert threads["run_id"] == dask["run_id"]
    assert threads["cached_steps"] == threads["steps"] == dask["steps"]
    assert threads["arms"] == dask["arms"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_stopped_in_a_training_it_leaves_no_process_and_goes_on_later(
    number: signal.Signals, tiny: Callable[..., dict[str, Any]], desk: Desk, tmp_path: Path
) -> None:
    long = {"steps": 200_000, "evaluate_every": 100, "patience": 200_000}
    compute = {"runner": "dask", "workers": 2}
    config = tiny("stopped", arms=["control", "combined"], classifier=long, tuning={"trials": 0}, compute=compute)
    log = tmp_path / "err"
    with log.open("w") as errors:
        running = subprocess.Popen(**desk.run(config), stdout=subprocess.DEVNULL, stderr=errors, start_new_session=True)
        try:
            end = time.monotonic() + 300
            while not list((desk.home / "checkpoints").glob("*.pt")) and time.monotonic() < end:
                assert running.poll() is None, log.read_text()
                time.sleep(0.1)
            if number == signal.SIGINT:  # Ctrl-C reaches every process of the terminal
                os.killpg(running.pid, number)
            else:
                os.kill(running.pid, number)
            assert running.wait(20) == (1 if number == signal.SIGINT else -number if number == signal.SIGKILL else 1)
        finally:
            if running.poll() is None:
                os.killpg(running.pid, signal.SIGKILL)
    end = time.monotonic() + 20
    while processes_of(desk.home) and time.monotonic() < end:
        time.sleep(0.1)
    assert not processes_of(desk.home)
    if number != signal.SIGKILL:
        assert "run the same command again" in log.read_text()
        assert "Traceback" not in log.read_text()
        statuses = {r.info.status for r in desk.recorded("stopped")[0].all()}
        assert "RUNNING" not in statuses
