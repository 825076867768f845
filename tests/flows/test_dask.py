"""Steps on Dask: in processes of this machine, and on a cluster that somebody else runs."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from prefect import flow, task

from flows.stages import Stages
from flows.sweep import sweep
from flows.workers import ConfiguredRunner, shared_runners, task_runner
from synaug_core.config import ComputeConfig, Config
from synaug_core.config.sweep import SweepConfig
from synaug_core.errors import ConfigError, DataError, SynaugError
from tasks.engine.progress_bus import Event, publish, subscribe
from tasks.engine.step import step

dask = pytest.importorskip("dask")
distributed = pytest.importorskip("distributed")
pytest.importorskip("prefect_dask")

HERE = ComputeConfig(runner="dask", workers=2)


@step
def counted(name: str) -> tuple[str, int]:
    for done in range(1, 4):
        publish(Event("counting", name, done, 3, {"figure": done / 2}))
    time.sleep(0.3)  # so that one process does not take all
    return name, os.getpid()


@task
def spoilt() -> None:
    raise DataError("the image is square")


@task
def endless(marks: Path) -> None:
    (marks / "began").touch()
    try:
        for n in range(1200):
            time.sleep(0.05)
            publish(Event("waiting", "step", n, 1200))
    finally:
        (marks / "ended").touch()


@task
def silent(marks: Path) -> None:
    (marks / str(os.getpid())).touch()
    time.sleep(600)
    (marks / "ended").touch()


@task
def deadly(marks: Path, deaths: int) -> int:
    died = len(list(marks.iterdir()))
    if died < deaths:
        (marks / str(died)).touch()
        os._exit(3)
    return died


@task
def mark(marks: Path, name: str) -> None:
    (marks / name).touch()


@task
def late(marks: Path, name: str) -> None:
    time.sleep(0.3)
    (marks / name).touch()


@task
def patient(marks: Path, wanted: int) -> bool:
    """Whether so many marks are made while it waits."""
    end = time.monotonic() + 20
    while (found := len(list(marks.iterdir()))) < wanted and time.monotonic() < end:
        time.sleep(0.05)
    return found >= wanted


@flow
def count(names: tuple[str, ...], config: dict[str, Any]) -> tuple[list[Any], int]:
    stages = Stages()
    counts = stages.gather(stages.submit("counting", counted, [(name, (name,)) for name in names]))
    return counts, stages.cached


@contextmanager
def cluster(workers: int = 1, **environment: str) -> Iterator[Any]:
    """A cluster that is there before the flow and after it."""
    with distributed.LocalCluster(
        n_workers=workers, threads_per_worker=1, dashboard_address=None, host="127.0.0.1", env=environment
    ) as running:
        yield running


@contextmanager
def heeds_ctrl_c() -> Iterator[None]:
    """As a program does; a shell that starts the tests in the background lets them ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch) -> Callable[[Any], ComputeConfig]:
    """`at(running)`: one step at a time on that cluster."""

    def make(running: Any) -> ComputeConfig:
        monkeypatch.setenv("SYNAUG_DASK_SCHEDULER", running.scheduler_address)
        return ComputeConfig(runner="dask", workers=1)

    return make


def test_steps_run_in_processes_and_are_found_again_by_threads(server: str, home: Path) -> None:
    seen: list[Event] = []
    names = ("a", "b", "c", "d")
    [[by_threads], _] = count.with_options(task_runner=task_runner(ComputeConfig(workers=2)))(("e",), {})
    leave = subscribe(seen.append)
    runner = ConfiguredRunner()  # as under a server: the runner follows the run's own parameters
    first, cached = count.with_options(task_runner=runner)((*names, "e"), {"compute": HERE.model_dump()})
    leave()
    assert [name for name, _ in first] == [*names, "e"]
    pids = {pid for _, pid in first[:4]}
    assert len(pids) == 2
    assert os.getpid() not in pids
    assert cached == 1
    assert tuple(first[4]) == by_threads == ("e", os.getpid())
    for name in names:
        told = [e for e in seen if e.name == name]
        assert [e.done for e in told] == [1, 2, 3, 1]
        assert told[2] == Event("counting", name, 3, 3, {"figure": 1.5})
        assert told[3].state == "done"
    again, cached = count.with_options(task_runner=task_runner(ComputeConfig(workers=2)))((*names, "e"), {})
    assert [tuple(found) for found in again] == [tuple(found) for found in first]
    assert cached == 5
    deadline = time.monotonic() + 10
    while any(Path(f"/proc/{pid}").exists() for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)


def test_no_step_waits_behind_a_busy_worker(server: str, home: Path, tmp_path: Path) -> None:
    (marks := tmp_path / "marks").mkdir()

    @flow
    def around() -> bool:
        held = [mark.submit(marks, f"early {n}") for n in range(5)]
        for future in held:
            future.wait()
        long = patient.submit(marks, 9)
        held += [late.submit(marks, f"late {n}") for n in range(4)]
        return bool(long.result())

    with dask.config.set({"distributed.scheduler.work-stealing": False}):  # which would move them a second later
        assert around.with_options(task_runner=task_runner(HERE))()


def test_runs_that_follow_one_another_share_their_processes(server: str, home: Path) -> None:
    @flow
    def spoil() -> None:
        spoilt.submit().result()

    def pids_of(runner: Any, name: str) -> set[int]:
        found, _ = count.with_options(task_runner=runner)((f"{name} 1", f"{name} 2"), {})
        return {pid for _, pid in found}

    one = ComputeConfig(runner="dask", workers=1)
    with shared_runners() as runner_of:
        [pid] = pids_of(runner_of(one), "first")
        with pytest.raises(DataError, match="the image is square"):
            spoil.with_options(task_runner=runner_of(one))()
        assert pids_of(runner_of(one), "second") == {pid} != {os.getpid()}
        assert pids_of(runner_of(ComputeConfig(workers=1)), "third") == {os.getpid()}
    end = time.monotonic() + 10
    while Path(f"/proc/{pid}").exists() and time.monotonic() < end:
        time.sleep(0.1)
    assert not Path(f"/proc/{pid}").exists()


def test_the_retrainings_of_a_sweep_share_their_processes(
    server: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pids = []

    @flow
    def retrain(config: Config) -> None:
        pids.append(counted.submit(f"seed {config.seed}").result()[1])
        raise DataError("no images")

    monkeypatch.setattr("flows.sweep.retrain", retrain)
    base = {"name": "shared", "compute": {"runner": "dask", "workers": 1}}
    outcome = sweep(SweepConfig(base=base, grid={"seed": {"1": 1, "2": 2}}))
    assert [cell.sentence for cell in outcome.result.cells] == ["no images"] * 2
    assert len(pids) == 2
    assert len(set(pids)) == 1
    assert pids[0] != os.getpid()


def test_shared_processes_that_train_end_with_a_ctrl_c(server: str, home: Path, tmp_path: Path) -> None:
    @flow
    def wait() -> None:
        future = silent.submit(tmp_path)
        threading.Thread(target=interrupt, daemon=True).start()
        future.wait()

    def interrupt() -> None:
        while not list(tmp_path.glob("[0-9]*")):
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGINT)

    with heeds_ctrl_c(), pytest.raises(KeyboardInterrupt), shared_runners() as runner_of:
        wait.with_options(task_runner=runner_of(ComputeConfig(runner="dask", workers=1)))()
    [pid] = [path.name for path in tmp_path.glob("[0-9]*")]
    assert not Path(f"/proc/{pid}").exists()


@pytest.mark.slow
def test_a_worker_that_is_lost_is_replaced_and_many_are_an_error(
    server: str, home: Path, tmp_path: Path, at: Callable[[Any], ComputeConfig]
) -> None:
    marks = tmp_path / "marks"
    marks.mkdir()

    @flow
    def die(deaths: int) -> int:
        return deadly.submit(marks, deaths).result()

    with cluster() as running:
        assert die.with_options(task_runner=task_runner(at(running)))(1) == 1
        with pytest.raises(SynaugError, match="several Dask workers ended while they ran the same step"):
            die.with_options(task_runner=task_runner(at(running)))(100)


def test_on_a_cluster_errors_are_their_own_and_an_interrupted_flow_ends_its_steps(
    server: str,
    home: Path,
    tmp_path: Path,
    at: Callable[[Any], ComputeConfig],
) -> None:
    @flow
    def spoil() -> None:
        spoilt.submit().result()

    @flow
    def wait() -> None:
        future = endless.submit(tmp_path)
        threading.Thread(target=interrupt, daemon=True).start()
        future.wait()

    def interrupt() -> None:
        while not (tmp_path / "began").exists():
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGINT)

    with cluster() as running:
        with pytest.raises(DataError, match="the image is square"):
            spoil.with_options(task_runner=task_runner(at(running)))()
        with heeds_ctrl_c(), pytest.raises(KeyboardInterrupt):
            wait.with_options(task_runner=task_runner(at(running)))()
        end = time.monotonic() + 5
        while not (tmp_path / "ended").exists() and time.monotonic() < end:
            time.sleep(0.05)
        assert (tmp_path / "ended").exists()


def test_nobody_at_the_address(server: str, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import flows.dask_runner

    monkeypatch.setattr(flows.dask_runner, "_PATIENCE", 1)
    monkeypatch.setenv("SYNAUG_DASK_SCHEDULER", "tcp://127.0.0.1:9")
    nowhere = ComputeConfig(runner="dask", workers=1)
    with pytest.raises(ConfigError, match=r"SYNAUG_DASK_SCHEDULER: no Dask scheduler answers at tcp://127\.0\.0\.1:9"):
        count.with_options(task_runner=task_runner(nowhere))(("a",), {})


def test_a_cluster_wants_the_number_of_its_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SYNAUG_DASK_SCHEDULER", "tcp://127.0.0.1:9")
    with pytest.raises(ConfigError, match=r"compute\.workers: say how many"):
        task_runner(ComputeConfig(runner="dask"))


@pytest.mark.slow
def test_a_worker_with_other_places_is_refused(server: str, home: Path, at: Callable[[Any], ComputeConfig]) -> None:
    with (
        cluster(SYNAUG_TUNING_STORAGE="postgresql://someone:secret@elsewhere/x") as running,
        pytest.raises(ConfigError, match=r"the worker tcp://\S+ differs in SYNAUG_TUNING_STORAGE: ") as refused,
    ):
        count.with_options(task_runner=task_runner(at(running)))(("a",), {})
    assert "secret" not in str(refused.value)
